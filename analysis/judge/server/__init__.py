"""A judge behind a server that speaks the OpenAI API."""
