"""The datasets that a recipe can name, and their readers."""
