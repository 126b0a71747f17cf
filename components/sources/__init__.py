"""Sources of examples: one kind of data a file."""
