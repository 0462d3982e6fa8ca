"""What is checked before a run: names, settings, images, the launch, and the plan that `--dry-run` shows."""
