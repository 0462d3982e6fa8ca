"""Rewards from vision-language models: backends, image banks and reward functions."""
