"""Grids of recipes and seeds: `ex2 sweep`."""
