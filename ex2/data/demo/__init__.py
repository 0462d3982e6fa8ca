"""The demo world, of which it is known what is true, and the training of its models."""
