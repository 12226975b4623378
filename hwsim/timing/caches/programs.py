"""Programs and traces through caches, access by access.

Where a nest leaves it to hwsim what is loaded when, a program (hwsim.timing.caches.loads) says it,
as a trace would; it is run through the same caches. Levels may have lines of different sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hwsim.compiled import about_to_run
from hwsim.describe.policies import POLICIES, names
from hwsim.parts.cache import Cache
from hwsim.timing.caches.loads import Level, Program, Range, Reference
from hwsim.timing.caches.look_ups import EMPTY, FOUND, Ints, inline, jit, look_up_by

# levels[level]: where it starts in tags, sets, ways, log2 of a line's bytes, the policy's number,
# words of a set
OFFSET, SETS, WAYS, SHIFT, POLICY, WORDS = 0, 1, 2, 3, 4, 5
STEP, PARENT, LENGTH, BOUND = 0, 1, 2, 3
BEFORE, AFTER = 0, 1


class Code(NamedTuple):
    """A program as numbers.

    loops [loop, STEP ...]; of every reference coefficients [loop], base and write; places [depth,
    BEFORE or AFTER, from and to]: which references come where.
    """

    loops: Ints
    coefficients: Ints
    bases: Ints
    writes: Ints
    places: Ints


class Working(NamedTuple):
    """Where a program is: value and stop of every loop, and the address of every reference."""

    value: Ints
    stop: Ints
    at: Ints


@dataclass
class Memory:
    """Caches, the first level first, and what they missed so far.

    misses: [level, load or store]; accesses: [load or store].
    """

    levels: Sequence[Level | Cache]
    misses: Ints = field(init=False)
    accesses: Ints = field(init=False)
    _tags: Any = field(init=False)
    _table: Ints = field(init=False)

    def __post_init__(self) -> None:
        rows, offset = [], 0
        for level in self.levels:
            words = level.ways + POLICIES[level.policy].words(level.ways)
            policy = names().index(level.policy)
            shift = level.line.bit_length() - 1
            rows.append([offset, level.sets, level.ways, shift, policy, words])
            offset += level.sets * words
        self._tags = np.full(offset, EMPTY, np.int64)
        self._table = np.array(rows, np.int64)
        self.misses = np.zeros((len(rows), 2), np.int64)
        self.accesses = np.zeros(2, np.int64)

    def counts(self) -> list[dict[str, int]]:
        """Misses of every level."""
        return [
            {"load_misses": int(loads), "store_misses": int(stores)}
            for loads, stores in self.misses
        ]

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
        code = Code(
            np.array(loops, np.int64),
            np.array(
                [[reference.coefficients.get(name, 0) for name in names] for reference in ordered],
                np.int64,
            ),
            np.array([reference.base for reference in ordered], np.int64),
            np.array([int(reference.write) for reference in ordered], np.int64),
            places,
        )
        work = Working(*(np.zeros(len(row), np.int64) for row in (names, names, ordered)))
        about_to_run(_run)
        _run(code, work, self._tags, self._table, self.misses, self.accesses)

    def replay(self, addresses: Sequence[int], sizes: Sequence[int], writes: Sequence[int]) -> None:
        """A trace: first byte, bytes, and whether it is a store, of every access in order.

        Lines that an access crosses are looked up one after another.
        """
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
        line = address >> levels[level, SHIFT]
        sets, ways, policy = levels[level, SETS], levels[level, WAYS], levels[level, POLICY]
        index = line & (sets - 1) if sets & (sets - 1) == 0 else line % sets
        first = levels[level, OFFSET] + index * levels[level, WORDS]
        if look_up_by(policy, tags, first, ways, line, 0) == FOUND:
            return
        misses[level, write] += 1


@jit
def _replay(
    addresses: Any, sizes: Any, writes: Any, tags: Any, levels: Any, misses: Any, accesses: Any
) -> None:
    line = 1 << levels[0, SHIFT]
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
    code: Code,
    depth: int,
    side: int,
    value: Any,
    tags: Any,
    levels: Any,
    misses: Any,
    accesses: Any,
) -> None:
    """The references at a depth, before or after what is inside.

    The loops around are as they are.
    """
    for number in range(code.places[depth, side, 0], code.places[depth, side, 1]):
        address = code.bases[number]
        for loop in range(depth):
            address += code.coefficients[number, loop] * value[loop]
        accesses[code.writes[number]] += 1
        _touch(tags, levels, address, code.writes[number], misses)


@inline
def _innermost(
    code: Code, work: Working, tags: Any, levels: Any, misses: Any, accesses: Any
) -> None:
    """The innermost loop, passing over iterations in which every reference stays in its line.

    The lines are those of the first level. Such iterations change nothing where it is LRU: the
    lines of one iteration are no more than the ways, so all are still there in the next, which
    touches them in the same order, hits with each, and leaves the order of use as it was.
    """
    inner = len(code.loops) - 1
    first, last = code.places[inner + 1, BEFORE, 0], code.places[inner + 1, BEFORE, 1]
    step = code.loops[inner, STEP]
    mask = (1 << levels[0, SHIFT]) - 1
    coalesce = last - first <= levels[0, WAYS] and levels[0, POLICY] == 0
    for number in range(first, last):
        work.at[number] = code.bases[number]
        for loop in range(inner + 1):
            work.at[number] += code.coefficients[number, loop] * work.value[loop]
        coalesce = coalesce and abs(code.coefficients[number, inner] * step) <= mask
    while work.value[inner] < work.stop[inner]:
        for number in range(first, last):
            _touch(tags, levels, work.at[number], code.writes[number], misses)
        passed = 1
        if coalesce:
            passed = (work.stop[inner] - work.value[inner] + step - 1) // step
            for number in range(first, last):
                delta = code.coefficients[number, inner] * step
                place = work.at[number] & mask
                if delta > 0:
                    passed = min(passed, (mask - place) // delta + 1)
                elif delta < 0:
                    passed = min(passed, place // -delta + 1)
        for number in range(first, last):
            accesses[code.writes[number]] += passed
            work.at[number] += code.coefficients[number, inner] * step * passed
        work.value[inner] += step * passed


@jit
def _run(code: Code, work: Working, tags: Any, levels: Any, misses: Any, accesses: Any) -> None:
    """Every reference of a program, in order."""
    inner = len(code.loops) - 1
    depth, entering = 0, True
    while depth >= 0:
        if entering:
            _some(code, depth, BEFORE, work.value, tags, levels, misses, accesses)
            parent = code.loops[depth, PARENT]
            work.value[depth] = 0 if parent < 0 else work.value[parent]
            work.stop[depth] = min(
                work.value[depth] + code.loops[depth, LENGTH], code.loops[depth, BOUND]
            )
            if depth == inner:
                _innermost(code, work, tags, levels, misses, accesses)
        else:
            work.value[depth] += code.loops[depth, STEP]
        if depth < inner and work.value[depth] < work.stop[depth]:
            depth, entering = depth + 1, True
            continue
        _some(code, depth, AFTER, work.value, tags, levels, misses, accesses)
        depth, entering = depth - 1, False
