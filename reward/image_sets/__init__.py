"""Maths on the embeddings of an image set: class centers and distances between sets."""
