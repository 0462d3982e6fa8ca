"""What runs inside the sandbox: it imports nothing of this project but its own neighbors, and never the rest of it."""
