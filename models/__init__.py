"""What is learned: tasks, checkpoints in and out, tokenizers, schedules, metrics."""
