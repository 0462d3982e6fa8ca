"""Hypotheses: phrases that alignment made frequent, as templates, tested on classes that they were not mined on."""
