"""Zero-shot accuracy: class vectors from texts, the arms (sets of texts) that are compared, their accuracies."""
