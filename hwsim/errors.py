"""Errors that teach: where, what, what was expected, and the nearest match."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class HwsimError(Exception):
    """Anything the user can put right. The command line prints it and exits with status 2."""


class PhysicsError(Exception):
    """A result that no machine could produce: a bug in a model, reported with its numbers."""


@dataclass(frozen=True)
class Fault:
    """One fault of an input file, with 1-based line and column."""

    file: str
    line: int
    column: int
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {self.what}"


class ConfigError(HwsimError):
    """All the faults of one input file, in the order of their lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults), key=lambda f: (f.line, f.column, f.what)))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class UnknownName(HwsimError):
    """A name that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"no {kind} named {name!r}{nearest(name, known)}; known: {', '.join(known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the closest known word, or '' when nothing is close."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
