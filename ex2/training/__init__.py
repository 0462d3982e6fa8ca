"""Stage 1, Extract: from a recipe to a trained policy."""
