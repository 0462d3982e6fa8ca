"""The demo world, whose truth is known, and how its weights are made."""
