"""What a set of images is worth: scores on a data set, a linear probe, image retrieval, and intervals that hold."""
