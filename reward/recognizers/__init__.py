"""Recognizers: classifiers that say what is on an image, with their labels and pinned weights."""
