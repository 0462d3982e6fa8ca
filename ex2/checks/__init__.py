"""Checks before a run: names, settings, images and the launch; and the plan that `--dry-run` shows."""
