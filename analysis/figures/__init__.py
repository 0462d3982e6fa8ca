"""Drawings: the parts they are made of, the figures of a run, and files that stand alone."""
