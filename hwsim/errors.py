"""Errors that teach: where, what, what was expected, and the nearest match."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class HwsimError(Exception):
    """Anything the user can put right. The command line prints it and exits with status 2."""


class TooLarge(HwsimError):
    """Work that would take more memory or time than is allowed.

    No other schedule of it is looked for.
    """


class FieldError(HwsimError):
    """A fault of one field of a file that is known by its name."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field


@contextmanager
def about(field: str) -> Iterator[None]:
    """What is wrong inside is wrong with this field."""
    try:
        yield
    except (ConfigError, FieldError):
        raise
    except HwsimError as error:
        raise FieldError(field, str(error)) from None


class Beaten(HwsimError):
    """Something takes longer than what was tried before, so that it was not looked at further."""


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
        return (
            f"{self.file}:{self.line}:{self.column}: {shortened(self.path)}: "
            f"{shortened(self.what, LONGEST_MESSAGE)}"
        )


class ConfigError(HwsimError):
    """All the faults of one input file, in the order of their lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults), key=lambda f: (f.line, f.column, f.what)))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class UnknownName(HwsimError):
    """A name that nothing is registered under."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        listed = ", ".join(known[:MOST_LISTED]) + (
            f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
        )
        super().__init__(
            f"no {kind} named {shortened(repr(name))}{nearest(name, known)}; known: {listed}"
        )


MOST_LISTED = 60
MOST_COMPARED = 400  # known words of which the nearest is looked for
LONGEST_VALUE, LONGEST_MESSAGE = 80, 2000  # characters of a value, and of what is said about it


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the closest known word, or '' when nothing is close."""
    if len(name) > LONGEST_VALUE:
        return ""
    close = difflib.get_close_matches(name.lower(), list(known)[:MOST_COMPARED], n=1, cutoff=0.5)
    return f"; did you mean {printable(close[0])!r}?" if close else ""


def shortened(text: str, most: int = LONGEST_VALUE) -> str:
    """A user's words in a message: cut in the middle when long, nothing a terminal would obey."""
    text = printable(text)
    return (
        text
        if len(text) <= most
        else f"{text[: most // 2]} ... {text[-most // 3 :]} ({len(text)} characters)"
    )


def printable(text: str) -> str:
    """Text with control and bidirectional characters written as escapes; line ends stay."""
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(
        character if character == "\n" or is_plain(character) else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]


def is_plain(character: str) -> bool:
    """A character that shows itself and does nothing else."""
    return unicodedata.category(character) not in HIDDEN


# Unicode's controls, formats, surrogates, private use, unassigned, line and paragraph separators
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
