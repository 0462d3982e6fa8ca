"""What answers a question about an image: a server, a model on this machine, several together, the demo world's."""
