"""Steps of a pipeline: one plain function a file, typed artifacts in and out."""
