"""Judges that sort descriptions: rubric, protocol and implementations."""
