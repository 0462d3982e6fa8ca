"""The files of a run: directory, descriptions and provenance."""
