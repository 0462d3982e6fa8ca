"""The report of a run, and the index over runs."""
