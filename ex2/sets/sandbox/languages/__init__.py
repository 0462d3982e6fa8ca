"""Languages that drawings are written in: how code is found in a reply, what is refused, what renders it."""
