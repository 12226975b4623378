"""Programs that state every load and store: loops around accesses at affine addresses.

    for i:                       Around(depth 2): load C[i][j]
      for j:                     Around(depth 3): load A[i][k], load B[k][j]
        load C[i][j]             Around(depth 2, after): store C[i][j]
        for k:
          load A[i][k]; load B[k][j]
        store C[i][j]

Where a nest leaves it to hwsim what is loaded when, a program says it, as a trace would; it is run
through the same caches. Levels may have lines of different sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwsim.compiled import about_to_run
from hwsim.timing.caches.sets import EMPTY, FOUND, Ints, _access, inline, jit

LOAD, STORE = 0, 1
STEP, PARENT, LENGTH, BOUND = 0, 1, 2, 3


@dataclass(frozen=True)
class Level:
    """A cache: bytes, ways, bytes of a line. LRU; a write is treated like a read."""

    size: int
    ways: int
    line: int

    @property
    def sets(self) -> int:
        return self.size // self.line // self.ways


@dataclass(frozen=True)
class Range:
    """for name in range(bound); with `tile` in steps of it; with `of`, from the value of that loop
    on, up to its step or the bound."""

    name: str
    bound: int
    tile: int = 1
    of: str = ""


@dataclass(frozen=True)
class Reference:
    """One load or store of a word: base + the sum of coefficients times loops, in bytes.

    depth: loops around it. after: it comes after the loops inside, not before.
    """

    base: int
    coefficients: Mapping[str, int]
    depth: int
    write: bool = False
    after: bool = False


@dataclass(frozen=True)
class Program:
    """Loops from the outside in, and what they access, in order."""

    loops: tuple[Range, ...]
    references: tuple[Reference, ...]


@dataclass
class Memory:
    """Caches, the first level first, and what they missed so far: misses [level, load or store],
    accesses [load or store]."""

    levels: Sequence[Level]
    misses: Ints = field(init=False)
    accesses: Ints = field(init=False)
    _tags: Any = field(init=False)
    _table: Ints = field(init=False)

    def __post_init__(self) -> None:
        rows, offset = [], 0
        for level in self.levels:
            rows.append([offset, level.sets, level.ways, level.line.bit_length() - 1])
            offset += level.sets * level.ways
        self._tags = np.full(offset, EMPTY, np.int64)
        self._table = np.array(rows, np.int64)
        self.misses = np.zeros((len(rows), 2), np.int64)
        self.accesses = np.zeros(2, np.int64)

    def run(self, program: Program) -> None:
        """Every access of a program, in order."""
        names = [loop.name for loop in program.loops]
        loops = [
            [loop.tile, names.index(loop.of) if loop.of else -1, _length(loop, program), loop.bound]
            for loop in program.loops
        ]
        depths = range(len(names) + 1)
        ordered: list[Reference] = []
        places = np.zeros((len(names) + 1, 2, 2), np.int64)
        for depth in depths:
            for side in (0, 1):
                own = [
                    reference
                    for reference in program.references
                    if reference.depth == depth and reference.after == bool(side)
                ]
                places[depth, side] = len(ordered), len(ordered) + len(own)
                ordered += own
        about_to_run(_run)
        _run(
            np.array(loops, np.int64),
            np.array(
                [[reference.coefficients.get(name, 0) for name in names] for reference in ordered],
                np.int64,
            ),
            np.array([reference.base for reference in ordered], np.int64),
            np.array([int(reference.write) for reference in ordered], np.int64),
            places,
            np.zeros(len(names), np.int64),
            np.zeros(len(names), np.int64),
            np.zeros(len(ordered), np.int64),
            self._tags,
            self._table,
            self.misses,
            self.accesses,
        )

    def replay(self, addresses: Sequence[int], sizes: Sequence[int], writes: Sequence[int]) -> None:
        """A trace: first byte, bytes, and whether it is a store, of every access in order. Lines
        that an access crosses are looked up one after another."""
        about_to_run(_replay)
        _replay(
            np.array(addresses, np.int64),
            np.array(sizes, np.int64),
            np.array(writes, np.int64),
            self._tags,
            self._table,
            self.misses,
            self.accesses,
        )


def _length(loop: Range, program: Program) -> int:
    """How far a loop goes from where it starts."""
    if not loop.of:
        return loop.bound
    return next(other.tile for other in program.loops if other.name == loop.of)


@inline
def _touch(tags: Any, levels: Any, address: int, write: int, misses: Any) -> None:
    for level in range(len(levels)):
        line = address >> levels[level, 3]
        sets, ways = levels[level, 1], levels[level, 2]
        index = line & (sets - 1) if sets & (sets - 1) == 0 else line % sets
        first = np.uintp(levels[level, 0] + index * ways)
        if _access(tags, first, ways, line, 0) == FOUND:
            return
        misses[level, write] += 1


@jit
def _replay(
    addresses: Any, sizes: Any, writes: Any, tags: Any, levels: Any, misses: Any, accesses: Any
) -> None:
    line = 1 << levels[0, 3]
    for number in range(len(addresses)):
        accesses[writes[number]] += 1
        address, last = addresses[number], addresses[number] + sizes[number] - 1
        while True:
            _touch(tags, levels, address, writes[number], misses)
            address = (address // line + 1) * line
            if address > last:
                break


@inline
def _some(
    first: int,
    last: int,
    depth: int,
    coefficients: Any,
    bases: Any,
    writes: Any,
    value: Any,
    tags: Any,
    levels: Any,
    misses: Any,
    accesses: Any,
) -> None:
    """The references from `first` up to `last`, with the loops around as they are."""
    for number in range(first, last):
        address = bases[number]
        for loop in range(depth):
            address += coefficients[number, loop] * value[loop]
        accesses[writes[number]] += 1
        _touch(tags, levels, address, writes[number], misses)


@inline
def _innermost(
    first: int,
    last: int,
    inner: int,
    step: int,
    coefficients: Any,
    writes: Any,
    value: Any,
    stop: Any,
    at: Any,
    tags: Any,
    levels: Any,
    misses: Any,
    accesses: Any,
) -> None:
    """The innermost loop. Iterations in which every reference stays in its line of the first level
    are passed over.

    They change nothing: the lines of one iteration are no more than the ways, so all are still
    there in the next, which touches them in the same order, hits with each, and leaves the order of
    use as it was.
    """
    shift, ways = levels[0, 3], levels[0, 2]
    mask = (1 << shift) - 1
    coalesce = last - first <= ways
    for number in range(first, last):
        coalesce = coalesce and abs(coefficients[number, inner] * step) <= mask
    while value[inner] < stop[inner]:
        for number in range(first, last):
            _touch(tags, levels, at[number], writes[number], misses)
        passed = 1
        if coalesce:
            passed = (stop[inner] - value[inner] + step - 1) // step
            for number in range(first, last):
                delta = coefficients[number, inner] * step
                place = at[number] & mask
                if delta > 0:
                    passed = min(passed, (mask - place) // delta + 1)
                elif delta < 0:
                    passed = min(passed, place // -delta + 1)
        for number in range(first, last):
            accesses[writes[number]] += passed
            at[number] += coefficients[number, inner] * step * passed
        value[inner] += step * passed


@jit
def _run(
    loops: Any,
    coefficients: Any,
    bases: Any,
    writes: Any,
    places: Any,
    value: Any,
    stop: Any,
    at: Any,
    tags: Any,
    levels: Any,
    misses: Any,
    accesses: Any,
) -> None:
    """places [depth, before or after, from and to]: which references come where."""
    inner = len(loops) - 1
    first, last = places[inner + 1, 0, 0], places[inner + 1, 0, 1]
    depth, entering = 0, True
    while depth >= 0:
        if entering:
            _some(
                places[depth, 0, 0],
                places[depth, 0, 1],
                depth,
                coefficients,
                bases,
                writes,
                value,
                tags,
                levels,
                misses,
                accesses,
            )
            parent = loops[depth, PARENT]
            value[depth] = 0 if parent < 0 else value[parent]
            stop[depth] = min(value[depth] + loops[depth, LENGTH], loops[depth, BOUND])
            if depth < inner:
                if value[depth] < stop[depth]:
                    depth += 1
                    continue
            else:
                for number in range(first, last):
                    at[number] = bases[number]
                    for loop in range(inner + 1):
                        at[number] += coefficients[number, loop] * value[loop]
                _innermost(
                    first,
                    last,
                    inner,
                    loops[inner, STEP],
                    coefficients,
                    writes,
                    value,
                    stop,
                    at,
                    tags,
                    levels,
                    misses,
                    accesses,
                )
            entering = False
        else:
            value[depth] += loops[depth, STEP]
            if value[depth] < stop[depth]:
                entering = True
                depth += 1
                continue
        _some(
            places[depth, 1, 0],
            places[depth, 1, 1],
            depth,
            coefficients,
            bases,
            writes,
            value,
            tags,
            levels,
            misses,
            accesses,
        )
        depth -= 1
