"""Image sets: images of named classes, drawn once by a generator from the prompts of a strategy."""
