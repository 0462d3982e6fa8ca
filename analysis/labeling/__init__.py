"""Labelling by people: the sample, their answers, and the page on which they give them."""
