"""Traces of memory accesses: Dinero's `din` lines and valgrind's lackey lines.

din      0 7ffe10     0 load, 1 store, 2 instruction; the address in hexadecimal
lackey    L 7ffe10,4  L load, S store, M load and store, I instruction; address, size
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hwsim.errors import HwsimError, shortened

DIN = re.compile(r"([012])\s+(?:0x)?([0-9a-fA-F]{1,15})\s*")
LACKEY = re.compile(r"\s*([LSMI])\s+(?:0x)?([0-9a-fA-F]{1,15}),(\d{1,6})\s*")
KINDS = {"0": "L", "1": "S", "2": "I"}
CHUNK = 1 << 20  # accesses at a time
MOST_SIZE = 4096  # bytes of one access
LONGEST_LINE = 200  # characters that are read of one


@dataclass(frozen=True)
class Accesses:
    """Some accesses in order: first byte, bytes, and whether each is a store."""

    address: list[int]
    size: list[int]
    write: list[int]


def read_trace(path: Path) -> Iterator[Accesses]:
    """A trace in chunks; instructions are left out, as are blank lines and lackey's own (==).

    Raises HwsimError naming the file and line of what is neither form, or where nothing is read.
    """
    some = Accesses([], [], [])
    found = False
    if path.exists() and not path.is_file():
        raise HwsimError(f"{path}: no regular file; expected a trace")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), ""), 1):
                for kind, address, size in _accesses(line, path, number):
                    some.address.append(address)
                    some.size.append(size)
                    some.write.append(int(kind == "S"))
                if len(some.address) >= CHUNK:
                    yield some
                    some, found = Accesses([], [], []), True
    except OSError as error:
        raise HwsimError(f"{path}: {error.strerror}; expected a trace") from None
    if some.address:
        yield some
    elif not found:
        raise HwsimError(f"{path}: no loads or stores; expected lines such as '0 7ffe10'")


def _accesses(line: str, path: Path, number: int) -> Iterator[tuple[str, int, int]]:
    """(L or S, address, bytes) of a line."""
    if not line.strip() or line.startswith("=="):
        return
    match = DIN.fullmatch(line) or LACKEY.fullmatch(line)
    if match is None:
        raise HwsimError(
            f"{path}:{number}: {shortened(repr(line.strip()))}; expected '0 7ffe10' (din) or "
            f"'L 7ffe10,4' (lackey)"
        )
    kind, address, *size = match.groups()
    kind, bytes_ = KINDS.get(kind, kind), int(size[0]) if size else 1
    if not 1 <= bytes_ <= MOST_SIZE:
        raise HwsimError(f"{path}:{number}: an access of {bytes_} bytes; expected 1 to {MOST_SIZE}")
    if kind in "LM":
        yield "L", int(address, 16), bytes_
    if kind in "SM":
        yield "S", int(address, 16), bytes_
