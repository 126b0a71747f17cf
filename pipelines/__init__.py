"""Whole pipelines, each a function that calls steps through a run."""
