"""What pages share: their templates, style, scripts, and small images."""
