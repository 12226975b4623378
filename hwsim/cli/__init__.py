"""The command line: one file a command."""

from hwsim.cli.group import main

__all__ = ["main"]
