"""What image sets are worth: measured through a VLM, compared, and shown."""
