"""Zero-shot accuracy: class vectors from texts, the arms that are compared, and what a VLM makes of them."""
