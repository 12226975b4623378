"""A stage on an array in which one tensor stays: what may be chosen of its blocks and buffers.

stream: the dims along which vectors pass       across, down: those along columns and rows
fold: as much of a group as the array takes     block: folds that a buffer holds together
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

from hwsim.describe.machine import Machine, Role
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.stationary import lies_as
from hwsim.ir.tensor import Tensor
from hwsim.ir.transform import split_group
from hwsim.parts.pe_array import PeArray
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import beside_on, other_dims, scratchpad
from hwsim.schedule.dataflows import tile_bytes

Box = Mapping[str, int]
ROLES: tuple[Role, ...] = ("activation", "weight", "output")
PIECES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
DEEPEST = 8  # tiles that are fetched ahead at most, but where a memory states more
MOST_BLOCKS = 10  # of rows and of columns; a stream may be cut into any of PIECES


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
        """By the indices of hwsim.schedule.systolic.search."""
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


def within(box: Box, outside: Box) -> dict[str, int]:
    """A box, cut where it reaches beyond another."""
    return {dim: min(size, outside[dim]) for dim, size in box.items()}


def sums_of(problem: Problem) -> tuple[float, int, float, int]:
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
