"""Sources of examples: one kind of data a file, and `open_source`, which picks one by name."""
