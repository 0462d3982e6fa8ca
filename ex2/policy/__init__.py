"""The language model: loading, generating, exporting."""
