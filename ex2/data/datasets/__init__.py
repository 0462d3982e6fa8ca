"""Datasets that a recipe can name, and what reads them."""
