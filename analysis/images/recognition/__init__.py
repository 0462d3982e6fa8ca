"""Recognition: whether classifiers see on a set's images what these are to show, after Borji (2022)."""
