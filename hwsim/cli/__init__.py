"""The command line: one file a command."""

from hwsim.cli.main import main

__all__ = ["main"]
