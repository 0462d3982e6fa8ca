"""What runs found: stored results read, pooled and put into words."""
