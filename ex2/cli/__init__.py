"""The `ex2` command. Imports are lazy: `ex2 --help` loads no torch."""

from ex2.cli.main import main

__all__ = ["main"]
