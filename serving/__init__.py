"""What runs after training; nothing here imports training code."""
