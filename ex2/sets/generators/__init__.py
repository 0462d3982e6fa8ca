"""What draws images: each generator answers requests by images or by failures."""
