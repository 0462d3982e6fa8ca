"""`ex2 sweep`: runs grids of recipes and seeds."""
