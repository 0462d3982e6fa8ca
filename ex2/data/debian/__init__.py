"""Photographs from Debian's packages, for the real run."""
