"""Datasets, questions and prompts."""
