"""`ex2 phrases`: phrases that alignment made frequent, tested as templates."""
