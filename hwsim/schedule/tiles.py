"""Tiles of the systolic dataflows: the best nests in which a tensor stays in the array.

    for products of a batch, as many at a time as lie beside each other on the diagonal:
      for blocks of rows, columns, stream:
        for folds of rows, columns:
          par products, par rows, par columns: [array] for the stream

Searched are which blocks, in which order, and what each buffer holds, outside of which loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from math import ceil, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from hwsim.describe.machine import Machine, Role
from hwsim.describe.units import size_text, whole_bytes
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.stationary import lies_as
from hwsim.ir.tensor import Tensor
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import Placement, held_width
from hwsim.schedule.arrays import beside_on, cell_holds, needs_cells, other_dims, scratchpad, still
from hwsim.schedule.dataflows import Candidate, tile_bytes, tile_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hwsim.schedule import tile_search

Box = Mapping[str, int]
ROLES: tuple[Role, ...] = ("activation", "weight", "output")
PIECES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
MOST_BLOCKS = 10  # of rows and of columns; a stream may be cut into any of PIECES
DEEPEST = 8  # tiles that are fetched ahead at most, but where a memory states more
AS_QUICK = 1.005  # times the least cycles: nests within it count as equally quick
FINALISTS, FRUGAL = 6, 3  # nests that are returned; of equally quick ones, so many that move least
WAITING = 1.02  # times the least cycles of a full array: one that takes more waits for data
BY_BYTES = ("dram", "energy")  # objectives
SHALLOW = 2  # finalists that are returned a second time, fetching one tile ahead only


@dataclass(frozen=True)
class Group:
    """Dims that are cut together.

    whole, fold: boxes; blocks: boxes of folds to choose from, the fold first.
    """

    dims: tuple[str, ...]
    whole: Box
    fold: Box
    blocks: tuple[Box, ...]

    @property
    def sizes(self) -> tuple[Box, ...]:
        """By the indices of hwsim.schedule.tile_search."""
        return (self.whole, self.fold, *self.blocks)


def trips(outside: Box, inside: Box) -> int:
    """Boxes of one size in one of another."""
    return prod(ceil(outside[dim] / inside[dim]) for dim in outside)


@dataclass(frozen=True)
class Problem:
    """A stage on an array with one tensor staying: what may be chosen.

    counts: how many products of a batch may lie on the array's diagonal; beside: how many do.
    """

    stage: Stage
    machine: Machine
    placement: Placement
    role: Role
    groups: tuple[Group, Group, Group]
    counts: tuple[int, ...] = (1,)
    beside: int = 1

    @property
    def view(self) -> GemmView:
        assert self.stage.view is not None
        return self.stage.view

    def moves(self, tensor: Tensor) -> tuple[int, int]:
        """The two groups that move a tensor."""
        one, two = (
            number
            for number, group in enumerate(self.groups)
            if set(group.dims) & set(self.dims_of[tensor.role])
        )
        return one, two

    @property
    def of_batch(self) -> dict[str, int]:
        """The tiles of the batch's dims: products of its innermost dim lie beside each other."""
        batch = self.view.b
        return {**dict.fromkeys(batch, 1), **dict.fromkeys(batch[-1:], self.beside)}

    @property
    def times(self) -> int:
        """How often the array is given products of the batch, one after another."""
        extents = self.stage.extents
        return prod(ceil(extents[dim] / size) for dim, size in self.of_batch.items())

    @property
    def dims_of(self) -> Mapping[Role, tuple[str, ...]]:
        """The matrix dims of each tensor; taps of a direct convolution count as the reduction."""
        view, others = self.view, other_dims(self.stage, self.view)
        depth = (*others, *view.k)
        return {
            "activation": (*view.m, *depth),
            "weight": (*depth, *view.n),
            "output": (*view.m, *view.n),
        }

    def tensor(self, role: Role) -> Tensor:
        return next(tensor for tensor in self.stage.tensors if tensor.role == role)

    def levels(self, role: Role) -> tuple[str, ...]:
        """The chip's memories that a tensor comes into, from the outside in."""
        chain = self.machine.chain(role)[1:]
        return tuple(level for level in chain if self._comes_into(level, role))

    def first(self, role: Role) -> str:
        """The memory that a tensor comes into from DRAM, '' for a tensor that stays on the chip."""
        chain = self.machine.chain(role)[1:]
        return chain[0] if chain and self._comes_into(chain[0], role) else ""

    def sums(self) -> str:
        """The accumulators inside the memory of outputs, '' without."""
        inside = [
            level for level in self.levels("output") if level != self.machine.chain("output")[1]
        ]
        return inside[-1] if inside else ""

    def feed(self, role: Role) -> str:
        """The chip's memory that feeds the array a tensor; '' where its port is no bound."""
        chip = [
            level
            for level in self.machine.chain(role)[1:]
            if scratchpad(self.machine, level).per == "chip"
            and not scratchpad(self.machine, level).phases
        ]
        return chip[-1] if chip else ""

    def _comes_into(self, level: str, role: Role) -> bool:
        coming = self.placement.moving(self.stage, self.machine, level, (role,))
        return bool(coming) and scratchpad(self.machine, level).per == "chip"


def problem_of(
    stage: Stage, machine: Machine, placement: Placement, role: Role, arrays: int | None = None
) -> Problem:
    """What may be chosen when this tensor stays; arrays: columns lie on so many, not on all."""
    view, array = stage.view, machine.compute
    assert view is not None and isinstance(array, (SystolicArray, PeArray))
    if arrays is not None and isinstance(array, SystolicArray):
        array = replace(array, arrays=arrays)
    others, extents = other_dims(stage, view), dict(stage.bounds)
    along_rows, along_columns = lies_as(view, role)
    streaming = next(
        dims for dims in (view.m, view.n, view.k) if dims not in (along_rows, along_columns)
    )
    rows, columns = _folds(along_rows, along_columns, extents, array, role == "output")
    columns = _columns_that_fit(stage, machine, placement, role, rows, columns)
    depth = others if role == "output" else ()
    taps = others if role != "output" else ()
    stream = _group(
        (*depth, *streaming),
        extents,
        {dim: extents[dim] for dim in (*depth, *streaming)},
        len(PIECES),
    )
    down = _group((*taps, *along_rows), extents, {**dict.fromkeys(taps, 1), **rows})
    across = _group(along_columns, extents, columns)
    counts = beside_on(array, stage, prod(rows.values()), prod(columns.values()))
    return Problem(stage, machine, placement, role, (stream, across, down), counts)


def _folds(
    along_rows: tuple[str, ...],
    along_columns: tuple[str, ...],
    extents: Box,
    array: SystolicArray | PeArray,
    summing: bool,
) -> tuple[dict[str, int], dict[str, int]]:
    """What lies along rows and columns at a time.

    Arrays that the columns do not fill take further rows where sums stay; else a share of the
    vectors.
    """
    columns = split_group(along_columns, extents, array.columns)
    rows = array.rows
    if isinstance(array, SystolicArray) and summing:
        rows *= max(1, array.arrays // ceil(prod(columns.values()) / array.cols))
    return split_group(along_rows, extents, rows), columns


def _columns_that_fit(
    stage: Stage, machine: Machine, placement: Placement, role: Role, rows: Box, columns: Box
) -> dict[str, int]:
    """The columns, halved until a fold of the tensor that stays fits the memory it comes from."""
    tensor = next(tensor for tensor in stage.tensors if tensor.role == role)
    chain = machine.chain(role)[1:]
    found = dict(columns)
    if not chain or scratchpad(machine, chain[0]).per != "chip":
        return found
    room, extents = placement.room(machine, chain[0]), dict(stage.bounds)
    while tile_bytes(tensor, {**rows, **found}) > room and prod(found.values()) > 1:
        found = split_group(tuple(found), extents, prod(found.values()) // 2)
    return found


def _group(dims: tuple[str, ...], extents: Box, fold: Box, most: int = MOST_BLOCKS) -> Group:
    whole = {dim: extents[dim] for dim in dims}
    own = {dim: fold[dim] for dim in dims}
    if own == whole:  # nothing lies along the array: blocks of any size
        blocks = [
            split_group(dims, extents, ceil(prod(whole.values()) / pieces)) for pieces in PIECES
        ]
    else:
        blocks = list(_grown(dims, whole, own))
    distinct = list({tuple(block.items()): block for block in blocks}.values())
    return Group(dims, whole, own, tuple(_some(distinct, most)))


def _grown(dims: tuple[str, ...], whole: Box, fold: Box) -> Iterator[dict[str, int]]:
    """One fold, then ever more of them, dim by dim from the innermost, up to all."""
    box = dict(fold)
    yield dict(box)
    for dim in reversed(dims):
        for times in PIECES[1:]:
            if fold[dim] * times < whole[dim]:
                yield {**box, dim: fold[dim] * times}
        box[dim] = whole[dim]
        yield dict(box)


def _some(found: Sequence[Box], most: int) -> Iterator[Box]:
    """At most so many: the first half of them, the others evenly spread, the last among them."""
    if len(found) <= most:
        yield from found
        return
    few = most // 2
    yield from found[:few]
    for number in range(1, most - few + 1):
        yield found[few + (number * (len(found) - 1 - few)) // (most - few)]


def best_nests(problem: Problem, label: str, objective: str = "latency") -> list[Candidate]:
    """The best tilings, best first, each with its estimate.

    That is the cycles, or for the objectives 'dram' and 'energy' the DRAM bytes. Of tilings that
    are as quick, those of the fewest bytes come first. Raises HwsimError where not even the
    smallest tiles fit, naming the memory, the tensor and the bytes.
    """
    import numpy as np

    from hwsim.schedule import tile_search

    orders = [(*blocks, *folds) for blocks in permutations((0, 1, 2)) for folds in ((1, 2), (2, 1))]
    given = _given(problem, orders)

    among = 0

    def best(by_bytes: bool, slowest: float) -> list[Any]:
        nonlocal among
        found = np.full((tile_search.KEPT, tile_search.FIELDS), np.inf)
        among += tile_search.search(given, tile_search.room_to_work(), by_bytes, slowest, found)
        return [row for row in found if np.isfinite(row[0])]

    if objective in BY_BYTES:
        rows = best(True, np.inf)
    else:
        quick = best(False, np.inf)
        frugal = best(True, quick[0][0] * AS_QUICK) if quick else []
        swap = (1, 0, *range(2, tile_search.FIELDS))
        few = [row[list(swap)] for row in frugal[:FRUGAL]]
        rows = few + [row for row in quick if not any((row == other).all() for other in few)]
    if not rows:
        raise HwsimError(_nothing_fits(problem))
    found = [_Tiling.of(row, orders) for row in rows[:FINALISTS]]
    chosen = [(tiling, True) for tiling in found] + [(tiling, False) for tiling in found[:SHALLOW]]
    return [
        Candidate(
            _of_all_products(problem, tiling, objective in BY_BYTES),
            partial(_nest, problem, label, tiling, ahead),
            among,
        )
        for tiling, ahead in chosen
    ]


def _of_all_products(problem: Problem, tiling: _Tiling, by_bytes: bool) -> float:
    """The estimate of the products that lie beside each other, for all of the batch."""
    if by_bytes:
        return problem.times * tiling.estimate
    return tiling.estimate + (problem.times - 1) * tiling.steady


class _Tiling(NamedTuple):
    """One that the search found. loops: the group of every loop, from the outside in. blocks: which
    of each group's. depths: by tensor, outside of which loops its memory holds it; sums_depth: and
    the accumulators theirs. steady: cycles of one more product of a batch behind it."""

    estimate: float
    loops: tuple[int, ...]
    blocks: tuple[int, ...]
    depths: Mapping[Role, int]
    sums_depth: int
    steady: float

    @staticmethod
    def of(row: Any, orders: Sequence[tuple[int, ...]]) -> _Tiling:
        """From the search's row (hwsim.schedule.tile_search.search)."""
        _, _, order, *numbers, inner = (int(value) for value in row[:-1])
        depths = dict(zip(ROLES, numbers[3:], strict=True))
        blocks = tuple(numbers[:3])
        return _Tiling(float(row[0]), orders[order], blocks, depths, inner, float(row[-1]))


def _given(problem: Problem, orders: Sequence[tuple[int, ...]]) -> tile_search.Given:
    """The problem as numbers (hwsim.schedule.tile_search)."""
    import numpy as np

    from hwsim.schedule import tile_search as at

    machine, placement = problem.machine, problem.placement
    most = max(len(group.sizes) for group in problem.groups)
    facts = np.zeros((at.FACTS, 4), np.int64)
    facts[at.COUNT, :3] = [len(group.blocks) for group in problem.groups]
    names: list[str] = []
    strict = _ports_feed(problem)
    feeds, rates = _ways_in(problem, strict)
    facts[at.STAYS, at.STRICT] = strict
    ports = list(rates)
    for number, role in enumerate(ROLES):
        tensor, level = problem.tensor(role), problem.first(role)
        facts[at.MOVES + number, list(problem.moves(tensor))] = 1
        facts[at.WIDTH, number] = _bits(held_width(machine, problem.stage, tensor))
        facts[at.AT_DRAM, number] = _bits(tensor.width)
        names += [level] if level and level not in names else []
        facts[at.LEVEL, number] = names.index(level) if level else -1
        facts[at.BUFFERS, number] = scratchpad(machine, level).buffers if level else 1
        facts[at.FEED, number] = ports.index(feeds[role]) if feeds[role] else -1
        fed = _fed_width(problem, role) if strict else tensor.width
        facts[at.FEED_WIDTH, number] = _bits(fed)
        facts[at.STAYS, number] = role == problem.role
    wide, room, word, buffers = _sums(problem)
    facts[at.SUMS] = _bits(wide), room, _bits(word), buffers
    dram = machine.part(machine.dram_name, Dram)
    share, merges, paces = _folding(problem)
    facts[at.ARRAY] = share, merges, dram.ports == "separate", DEEPEST
    rate = float(dram.bandwidth.bytes_per_cycle(machine.clock_hz))
    return at.Given(
        _trips(problem),
        np.stack([_words(problem, role, most) for role in ROLES]),
        np.array([placement.room(machine, name) for name in names], np.int64),
        np.array(list(rates.values()), np.float64),
        np.array(orders, np.int64),
        facts,
        np.array([*paces, rate, _sum_rate(problem), _latency(problem)], np.float64),
    )


def _within(box: Box, outside: Box) -> dict[str, int]:
    return {dim: min(size, outside[dim]) for dim, size in box.items()}


def _trips(problem: Problem) -> npt.NDArray[np.int64]:
    """[2, group, block]: trips of the loop over blocks, and of the one over folds in a block."""
    import numpy as np

    found = np.ones((2, 3, max(len(group.blocks) for group in problem.groups)), np.int64)
    for number, group in enumerate(problem.groups):
        for place, block in enumerate(group.blocks):
            found[0, number, place] = trips(group.whole, block)
            found[1, number, place] = trips(block, _within(group.fold, block)) if number else 1
    return found


def _words(problem: Problem, role: Role, most: int) -> npt.NDArray[np.float64]:
    """[size, size]: words of a tensor's tile, by the sizes of the two groups that move it."""
    import numpy as np

    tensor = problem.tensor(role)
    one, two = (problem.groups[number] for number in problem.moves(tensor))
    down = {dim: np.array([box[dim] for box in one.sizes])[:, None] for dim in one.dims}
    across = {dim: np.array([box[dim] for box in two.sizes])[None, :] for dim in two.dims}
    lengths: dict[str, Any] = {**down, **across}
    words = np.ones((len(one.sizes), len(two.sizes)))
    for axis in tensor.axes:  # as tile_bytes, for all sizes at once
        reach, cover = np.float64(axis.span), np.float64(axis.extent)
        for dim, coefficient in axis.terms:
            reach = reach + coefficient * (lengths.get(dim, 1) - 1)
            cover = cover * lengths.get(dim, 1)
        words = words * np.minimum(axis.size, np.minimum(reach, cover))
    found = np.ones((most, most))
    found[: words.shape[0], : words.shape[1]] = words * problem.beside
    return found


def _bits(width: float) -> int:
    return int(8 * width)


def _sums(problem: Problem) -> tuple[float, int, float, int]:
    """Bytes of an unfinished sum in DRAM, and the accumulators' room, word and buffers.

    Room is -1 without accumulators; a word is in bytes.
    """
    machine, level = problem.machine, problem.sums()
    wide = max(machine.compute.accumulator_bytes, problem.tensor("output").width)
    if not level:
        return wide, -1, 0, 1
    inside = scratchpad(machine, level)
    return (
        wide,
        problem.placement.room(machine, level),
        inside.word_bytes or wide,
        inside.buffers,
    )


def _ports_feed(problem: Problem) -> bool:
    """Are ports the limit of what reaches the array? Not where PEs hang on narrower busses."""
    array, machine = problem.machine.compute, problem.machine
    if not isinstance(array, PeArray):
        return True
    return all(
        bus.bytes_per_cycle(machine.clock_hz)
        >= scratchpad(machine, problem.feed(role)).bandwidth.bytes_per_cycle(machine.clock_hz)
        for role, bus in array.busses.items()
        if problem.feed(role)
    )


def _ways_in(problem: Problem, strict: bool) -> tuple[dict[Role, str], dict[str, float]]:
    """By role what feeds the array, '' where that is no bound; and the bytes a cycle of each.

    Memories' ports; or where PEs hang on narrower busses, these.
    """
    machine, array = problem.machine, problem.machine.compute
    clock = machine.clock_hz
    if isinstance(array, PeArray) and not strict:
        names = {role: f"{role} bus" for role in ROLES}
        return names, {
            names[role]: bus.bytes_per_cycle(clock) for role, bus in array.busses.items()
        }
    feeds = {role: problem.feed(role) for role in ROLES}
    return feeds, {
        name: scratchpad(machine, name).bandwidth.bytes_per_cycle(clock)
        for name in dict.fromkeys(feeds.values())
        if name
    }


def _fed_width(problem: Problem, role: Role) -> float:
    """Bytes of a word on its way between the chip's last memory and the array."""
    tensor, machine = problem.tensor(role), problem.machine
    if role != "output":
        return tensor.width
    level = problem.feed(role)
    own = machine.memories[level].word_bytes if level else None
    return own or max(machine.compute.accumulator_bytes, tensor.width)


def _sum_rate(problem: Problem) -> float:
    """Bytes a cycle of the memory that sums leave the accumulators for."""
    machine = problem.machine
    port = machine.memories[machine.chain("output")[1]].bandwidth
    return float(port.bytes_per_cycle(machine.clock_hz)) if port else float("inf")


def _latency(problem: Problem) -> float:
    """Cycles of DRAM's latency."""
    machine = problem.machine
    dram: Dram = machine.part(machine.dram_name, Dram)
    return float(dram.latency.cycles(machine.clock_hz))


def _folding(problem: Problem) -> tuple[int, bool, tuple[float, float, float, float]]:
    """How folds run: (arrays that share the vectors, is it one fold, times).

    One fold is what slices of a sum that stays make; times are (vectors, gap, least, latency).

    As hwsim.timing.systolic.folds has them for folds that are all alike.
    """
    array = problem.machine.compute
    stream, across, down = problem.groups
    vectors, rows, columns = (
        float(prod(box.values())) for box in (stream.whole, down.fold, across.fold)
    )
    stays = problem.role == "output"
    if not isinstance(array, SystolicArray):
        return 1, stays, (vectors, 0.0, 1.0, 0.0)
    taken = ceil(columns / array.cols) * ceil(rows / array.rows)  # arrays, by one product
    share = 1 if stays else max(1, array.arrays // (taken * min(problem.beside, array.arrays)))
    if taken == 1:
        blocks = ceil(problem.beside / array.arrays)
        rows, columns = rows * blocks, columns * blocks
    if array.partial_folds == "whole":
        rows, columns = float(array.rows), float(array.cols)
    rows, columns = min(rows, array.rows), min(columns, array.cols)
    if stays:
        drain = rows if array.drain else 0.0
        latency = rows + columns - 2 + drain
        return share, True, (vectors, 0.0 if array.overlap_folds else latency, drain, latency)
    latency = rows * array.mac_stages + columns - 2
    if not array.overlap_folds:
        shifting = 0.0 if array.preload_hidden else rows
        return share, False, (vectors, latency + shifting, 0.0, latency)
    apart = (rows - 1) * array.mac_stages + 1  # until the next fold's tile is where this one was
    shifting = 0.0 if array.preload_hidden else apart
    return share, False, (vectors, max(0.0, shifting - 1), apart - shifting, latency)


def _nest(problem: Problem, label: str, tiling: _Tiling, ahead: bool) -> Nest:
    """A found tiling as a nest. ahead: inputs are fetched as far ahead as there is room for."""
    stage, machine, view = problem.stage, problem.machine, problem.view
    chosen = [
        group.blocks[block] for group, block in zip(problem.groups, tiling.blocks, strict=True)
    ]
    around: list[list[Hold]] = [[] for _ in range(6)]
    for role in ROLES:
        for level in problem.levels(role):
            depth = tiling.depths[role] if level == problem.first(role) else 5
            if role == "output" and level == problem.sums():
                depth = tiling.sums_depth
            around[depth].append(_hold(problem, role, level))
    items: list[Loop | Hold] = [
        *problem.placement.backing(stage, machine),
        *tiles(problem.of_batch, view.b),
    ]
    for number, group in enumerate(tiling.loops):
        items += around[number]
        own = problem.groups[group]
        box = chosen[group] if number < 3 else _within(own.fold, chosen[group])
        items += tiles(box, own.dims)
    items += around[5]
    stream, across, down = problem.groups
    taps = tuple(dim for dim in down.dims if dim not in lies_as(view, problem.role)[0])
    items += points(view.b[-1:] if problem.beside > 1 else (), "diagonal")
    items += points((dim for dim in down.dims if dim not in taps), "row")
    items += points(across.dims, "column")
    inner = {role: tuple(machine.chain(role)[1:]) for role in ROLES}
    items += still(stage, machine, problem.role, inner[problem.role])
    items += points(stream.dims)
    for role in ROLES:
        if role != problem.role:
            items += cell_holds(stage, machine, role, inner[role])
    return _deeper(Nest(stage, drop_idle(stage, items), label), problem, DEEPEST if ahead else 1)


def _hold(problem: Problem, role: Role, level: str) -> Hold:
    names = problem.placement.moving(problem.stage, problem.machine, level, (role,))
    return Hold(
        level, names, buffers=scratchpad(problem.machine, level).buffers, parts=role != "output"
    )


def _deeper(nest: Nest, problem: Problem, deepest: int) -> Nest:
    """The nest with inputs fetched as far ahead as each memory has room for.

    for n: [weights, 2 tiles]    ->    for n: [weights, 8 tiles]
    """
    machine, placement = problem.machine, problem.placement
    backing = len(placement.backing(problem.stage, machine))
    sizes = {
        hold: _bytes(nest, hold, problem)
        for hold in nest.holds[backing:]
        if hold.level in machine.memories
    }
    copies: dict[Hold, int] = {}
    for level in {hold.level for hold in sizes}:
        part = scratchpad(machine, level)
        if part.per != "chip":
            continue
        here = [hold for hold in sizes if hold.level == level]
        room = placement.room(machine, level)
        own = {hold: 1 if _is_whole(nest, hold, problem) else part.buffers for hold in here}
        inputs = [hold for hold in here if own[hold] > 1 and not _is_output(hold, problem)]

        def taken(own: dict[Hold, int] = own) -> int:
            return sum(sizes[hold] * number for hold, number in own.items())

        while taken() > room and any(own[hold] > 1 for hold in inputs):
            largest = max((hold for hold in inputs if own[hold] > 1), key=lambda hold: sizes[hold])
            own[largest] -= 1
        if taken() > room:
            own.update({hold: 1 for hold in here if _is_output(hold, problem)})
        for hold in inputs:
            spare = room - taken()
            own[hold] = max(
                own[hold], min(deepest, own[hold] + spare // max(1, sizes[hold] * len(inputs)))
            )
        whole = {hold: part.buffers for hold in here if _is_whole(nest, hold, problem)}
        copies.update({**own, **whole})  # one tile takes its room once, whatever its buffers
    items = tuple(
        replace(item, buffers=copies[item]) if isinstance(item, Hold) and item in copies else item
        for item in nest.items
    )
    return replace(nest, items=items)


def _is_output(hold: Hold, problem: Problem) -> bool:
    return problem.tensor("output").name in hold.tensors


def _inside(nest: Nest, hold: Hold) -> dict[str, int]:
    """What is left of each dim inside a level."""
    left = dict(nest.stage.bounds)
    for loop in nest.loops_above(hold):
        left[loop.dim] = min(left[loop.dim], loop.tile)
    return left


def _is_whole(nest: Nest, hold: Hold, problem: Problem) -> bool:
    left, extents = _inside(nest, hold), nest.stage.extents
    tensor = nest.stage.tensor(hold.tensors[0])
    return all(left[dim] == extents[dim] for dim in tensor.dims)


def _bytes(nest: Nest, hold: Hold, problem: Problem) -> int:
    """Bytes of one tile of a level."""
    tensor, left = nest.stage.tensor(hold.tensors[0]), _inside(nest, hold)
    machine = problem.machine
    wide = held_width(machine, nest.stage, tensor)
    if tensor.role == "output":
        inside = hold.level != machine.chain("output")[1]
        if inside or _come_back(nest, problem):
            wide = max(machine.compute.accumulator_bytes, tensor.width)
        wide = machine.memories[hold.level].word_bytes or wide
    return whole_bytes(tile_words(tensor, left) * wide)


def _come_back(nest: Nest, problem: Problem) -> bool:
    """Do sums leave the accumulators unfinished, to be taken up again later?"""
    output = problem.tensor("output")
    held = next((hold for hold in nest.holds if hold.level == problem.sums()), None)
    if held is None:
        return False
    moves = [loop.dim in output.dims for loop in nest.loops_above(held) if nest.bound(loop) > 1]
    last = max((number for number, moving in enumerate(moves) if moving), default=0)
    return not all(moves[:last])


def _nothing_fits(problem: Problem) -> str:
    """Which memory is too small for the smallest tiles, whose they are, and by how much."""
    machine, stage = problem.machine, problem.stage
    needs: dict[str, dict[str, int]] = {}
    for role in ROLES:
        tensor = problem.tensor(role)
        for level in problem.levels(role):
            needs.setdefault(level, {})[tensor.name] = _smallest(problem, role, level)
    rooms = {level: problem.placement.room(machine, level) for level in needs}
    over = {level: sum(own.values()) - rooms[level] for level, own in needs.items()}
    level = max(over, key=lambda name: over[name])
    worst = max(needs[level], key=lambda name: needs[level][name])
    if over[level] <= 0:
        what = f"no tiles of {problem.role}s that stay fit the memories together"
        return f"{machine.name}: {stage.name}: {what}"
    return (
        f"{machine.name}: {stage.name}: the smallest tiles take "
        f"{size_text(sum(needs[level].values()))} of {level}, which has "
        f"{size_text(rooms[level])}; most of it is {worst}; at least "
        f"{size_text(over[level])} more are needed"
    )


def _smallest(problem: Problem, role: Role, level: str) -> int:
    """Bytes of a tensor's smallest tile in a memory; of outputs, with the one that leaves."""
    tensor, part = problem.tensor(role), scratchpad(problem.machine, level)
    one, two = (problem.groups[number] for number in problem.moves(tensor))
    words = min(tile_words(tensor, {**a, **b}) for a in one.sizes for b in two.sizes)
    words *= problem.beside
    if role != "output":
        return whole_bytes(words * tensor.width)
    first = level == problem.first(role)
    wide = held_width(problem.machine, problem.stage, tensor) if first else _sums(problem)[2]
    return whole_bytes(words * wide) * part.buffers


@dataclass(frozen=True)
class Stationary:
    """A dataflow that says which tensor stays and nothing else: tiles and orders are searched."""

    name: str
    summary: str
    role: Role
    default: bool = False  # arrays say which of these they run

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        return needs_cells(stage, machine)

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        return self.nests(stage, machine, placement, "latency")[0].make()

    def nests(
        self, stage: Stage, machine: Machine, placement: Placement, objective: str
    ) -> list[Candidate]:
        """Columns spread over all arrays; and where these wait, over fewer.

        Smaller tiles leave room to fetch ahead, and the other arrays share the vectors.
        """
        problem, array = problem_of(stage, machine, placement, self.role), machine.compute
        found = self._beside(problem, objective)
        if not isinstance(array, SystolicArray):
            return found
        if objective in BY_BYTES:
            several = len(problem.counts) > 1
            return sorted(found, key=lambda one: one.estimate) if several else found
        busy = stage.iterations / (array.rows * array.columns)
        arrays = array.arrays // 2
        while arrays and min(one.estimate for one in found) > WAITING * busy:
            problem = problem_of(stage, machine, placement, self.role, arrays)
            found += self._beside(problem, objective)
            arrays //= 2
        quick = AS_QUICK * min(candidate.estimate for candidate in found)
        # equally quick ones stay in their order, those that move least first
        return sorted(found, key=lambda one: max(one.estimate, quick))

    def _beside(self, problem: Problem, objective: str) -> list[Candidate]:
        """With so many products of a batch beside each other as may be, one after another first."""
        found = best_nests(problem, self.name, objective)
        for beside in problem.counts[:-1]:
            with suppress(HwsimError):  # their tiles do not fit together
                found += best_nests(replace(problem, beside=beside), self.name, objective)
        return found
