"""Prompt strategies: how a class becomes the prompts of its images."""
