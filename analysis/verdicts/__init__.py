"""What a judge answered, and the shares of each kind."""
