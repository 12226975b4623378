"""Every tiling of a systolic dataflow, costed: blocks, their order, what buffers keep for how long.

    for blocks of x, y, z, in any order:             outer loops 0, 1, 2
      for folds of columns and rows, in any order:   loops 3, 4
        the array: one fold, its vectors streaming past

Each tensor is held outside of some of these loops (its depth: how many are outside). Its tile is
what the loops inside touch. It comes anew once for every step of the loops outside that move it,
and of those outside of these:

    words from DRAM = words of its tiles, but for what a tile shares with the one before it
                      * product of the trips of the loops that do not move it,
                        but lie outside one that does

Tiles of a convolution's input overlap where its windows do. A sum that is left and taken up again
is written and read each time. Times are estimates, the busiest of the array and DRAM and what
nothing can hide; the best few are simulated (hwsim.choose).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.compiled import kernel

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Tensors are numbered activation, weight, output; groups stream, columns, rows; sizes of a group
# whole, one fold, then its blocks.
DEPTHS = 6  # outside of 0 to 5 loops
LOOPS_OF_ORDER = 5
NO_SUMS = 9  # the depth of accumulators that there are not
KEPT = 16  # of the best tilings
FIELDS, DEPTH_FIELDS = 12, 6  # of what is found, and the first of its depths
STEADY, FOLDS = 10, 11  # the fields of the cycles of one more product, and of all folds
TIME, BYTES, ENERGY = range(3)  # goals
BURSTS_A_PART = 4  # of DRAM at least, for parts of a tile to come by themselves

# rows of Given.facts: by group, by tensor and group, by tensor, and one by one
COUNT, MOVES, WIDTH, AT_DRAM, LEVEL, BUFFERS, SUMS, ARRAY = 0, 1, 4, 5, 6, 7, 8, 9
FEED, FEED_WIDTH, STAYS, FACTS = 10, 11, 12, 13
SUM_BITS, SUM_ROOM, SUM_WIDTH, SUM_BUFFERS = range(4)  # columns of SUMS
SHARE, MERGES, SEPARATE, AHEAD = range(4)  # columns of ARRAY
STRICT = 3  # column of STAYS: do ports count, and room to fetch ahead?
OUTSIDE_SUMS = 3  # column of FEED: the port that sums leave the accumulators through, -1 for none
VECTORS, GAP, LEAST, LATENCY, RATE, PORT, FIRST_WORD, BURST = range(8)  # of Given.rates
MOVING, FEEDING, LEAVING = range(3)  # rows of Given.energy
# rows of Work.ints and Work.floats
LOOPS, TRIPS, CHOSEN, STATE, OPTIONS, DEPTH = 0, 1, 2, 3, 4, 5
SIZE, MOVED, ALONE, TILE, LOADS, BUSY, ROW, ROOM_ROWS = 0, 3, 6, 9, 12, 15, 18, 19

jit: Any = kernel(nogil=True, error_model="numpy", _nrt=False)


class Given(NamedTuple):
    """A search: few arrays, as every one costs compiling.

    ports [memory]: bytes a cycle of the memories that feed the array. trips [2, group, block]: of
    the loop over blocks of a group, and of the one over folds inside one. words [tensor, size,
    size]: of a tile, by the sizes of the two groups that move the tensor. coming [tensor, which of
    the two moves it innermost, size, size]: words of all its tiles, less what two that follow each
    other share. filled: the share of these tiles that have any. fed [tensor]: words that pass into
    the array once all folds have run. room [memory]: bytes. orders [order, 5]: the group of every
    loop. energy [3, tensor]: pJ of a byte from or to DRAM, into the array or out of it, and of a
    sum that leaves the accumulators.

    facts [FACTS, 4]: COUNT, of a group's blocks; MOVES + tensor, does a group move it; by tensor:
    WIDTH, bits of a word in the memory that holds it first; AT_DRAM, in DRAM; LEVEL, which memory
    that is, -1 where the tensor is there already; BUFFERS. SUMS: bytes of an unfinished sum in
    DRAM; of the accumulators room (-1 without), bytes of a word, buffers. ARRAY: arrays that share
    the vectors; do slices of a sum that stays make one fold; has every tensor a port of its own;
    how many tiles are fetched ahead at most. By tensor: FEED, which of the ports feeds the array
    with it, -1 where none does; FEED_WIDTH, bits of a word there; STAYS, in the array.

    rates [8]: VECTORS that stream past in all; cycles of a GAP between folds, at LEAST from fold to
    fold, and of LATENCY behind the last one's vectors; DRAM's bytes a cycle, those of the PORT that
    sums leave through, DRAM's latency, and the bytes of its BURST.
    """

    trips: Ints
    words: Floats
    coming: Floats
    filled: Floats
    fed: Floats
    room: Ints
    ports: Floats
    orders: Ints
    facts: Ints
    rates: Floats
    energy: Floats


class Work(NamedTuple):
    """Room to work in. ints [8, 6], floats [ROOM_ROWS, FIELDS]: see the names of their rows.

    LOOPS, TRIPS: of the order at hand. CHOSEN: the block of each group. STATE: the index of each
    group's size. OPTIONS: how many depths each tensor has; of these DEPTH + tensor, SIZE + tensor
    (bytes in its memory), TILE + tensor (of one tile), MOVED + tensor (from and to DRAM), LOADS +
    tensor (how many tiles these are), BUSY + tensor (bytes of DRAM's whole bursts), ALONE + tensor
    (those of them that nothing hides). ROW: a tiling.
    """

    ints: Ints
    floats: Floats


def room_to_work() -> Work:
    """Empty, for one search."""
    return Work(np.zeros((8, DEPTHS), np.int64), np.zeros((ROOM_ROWS, FIELDS)))


@jit
def _movers(p: Any, tensor: int) -> tuple[int, int]:
    """The two groups that move a tensor."""
    first, second = 0, 2
    while not p.facts[MOVES + tensor, first]:
        first += 1
    while not p.facts[MOVES + tensor, second]:
        second -= 1
    return first, second


@jit
def _tile(p: Any, w: Any, tensor: int) -> float:
    """Words of a tensor's tile, by the sizes that the groups have at the moment."""
    first, second = _movers(p, tensor)
    return float(p.words[tensor, w.ints[STATE, first], w.ints[STATE, second]])


@jit
def _go_inside(w: Any, depth: int) -> None:
    """The sizes of the groups inside so many loops."""
    for group in range(3):
        w.ints[STATE, group] = 0
    for number in range(depth):
        group = w.ints[LOOPS, number]
        if number < 3:
            w.ints[STATE, group] = 2 + w.ints[CHOSEN, group]
        elif w.ints[TRIPS, number] > 1:
            w.ints[STATE, group] = 1


@jit
def _last_mover(p: Any, w: Any, tensor: int, depth: int) -> int:
    """The innermost running loop outside of this depth that moves a tensor, -1 for none."""
    last = -1
    for number in range(depth):
        if p.facts[MOVES + tensor, w.ints[LOOPS, number]] and w.ints[TRIPS, number] > 1:
            last = number
    return last


@jit
def _times(p: Any, w: Any, tensor: int, depth: int) -> float:
    """How often the tiles of a tensor that is held at this depth come, all of them together."""
    times = 1.0
    for number in range(_last_mover(p, w, tensor, depth)):
        if not p.facts[MOVES + tensor, w.ints[LOOPS, number]]:
            times *= w.ints[TRIPS, number]
    return times


@jit
def _loads(p: Any, w: Any, tensor: int, depth: int) -> float:
    """How many tiles of a tensor come."""
    loads = 1.0
    for number in range(_last_mover(p, w, tensor, depth) + 1):
        loads *= w.ints[TRIPS, number]
    return loads


@jit
def _coming(p: Any, w: Any, tensor: int, depth: int, table: Any) -> float:
    """Of a table, what holds for the tiles of a tensor at this depth, by the sizes of its groups.

    The table is Given.coming, or Given.filled.
    """
    mover = _last_mover(p, w, tensor, depth)
    first, second = _movers(p, tensor)
    which = 1 if mover >= 0 and w.ints[LOOPS, mover] == second else 0
    return float(table[tensor, which, w.ints[STATE, first], w.ints[STATE, second]])


@jit
def _is_before(row: Any, other: Any) -> bool:
    """By both costs; of equal ones the one whose folds alone take less."""
    for field in (0, 1, FOLDS):
        if row[field] != other[field]:
            return bool(row[field] < other[field])
    return False


@jit
def _keep(found: Any, row: Any) -> None:
    """Put a tiling among the best, in order; of equal cost, one of each choice of depths."""
    place = found.shape[0] - 1
    if not _is_before(row, found[place]):
        return
    for other in found:
        same = other[0] == row[0] and other[1] == row[1]
        for field in range(DEPTH_FIELDS, STEADY):
            same = same and other[field] == row[field]
        if same:
            if row[FOLDS] < other[FOLDS]:
                for field in range(found.shape[1]):
                    other[field] = row[field]
            return
    while place > 0 and _is_before(row, found[place - 1]):
        for field in range(found.shape[1]):
            found[place, field] = found[place - 1, field]
        place -= 1
    for field in range(found.shape[1]):
        found[place, field] = row[field]


@jit
def search(p: Any, w: Any, goal: int, slowest: float, found: Any) -> int:
    """Fill `found` [KEPT, FIELDS] with the best tilings that take at most `slowest` cycles.

    A row: cycles, DRAM bytes (BYTES, ENERGY: these, and then cycles), order, the block of each
    group, the depth of each tensor, the depth of the accumulators, STEADY: the cycles of one more
    product behind it, when nothing starts anew, and FOLDS: those of the array alone. Returns how
    many tilings were costed.
    """
    tried = 0
    for order in range(p.orders.shape[0]):
        w.floats[ROW, 2] = order
        for number in range(5):
            w.ints[LOOPS, number] = p.orders[order, number]
        for stream in range(p.facts[COUNT, 0]):
            for columns in range(p.facts[COUNT, 1]):
                for rows in range(p.facts[COUNT, 2]):
                    w.ints[CHOSEN, 0], w.ints[CHOSEN, 1], w.ints[CHOSEN, 2] = stream, columns, rows
                    tried += _cost_blocks(p, w, goal, slowest, found)
    return tried


@jit
def _cost_blocks(p: Any, w: Any, goal: int, slowest: float, found: Any) -> int:
    """Every choice of depths for the blocks at hand."""
    for number in range(5):
        group = w.ints[LOOPS, number]
        kind = 0 if number < 3 else 1
        w.ints[TRIPS, number] = p.trips[kind, group, w.ints[CHOSEN, group]]
    if _is_said_already(w):
        return 0
    w.floats[ROW, FOLDS] = _compute(p, w)
    compute = max(w.floats[ROW, FOLDS], _feeding(p, w, 0.0))
    for tensor in range(3):
        _find_depths(p, w, tensor, compute)
        if w.ints[OPTIONS, tensor] == 0:
            return 0
    tried = 0
    feeding = _feeding_energy(p, w) if goal == ENERGY else 0.0
    if _cannot_be_kept(p, w, compute, feeding, goal, slowest, found):
        return 0
    for a in range(w.ints[OPTIONS, 0]):
        for b in range(w.ints[OPTIONS, 1]):
            for c in range(w.ints[OPTIONS, 2]):
                tried += _cost(p, w, compute, feeding, a, b, c, goal, slowest, found)
    return tried


@jit
def _cannot_be_kept(
    p: Any, w: Any, compute: float, feeding: float, goal: int, slowest: float, found: Any
) -> bool:
    """Is the least that these blocks can come to, at any depths, more than what is kept last?"""
    worst = found[found.shape[0] - 1, 0]
    if goal == TIME:
        return bool(compute > worst)
    moved = feeding
    for tensor in range(3):
        least = np.inf
        for option in range(w.ints[OPTIONS, tensor]):
            least = min(least, w.floats[MOVED + tensor, option])
        moved += least * (p.energy[MOVING, tensor] if goal == ENERGY else 1.0)
    return bool(moved > worst or compute > slowest)


@jit
def _is_said_already(w: Any) -> bool:
    """Is the order another's, but for loops of one trip?

    Those stand first, by their number, and folds of columns then.
    """
    for number in range(1, 3):
        if w.ints[TRIPS, number] == 1:
            before = (
                w.ints[TRIPS, number - 1] > 1 or w.ints[LOOPS, number - 1] > w.ints[LOOPS, number]
            )
            if before:
                return True
    idle = w.ints[TRIPS, 3] == 1 or w.ints[TRIPS, 4] == 1
    return bool(idle and w.ints[LOOPS, 3] > w.ints[LOOPS, 4])


@jit
def _find_depths(p: Any, w: Any, tensor: int, compute: float) -> None:
    """The depths at which a tensor fits its memory alone, from the smallest tile on.

    Larger ones count if they save bytes of DRAM's bursts, or loads that are waited for.
    """
    w.ints[OPTIONS, tensor] = 0
    level = p.facts[LEVEL, tensor]
    if level < 0:  # it is there already
        w.ints[OPTIONS, tensor] = 1
        (
            w.ints[DEPTH + tensor, 0],
            w.floats[SIZE + tensor, 0],
            w.floats[MOVED + tensor, 0],
            w.floats[ALONE + tensor, 0],
        ) = (0, 0.0, 0.0, 0.0)
        w.floats[LOADS + tensor, 0] = w.floats[BUSY + tensor, 0] = 0.0
        return
    cover = p.words[tensor, 0, 0]
    least = -1.0
    for depth in range(5, -1, -1):
        _go_inside(w, depth)
        words = _tile(p, w, tensor)
        times = _times(p, w, tensor, depth)
        unfinished = tensor == 2 and times > 1
        width = p.facts[SUMS, SUM_BITS] if unfinished else p.facts[WIDTH, tensor]
        size = words * width / 8
        copies = 1 if words >= cover else p.facts[BUFFERS, tensor]
        if p.facts[STAYS, STRICT] and copies > 2 and size * copies > p.room[level]:
            copies = 2  # enough to load one while the other is used
        single = size * copies > p.room[level]
        if single and size > p.room[level]:
            continue
        moved = _coming(p, w, tensor, depth, p.coming) * times * p.facts[AT_DRAM, tensor] / 8
        loads = max(1.0, _loads(p, w, tensor, depth) * _coming(p, w, tensor, depth, p.filled))
        if unfinished:
            moved = cover * (2 * times - 1) * p.facts[SUMS, SUM_BITS] / 8
            loads *= (2 * times - 1) / times
        place = w.ints[OPTIONS, tensor]
        busy = loads * np.ceil(moved / loads / p.rates[BURST]) * p.rates[BURST]
        saves = least < 0 or busy < least or _saves_waiting(p, w, tensor, loads, compute)
        if not saves:
            continue
        least = least if single else busy if least < 0 else min(least, busy)
        (
            w.ints[DEPTH + tensor, place],
            w.floats[SIZE + tensor, place],
            w.floats[MOVED + tensor, place],
        ) = (depth, size if single else size * copies, moved)
        first = p.rates[FIRST_WORD] if tensor < 2 else 0.0  # a tile's first word is waited for
        waiting = loads * first * p.rates[RATE]
        alone = (single or p.facts[BUFFERS, tensor] == 1) and words < cover
        w.floats[TILE + tensor, place] = size
        w.floats[LOADS + tensor, place], w.floats[BUSY + tensor, place] = loads, busy
        w.floats[ALONE + tensor, place] = 0.0
        if alone:
            hidden = _hidden(p, w, tensor, depth, busy, compute)
            w.floats[ALONE + tensor, place] = busy + waiting - hidden
        w.ints[OPTIONS, tensor] += 1


@jit
def _hidden(p: Any, w: Any, tensor: int, depth: int, busy: float, compute: float) -> float:
    """Bytes of a tensor that come while the array works, though one tile at a time has room.

    Its first pass over a tile begins when a fold's part has come, and goes on as the others do. A
    tile that goes into the array to stay there makes room for the next one before its last fold.
    """
    if tensor == 2:
        return 0.0  # sums go as whole tiles
    parts, passes, times = 1.0, 1.0, 1.0
    for number in range(depth, LOOPS_OF_ORDER):
        if p.facts[MOVES + tensor, w.ints[LOOPS, number]] == 1:
            parts *= w.ints[TRIPS, number]
            passes = times  # of the loops outside of the innermost that moves in the tile
        else:
            times *= w.ints[TRIPS, number]
    fold = p.words[tensor, 1, 1] * p.facts[WIDTH, tensor] / 8
    if p.rates[BURST] > 1 and fold < BURSTS_A_PART * p.rates[BURST]:
        parts = 1.0  # it comes whole
    works = compute / passes * p.rates[RATE]
    return float(min(busy, works) * (1.0 if p.facts[STAYS, tensor] else 1.0 - 1.0 / parts))


@jit
def _saves_waiting(p: Any, w: Any, tensor: int, loads: float, compute: float) -> bool:
    """Are so many loads fewer than at the depth before, where the array waits for them?"""
    before = w.ints[OPTIONS, tensor] - 1
    if before < 0 or tensor == 2 or loads >= w.floats[LOADS + tensor, before]:
        return False
    alone = w.floats[ALONE + tensor, before] > 0
    return bool(alone or _in_flight(p, w, compute, tensor, before) > compute)


@jit
def _compute(p: Any, w: Any) -> float:
    """Cycles of all folds."""
    folds = 1.0
    for group in range(1, 3):
        folds *= p.trips[0, group, w.ints[CHOSEN, group]] * p.trips[1, group, w.ints[CHOSEN, group]]
    strips = float(p.trips[0, 0, w.ints[CHOSEN, 0]])
    if p.facts[ARRAY, MERGES] == 1:  # slices of a sum that stays follow each other as one fold
        behind = 1
        for number in range(5):
            behind = 1 if w.ints[LOOPS, number] == 0 else behind * w.ints[TRIPS, number]
        strips = 1.0 if behind == 1 else strips
    each = np.ceil(p.rates[VECTORS] / strips / p.facts[ARRAY, SHARE])
    return float(folds * strips * max(each + p.rates[GAP], p.rates[LEAST]) + p.rates[LATENCY])


@jit
def _passes(p: Any, w: Any, tensor: int) -> float:
    """How often the array meets the words of a tensor.

    It meets one that stays for every step that moves it; another, for every fold.
    """
    if p.facts[STAYS, tensor]:
        return float(_times(p, w, tensor, LOOPS_OF_ORDER))
    times = 1.0
    for number in range(LOOPS_OF_ORDER):
        if not p.facts[MOVES + tensor, w.ints[LOOPS, number]]:
            times *= w.ints[TRIPS, number]
    return times


@jit
def _feeding(p: Any, w: Any, spilled: float) -> float:
    """Cycles of the busiest port that feeds the array, its reads and writes side by side.

    spilled: how often all sums leave the accumulators, and come back but for the first time; 0
    where there are none.
    """
    slowest = 0.0
    for port in range(len(p.ports)):
        reads, writes = 0.0, 0.0
        for tensor in range(3):
            if p.facts[FEED, tensor] != port:
                continue
            times = _passes(p, w, tensor)
            moved = p.fed[tensor] * p.facts[FEED_WIDTH, tensor] / 8
            if tensor < 2:
                reads += moved * times
            else:
                reads += moved * (times - 1.0 + spilled)
                writes += moved * (times + max(0.0, spilled - 1.0))
        if p.facts[FEED, OUTSIDE_SUMS] == port and spilled > 1:
            leaving = p.words[2, 0, 0] * p.facts[SUMS, SUM_WIDTH] / 8
            reads, writes = reads + leaving * (spilled - 1.0), writes + leaving * spilled
        slowest = max(slowest, max(reads, writes) / p.ports[port])
    return slowest


@jit
def _feeding_energy(p: Any, w: Any) -> float:
    """pJ of the memories that feed the array, and take its sums."""
    total = 0.0
    for tensor in range(3):
        times = _passes(p, w, tensor)
        moved = p.fed[tensor] * p.facts[FEED_WIDTH, tensor] / 8
        total += moved * p.energy[FEEDING, tensor] * (times if tensor < 2 else 2 * times - 1.0)
    return total


@jit
def _arrived(p: Any, w: Any, compute: float, total: float, tensor: int, option: int) -> float:
    """When the last part of an input has come and been used, in cycles from the start.

    The array has passed over it as often as it stays. Cycles from the start; 0 for one that is
    there.
    """
    if p.facts[LEVEL, tensor] < 0:
        return 0.0
    # of the loops that a tile stays through, and of those the last that moves in it
    first, last = 0, -1
    for number in range(LOOPS_OF_ORDER):
        if p.facts[MOVES + tensor, w.ints[LOOPS, number]] == 1 and w.ints[TRIPS, number] > 1:
            if number < w.ints[DEPTH + tensor, option]:
                first = number + 1
            else:
                last = number
    moved = w.floats[BUSY + tensor, option]
    if first > 0 and p.facts[ARRAY, SEPARATE] == 0:
        moved = total  # tiles follow each other, beside those of the others
    outside, passes = 1.0, 1.0
    for number in range(LOOPS_OF_ORDER):
        if number < first:
            outside *= w.ints[TRIPS, number]
        elif number < last:
            moves = p.facts[MOVES + tensor, w.ints[LOOPS, number]] == 1
            passes *= 1.0 if moves else w.ints[TRIPS, number]
    left = 1.0 - 1.0 / passes if last >= first else 1.0
    return float(moved / p.rates[RATE] + compute / outside * left)


@jit
def _in_flight(p: Any, w: Any, compute: float, tensor: int, option: int) -> float:
    """Cycles of a tensor's loads, where few tiles at a time have room.

    Each is on its way from DRAM, and then used.
    """
    if p.facts[LEVEL, tensor] < 0:
        return 0.0
    tile = w.floats[TILE + tensor, option]
    most = max(p.facts[ARRAY, AHEAD], p.facts[BUFFERS, tensor])
    moved, room = w.floats[BUSY + tensor, option], p.room[p.facts[LEVEL, tensor]]
    if not p.facts[STAYS, STRICT]:
        held = min(room, most * w.floats[SIZE + tensor, option] / p.facts[BUFFERS, tensor])
        return float(moved * p.rates[FIRST_WORD] / held) if held > 0 else 0.0
    copies = min(np.floor(room / tile), float(most))
    if copies < 2 or p.facts[BUFFERS, tensor] == 1:
        return 0.0  # nothing is on its way while a tile is used: said already
    loads = w.floats[LOADS + tensor, option]
    if loads <= 1:
        return 0.0  # there is one tile
    coming = loads * p.rates[FIRST_WORD] + moved / p.rates[RATE]
    return float((coming + compute) / copies)


@jit
def _inner_depth(p: Any, w: Any, outer: int) -> int:
    """The depth at which the accumulators hold the sums of a tile.

    Of those that fit it is the outermost that leaves sums the fewest times; -1 where none fits,
    NO_SUMS where there are none.
    """
    if p.facts[SUMS, SUM_ROOM] < 0:
        return NO_SUMS
    best, least = -1, 0.0
    for depth in range(outer, DEPTHS):
        _go_inside(w, depth)
        size = _tile(p, w, 2) * p.facts[SUMS, SUM_WIDTH] / 8 * p.facts[SUMS, SUM_BUFFERS]
        times = _times(p, w, 2, depth)
        if size <= p.facts[SUMS, SUM_ROOM] and (best < 0 or times < least):
            best, least = depth, times
    return best


@jit
def _spilling(p: Any, w: Any, inner: int) -> float:
    """Cycles of the port through which sums leave the accumulators, and come back."""
    if inner == NO_SUMS:
        return 0.0
    times = _times(p, w, 2, inner)
    width = p.facts[AT_DRAM, 2] if times == 1.0 else p.facts[SUMS, SUM_WIDTH]
    outside = p.words[2, 0, 0] * times * width / 8 / p.rates[PORT]
    return float(max(outside, _feeding(p, w, times)))


@jit
def _fits(p: Any, w: Any, a: int, b: int, c: int) -> bool:
    """Do the tensors fit the memories that they share?"""
    for level in range(len(p.room)):
        need = w.floats[SIZE + 0, a] if p.facts[LEVEL, 0] == level else 0.0
        need += w.floats[SIZE + 1, b] if p.facts[LEVEL, 1] == level else 0.0
        need += w.floats[SIZE + 2, c] if p.facts[LEVEL, 2] == level else 0.0
        if need > p.room[level]:
            return False
    return True


@jit
def _fits_unfinished(p: Any, w: Any, inner: int, a: int, b: int, c: int) -> bool:
    """Where sums leave the accumulators unfinished: does the memory outside have room for them?"""
    if inner == NO_SUMS or _times(p, w, 2, inner) == 1.0:
        return True
    level = p.facts[LEVEL, 2]
    if level < 0:
        return False  # what stays on the chip has room for finished outputs
    need = w.floats[SIZE + 2, c] * p.facts[SUMS, SUM_WIDTH] / p.facts[WIDTH, 2]
    need += w.floats[SIZE + 0, a] if p.facts[LEVEL, 0] == level else 0.0
    need += w.floats[SIZE + 1, b] if p.facts[LEVEL, 1] == level else 0.0
    return bool(need <= p.room[level])


@jit
def _cost(
    p: Any,
    w: Any,
    compute: float,
    feeding: float,
    a: int,
    b: int,
    c: int,
    goal: int,
    slowest: float,
    found: Any,
) -> int:
    """One choice of depths: kept if it is among the best. feeding: pJ of what feeds the array."""
    if not _fits(p, w, a, b, c):
        return 0
    total = w.floats[MOVED + 0, a] + w.floats[MOVED + 1, b] + w.floats[MOVED + 2, c]
    busy = w.floats[BUSY + 0, a] + w.floats[BUSY + 1, b] + w.floats[BUSY + 2, c]
    busiest = busy
    if p.facts[ARRAY, SEPARATE] == 1:
        busiest = max(w.floats[BUSY + 0, a], w.floats[BUSY + 1, b], w.floats[BUSY + 2, c])
    arrived = max(_arrived(p, w, compute, busy, 0, a), _arrived(p, w, compute, busy, 1, b))
    arrived = max(arrived, _in_flight(p, w, compute, 0, a), _in_flight(p, w, compute, 1, b))
    alone = w.floats[ALONE + 0, a] + w.floats[ALONE + 1, b] + w.floats[ALONE + 2, c]
    time = max(compute + alone / p.rates[RATE], busiest / p.rates[RATE], arrived)
    last = found[found.shape[0] - 1]
    cost = time if goal == TIME else total
    if goal == ENERGY:
        cost = feeding + w.floats[MOVED + 0, a] * p.energy[MOVING, 0]
        cost += w.floats[MOVED + 1, b] * p.energy[MOVING, 1]
        cost += w.floats[MOVED + 2, c] * p.energy[MOVING, 2]
    if time > slowest or cost > last[0]:
        return 1
    inner = _inner_depth(p, w, w.ints[DEPTH + 2, c])
    if inner < 0 or not _fits_unfinished(p, w, inner, a, b, c):
        return 1
    first = 0.0
    for tensor, option in ((0, a), (1, b), (2, c)):
        if p.facts[LEVEL, tensor] >= 0:
            _go_inside(w, 5 if tensor < 2 else w.ints[DEPTH + tensor, option])
            first += _tile(p, w, tensor) * p.facts[AT_DRAM, tensor] / 8
        w.floats[ROW, 6 + tensor] = w.ints[DEPTH + tensor, option]
    again = compute - p.rates[LATENCY] + alone / p.rates[RATE]
    w.floats[ROW, STEADY] = max(again, busiest / p.rates[RATE])
    time = max(time + first / p.rates[RATE], _spilling(p, w, inner))
    if time > slowest:
        return 1
    if goal == ENERGY and inner != NO_SUMS:
        times = _times(p, w, 2, inner)
        leaving = p.words[2, 0, 0] * p.facts[SUMS, SUM_WIDTH] / 8 * (2 * times - 1.0)
        cost += leaving * p.energy[LEAVING, 2]
    w.floats[ROW, 0], w.floats[ROW, 1] = (time, total) if goal == TIME else (cost, time)
    w.floats[ROW, 3], w.floats[ROW, 4], w.floats[ROW, 5], w.floats[ROW, 9] = (
        w.ints[CHOSEN, 0],
        w.ints[CHOSEN, 1],
        w.ints[CHOSEN, 2],
        inner,
    )
    _keep(found, w.floats[ROW])
    return 1
