"""Textmill: raw text in, a model that TensorFlow Serving loads out."""
