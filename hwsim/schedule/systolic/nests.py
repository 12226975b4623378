"""A tiling that the search found, as a nest.

for blocks of rows, columns, stream:
  for folds of rows, columns:
    par products, par rows, par columns: [array] for the stream
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hwsim.describe.machine import Role
from hwsim.describe.units import whole_bytes
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stationary import lies_as
from hwsim.ir.transform import drop_idle, points, tiles
from hwsim.parts.dram import Dram
from hwsim.rewrite.placement import held_width
from hwsim.schedule.arrays import cell_holds, scratchpad, still
from hwsim.schedule.dataflows import tile_words
from hwsim.schedule.systolic.problem import DEEPEST, ROLES, Problem, within
from hwsim.schedule.systolic.search import BURSTS_A_PART


class Tiling(NamedTuple):
    """One that the search found. loops: the group of every loop, from the outside in. blocks: which
    of each group's. depths: by tensor, outside of which loops its memory holds it; sums_depth: and
    the accumulators theirs. steady: cycles of one more product of a batch behind it. second: of
    equal estimates the least is the better one; and then folds, the array's own cycles."""

    estimate: float
    second: float
    loops: tuple[int, ...]
    blocks: tuple[int, ...]
    depths: Mapping[Role, int]
    sums_depth: int
    steady: float
    folds: float

    @staticmethod
    def of(row: Any, orders: Sequence[tuple[int, ...]]) -> Tiling:
        """From the search's row (hwsim.schedule.systolic.search.search)."""
        from hwsim.schedule.systolic import search as at

        _, _, order, *numbers, inner = (int(value) for value in row[: at.STEADY])
        depths = dict(zip(ROLES, numbers[3:], strict=True))
        blocks = tuple(numbers[:3])
        estimate, second = float(row[0]), float(row[1])
        steady, folds = float(row[at.STEADY]), float(row[at.FOLDS])
        return Tiling(estimate, second, orders[order], blocks, depths, inner, steady, folds)


def nest_of(problem: Problem, label: str, tiling: Tiling, ahead: bool) -> Nest:
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
        box = chosen[group] if number < 3 else within(own.fold, chosen[group])
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
    """A level's tile. Inputs come fold by fold where a fold's part is some of DRAM's bursts."""
    machine, tensor = problem.machine, problem.tensor(role)
    names = problem.placement.moving(problem.stage, machine, level, (role,))
    folds = [problem.groups[number].fold for number in problem.moves(tensor)]
    part = tile_words(tensor, {**folds[0], **folds[1]}) * tensor.width
    dram = machine.part(machine.dram_name, Dram)
    parts = role != "output" and (dram.burst == 1 or part >= BURSTS_A_PART * dram.burst)
    return Hold(level, names, buffers=scratchpad(machine, level).buffers, parts=parts)


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
