"""The closed form's factors for many tilings at once.

hwsim.count.closed_form writes the words that cross into a level as

    at_end + sum over loops j of (prod_groups new_j - prod_groups kept_j)

where a group is a dim, or the dims that share an axis (p and r of a convolution's rows). The
factors of a group depend on its own tiles only, so a few thousand of them describe every mapping; a
mapping's cost is then a handful of products. The kernels repeat hwsim.count.closed_form's
arithmetic on numbers instead of objects; the tests hold the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.compiled import about_to_run, kernel
from hwsim.ir.tensor import Axis

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

jit: Any = kernel(nogil=True, error_model="numpy")
recursive: Any = kernel(
    "float64(int64, int64[::1], boolean[::1], boolean[::1], int64)", nogil=True, error_model="numpy"
)

PRESENCE, BLOCK, WINDOW = 0, 1, 2
FORWARD, BACKWARD, EVERYTHING = 0, 1, 2
ENTRIES, ASKED, RETURNED = range(3)  # words across a boundary


@dataclass(frozen=True)
class Terms:
    """value = sum of weight * (prod_g new - prod_g kept), as columns of the groups' tables.

    columns [terms, groups]; weights [metrics, terms]; constant [metrics].
    """

    columns: Ints
    weights: Floats
    constant: Floats


class OwnLoop(NamedTuple):
    """A loop of a group: which of its dims, and how it runs.

    column: number of the tile in a candidate's chain.
    """

    dim: int
    column: int
    spatial: bool = False
    shared: bool = False


def slot_count(loops: tuple[OwnLoop, ...]) -> int:
    """Factors kept for loops above a level.

    They are at the end, at each own temporal loop, in each gap between them.
    """
    return 2 * sum(not loop.spatial for loop in loops) + 2


def own_slot(number: int) -> int:
    """The slot of an advance of the group's temporal loop `number`."""
    return 1 + number


def gap_slot(loops: tuple[OwnLoop, ...], outside: int) -> int:
    """The slot of an advance of another group's loop.

    That loop has `outside` of this group's temporal loops outside it.
    """
    return 1 + sum(not loop.spatial for loop in loops) + outside


def factors(
    kind: int,
    axis: Axis | None,
    dims: tuple[str, ...],
    bounds: tuple[int, ...],
    loops: tuple[OwnLoop, ...],
    tiles: Ints,
    mode: int,
) -> Floats:
    """[candidates, slots, 2]: sums of |union| and |kept| of one axis for every candidate.

    It is one axis, or one dim's presence.

    dims: the group's dims that the axis uses (presence: the one dim). tiles: [candidates, columns]
    of chains.
    """
    place = {dim: number for number, dim in enumerate(dims)}
    own = [loop for loop in loops if loop.dim >= 0]
    columns = np.array([loop.column for loop in own], np.int64)
    which = np.array([loop.dim for loop in own], np.int64)
    spatial = np.array([loop.spatial for loop in own], np.bool_)
    shared = np.array([loop.shared for loop in own], np.bool_)
    terms = np.zeros(2, np.int64)
    offset, extent, size = 0, 1, 1
    if axis is not None:
        for dim, coefficient in axis.terms:
            if dim in place:
                terms[place[dim]] = coefficient
        offset, extent, size = axis.offset, axis.extent, axis.size
    depth, moving = _slots(loops, len(dims))
    padded = np.array([*bounds, 1][:2], np.int64)
    slots = 1 if mode == EVERYTHING else depth.shape[0] + 1
    chains, place_of = _distinct(tiles[:, columns])
    out = np.zeros((len(chains), slots, 2), np.float64)
    about_to_run(_fill)
    _fill(
        kind,
        padded,
        len(dims),
        terms,
        offset,
        extent,
        size,
        chains,
        which,
        spatial,
        shared,
        depth,
        moving,
        mode,
        out,
    )
    return out[place_of]


def _distinct(chains: Ints) -> tuple[Ints, Ints]:
    """The rows that differ, and which of these every row is."""
    place = np.zeros(len(chains), np.int64)
    first = np.zeros(1, np.int64)
    for column in chains.T:
        _, own = np.unique(column, return_inverse=True)  # so that no product of two is too large
        number = place * (own.max() + 1) + own
        _, first, place = np.unique(number, return_index=True, return_inverse=True)
    return np.ascontiguousarray(chains[first]), place


def _slots(loops: tuple[OwnLoop, ...], dims: int) -> tuple[Ints, Ints]:
    """Per slot but the first, and per dim: temporal loops outside, and a flag.

    The flag is 1 where the advancing loop is the dim's own.

    Loops of dims that the axis does not use are numbered -1: they take a slot and move nothing.
    """
    temporal = [loop for loop in loops if not loop.spatial]
    rows, flags = [], []
    for number, loop in enumerate(temporal):
        rows.append([sum(before.dim == dim for before in temporal[:number]) for dim in range(2)])
        flags.append([int(loop.dim == dim) for dim in range(2)])
    for outside in range(len(temporal) + 1):
        rows.append([sum(before.dim == dim for before in temporal[:outside]) for dim in range(2)])
        flags.append([0, 0])
    return np.array(rows, np.int64).reshape(-1, 2), np.array(flags, np.int64).reshape(-1, 2)


@jit
def _chunks(bound: int, tiles: Any, which: Any, spatial: Any, shared: Any, dim: int) -> Any:
    """Every chunk of one dim, as four arrays.

    They are start and end [rows, columns], the group of each column, and ancestors [depth, rows].
    """
    start = np.zeros((1, 1), np.int64)
    end = np.full((1, 1), bound, np.int64)
    group = np.zeros(1, np.int64)
    levels = 0
    for number in range(len(which)):
        if which[number] == dim and not spatial[number]:
            levels += 1
    ancestors = np.zeros((levels + 1, 1), np.int64)
    depth = 0
    for number in range(len(which)):
        if which[number] != dim:
            continue
        tile = tiles[number]
        rows, columns = start.shape
        if not spatial[number]:
            total = 0
            for row in range(rows):
                total += max(0, -(-(end[row, 0] - start[row, 0]) // tile))
            new_start = np.empty((total, columns), np.int64)
            new_end = np.empty((total, columns), np.int64)
            new_ancestors = np.zeros((levels + 1, total), np.int64)
            at = 0
            for row in range(rows):
                pieces = max(0, -(-(end[row, 0] - start[row, 0]) // tile))
                for piece in range(pieces):
                    for column in range(columns):
                        low = start[row, column] + piece * tile
                        new_start[at, column] = low
                        new_end[at, column] = min(end[row, column], low + tile)
                    for level in range(depth + 1):
                        new_ancestors[level, at] = ancestors[level, row]
                    at += 1
            depth += 1
            for row in range(total):
                new_ancestors[depth, row] = row
            start, end, ancestors = new_start, new_end, new_ancestors
        else:
            longest = 0
            for row in range(rows):
                longest = max(longest, end[row, 0] - start[row, 0])
            pieces = -(-longest // tile)
            new_start = np.empty((rows, columns * pieces), np.int64)
            new_end = np.empty((rows, columns * pieces), np.int64)
            new_group = np.empty(columns * pieces, np.int64)
            for column in range(columns):
                for piece in range(pieces):
                    to = column * pieces + piece
                    new_group[to] = (
                        group[column] if shared[number] else group[column] * pieces + piece
                    )
                    for row in range(rows):
                        low = start[row, column] + piece * tile
                        new_start[row, to] = low
                        new_end[row, to] = min(end[row, column], low + tile)
            start, end, group = new_start, new_end, new_group
    return start, end, group, ancestors


@jit
def _moves(ancestors: Any, depth: int, own: int) -> Any:
    """(rows before, rows after) for every way a dim passes through an advance."""
    rows = ancestors.shape[1]
    before = np.empty(rows + 1, np.int64)
    after = np.empty(rows + 1, np.int64)
    count = 0
    if own:
        for row in range(1, rows):
            if (
                ancestors[depth, row] == ancestors[depth, row - 1]
                and ancestors[depth + 1, row] != ancestors[depth + 1, row - 1]
            ):
                before[count], after[count] = row - 1, row
                count += 1
        return before[:count], after[:count]
    first = 0
    for row in range(1, rows + 1):
        if row == rows or ancestors[depth, row] != ancestors[depth, row - 1]:
            before[count], after[count] = row - 1, first
            count += 1
            first = row
    return before[:count], after[:count]


@jit
def _presence(
    start: Any, end: Any, group: Any, groups: int, now: Any, then: Any, first: bool
) -> Any:
    needed, kept = 0.0, 0.0
    here = np.zeros(groups, np.bool_)
    lacking = np.zeros(groups, np.bool_)
    for case in range(len(now)):
        here[:] = False
        lacking[:] = False
        for column in range(start.shape[1]):
            if end[now[case], column] > start[now[case], column]:
                here[group[column]] = True
                if not first and end[then[case], column] <= start[then[case], column]:
                    lacking[group[column]] = True
        for member in range(groups):
            if here[member]:
                needed += 1.0
                if not first and not lacking[member]:
                    kept += 1.0
    return needed, kept


@jit
def _block(start: Any, end: Any, extent: int, now: Any, then: Any, first: bool) -> Any:
    needed, kept = 0.0, 0.0
    for case in range(len(now)):
        for column in range(start.shape[1]):
            low, high = start[now[case], column], end[now[case], column]
            if high > low:
                needed += high - low
                if not first:
                    kept += max(
                        0, min(high, end[then[case], column]) - max(low, start[then[case], column])
                    )
    return needed * extent, kept * extent


@jit
def _paint(
    bits: Any,
    low0: int,
    high0: int,
    low1: int,
    high1: int,
    terms: Any,
    offset: int,
    extent: int,
    size: int,
) -> None:
    """Set the coordinates that a pair of chunks touches."""
    for a in range(low0, high0):
        for b in range(low1, high1):
            base = offset + terms[0] * a + terms[1] * b
            for x in range(max(base, 0), min(base + extent, size)):
                bits[x] = True


@jit
def _gapless(lengths0: int, lengths1: int, terms: Any, extent: int) -> bool:
    small, large = (0, 1) if terms[0] <= terms[1] else (1, 0)
    run = extent
    for which in (small, large):
        length = lengths0 if which == 0 else lengths1
        if terms[which] > run and length > 1:
            return False
        run += terms[which] * (length - 1)
    return True


@jit
def _window(
    start0: Any,
    end0: Any,
    group0: Any,
    start1: Any,
    end1: Any,
    group1: Any,
    terms: Any,
    offset: int,
    extent: int,
    size: int,
    now0: Any,
    then0: Any,
    now1: Any,
    then1: Any,
    first: bool,
) -> Any:
    """Sums over all pairs of cases of |union over an asker's columns| and |kept|.

    Kept is what none of the columns lacks.
    """
    needed, kept = 0.0, 0.0
    groups0, groups1 = group0.max() + 1, group1.max() + 1
    columns0, columns1 = len(group0), len(group1)
    single = columns0 == 1 and columns1 == 1
    union = np.zeros(size, np.bool_)
    lacked = np.zeros(size, np.bool_)
    mine = np.zeros(size, np.bool_)
    old = np.zeros(size, np.bool_)
    for case0 in range(len(now0)):
        for case1 in range(len(now1)):
            if single:
                low0, high0, low1, high1 = (
                    start0[now0[case0], 0],
                    end0[now0[case0], 0],
                    start1[now1[case1], 0],
                    end1[now1[case1], 0],
                )
                if high0 <= low0 or high1 <= low1:
                    continue
                plain = _gapless(high0 - low0, high1 - low1, terms, extent)
                if plain and not first:
                    plain = _gapless(
                        end0[then0[case0], 0] - start0[then0[case0], 0],
                        end1[then1[case1], 0] - start1[then1[case1], 0],
                        terms,
                        extent,
                    )
                if plain:
                    low = max(0, offset + terms[0] * low0 + terms[1] * low1)
                    high = min(
                        size, offset + terms[0] * (high0 - 1) + terms[1] * (high1 - 1) + extent
                    )
                    needed += max(0, high - low)
                    if not first:
                        a0, b0, a1, b1 = (
                            start0[then0[case0], 0],
                            end0[then0[case0], 0],
                            start1[then1[case1], 0],
                            end1[then1[case1], 0],
                        )
                        if b0 > a0 and b1 > a1:
                            before = max(0, offset + terms[0] * a0 + terms[1] * a1)
                            beyond = min(
                                size, offset + terms[0] * (b0 - 1) + terms[1] * (b1 - 1) + extent
                            )
                            kept += max(0, min(high, beyond) - max(low, before))
                    continue
            for member0 in range(groups0):
                for member1 in range(groups1):
                    union[:] = False
                    lacked[:] = False
                    for column0 in range(columns0):
                        if group0[column0] != member0:
                            continue
                        for column1 in range(columns1):
                            if group1[column1] != member1:
                                continue
                            low0, high0 = start0[now0[case0], column0], end0[now0[case0], column0]
                            low1, high1 = start1[now1[case1], column1], end1[now1[case1], column1]
                            if first:
                                _paint(union, low0, high0, low1, high1, terms, offset, extent, size)
                                continue
                            mine[:] = False
                            old[:] = False
                            _paint(mine, low0, high0, low1, high1, terms, offset, extent, size)
                            _paint(
                                old,
                                start0[then0[case0], column0],
                                end0[then0[case0], column0],
                                start1[then1[case1], column1],
                                end1[then1[case1], column1],
                                terms,
                                offset,
                                extent,
                                size,
                            )
                            for x in range(size):
                                if mine[x]:
                                    union[x] = True
                                    if not old[x]:
                                        lacked[x] = True
                    for x in range(size):
                        if union[x]:
                            needed += 1.0
                            if not first and not lacked[x]:
                                kept += 1.0
    return needed, kept


@recursive
def _present(length: int, chain: Any, spatial: Any, shared: Any, number: int) -> float:
    """Steps at which a dim has work, summed over askers."""
    if length <= 0:
        return 0.0
    if number == len(chain):
        return 1.0
    tile = chain[number]
    if spatial[number] and shared[number]:
        return _present(min(length, tile), chain, spatial, shared, number + 1)
    whole = length // tile
    total = whole * _present(tile, chain, spatial, shared, number + 1) if whole else 0.0
    return total + _present(length - whole * tile, chain, spatial, shared, number + 1)


@jit
def _fill(
    kind: int,
    bounds: Any,
    dims: int,
    terms: Any,
    offset: int,
    extent: int,
    size: int,
    chains: Any,
    which: Any,
    spatial: Any,
    shared: Any,
    depth: Any,
    moving: Any,
    mode: int,
    out: Any,
) -> None:
    nothing = np.zeros(1, np.int64)
    for candidate in range(chains.shape[0]):
        chain = chains[candidate]
        if mode == EVERYTHING and kind != WINDOW:
            out[candidate, 0, 0] = (
                bounds[0] * extent
                if kind == BLOCK
                else _present(bounds[0], chain, spatial, shared, 0)
            )
            continue
        start0, end0, group0, ancestors0 = _chunks(bounds[0], chain, which, spatial, shared, 0)
        start1, end1, group1, ancestors1 = _chunks(
            bounds[1] if dims > 1 else 1, chain, which, spatial, shared, 1
        )
        rows0, rows1 = start0.shape[0], start1.shape[0]
        groups = group0.max() + 1
        for slot in range(out.shape[1]):
            if mode == EVERYTHING:
                now0, now1 = np.arange(rows0), np.arange(rows1)
                then0, then1, first = nothing, nothing, True
            elif slot == 0:
                now0 = np.full(1, rows0 - 1 if mode == BACKWARD else 0)
                now1 = np.full(1, rows1 - 1 if mode == BACKWARD else 0)
                then0, then1, first = nothing, nothing, True
            else:
                before0, after0 = _moves(ancestors0, depth[slot - 1, 0], moving[slot - 1, 0])
                before1, after1 = _moves(ancestors1, depth[slot - 1, 1], moving[slot - 1, 1])
                first = False
                if mode == BACKWARD:
                    now0, then0, now1, then1 = before0, after0, before1, after1
                else:
                    now0, then0, now1, then1 = after0, before0, after1, before1
            if kind == PRESENCE:
                needed, kept = _presence(start0, end0, group0, groups, now0, then0, first)
            elif kind == BLOCK:
                needed, kept = _block(start0, end0, extent, now0, then0, first)
            else:
                needed, kept = _window(
                    start0,
                    end0,
                    group0,
                    start1,
                    end1,
                    group1,
                    terms,
                    offset,
                    extent,
                    size,
                    now0,
                    then0,
                    now1,
                    then1,
                    first,
                )
            out[candidate, slot, 0] = needed
            out[candidate, slot, 1] = kept
