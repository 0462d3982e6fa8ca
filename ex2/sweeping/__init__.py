"""Grids of recipes × seeds: jobs, the child processes that do them, and the engines that place them."""
