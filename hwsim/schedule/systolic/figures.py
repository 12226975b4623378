"""A problem as the numbers that the compiled search takes (hwsim.schedule.systolic.search)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import Role
from hwsim.energy.account import pj_per_byte
from hwsim.energy.tables import table_for
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import held_width
from hwsim.schedule.arrays import scratchpad
from hwsim.schedule.systolic import search as at
from hwsim.schedule.systolic.problem import DEEPEST, ROLES, Problem, sums_of, trips, within
from hwsim.schedule.systolic.windows import words_coming, words_fed

Floats = npt.NDArray[np.float64]


def given_of(problem: Problem, orders: Sequence[tuple[int, ...]]) -> at.Given:
    """All of them. orders: of the loops, each a group's number from the outside in."""
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
    outside = machine.chain("output")[1] if problem.sums() else ""
    facts[at.FEED, at.OUTSIDE_SUMS] = ports.index(outside) if outside in ports else -1
    words = {role: _words(problem, role, most) for role in ROLES}
    whole = {role: float(words[role][0, 0]) for role in ROLES}
    coming = [words_coming(problem, role, whole[role], most) for role in ROLES]
    wide, room, word, buffers = sums_of(problem)
    facts[at.SUMS] = _bits(wide), room, _bits(word), buffers
    dram = machine.part(machine.dram_name, Dram)
    share, merges, paces = _folding(problem)
    facts[at.ARRAY] = share, merges, dram.ports == "separate", DEEPEST
    rate = float(dram.bandwidth.bytes_per_cycle(machine.clock_hz))
    return at.Given(
        _trips(problem),
        np.stack([words[role] for role in ROLES]),
        np.stack([new for new, _ in coming]),
        np.stack([filled for _, filled in coming]),
        np.array([words_fed(problem, role, whole[role]) for role in ROLES]),
        np.array([placement.room(machine, name) for name in names], np.int64),
        np.array(list(rates.values()), np.float64),
        np.array(orders, np.int64),
        facts,
        np.array([*paces, rate, _sum_rate(problem), _latency(problem), dram.burst], np.float64),
        _energy(problem, feeds),
    )


def _trips(problem: Problem) -> npt.NDArray[np.int64]:
    """[2, group, block]: trips of the loop over blocks, and of the one over folds in a block."""
    found = np.ones((2, 3, max(len(group.blocks) for group in problem.groups)), np.int64)
    for number, group in enumerate(problem.groups):
        for place, block in enumerate(group.blocks):
            found[0, number, place] = trips(group.whole, block)
            found[1, number, place] = trips(block, within(group.fold, block)) if number else 1
    return found


def _words(problem: Problem, role: Role, most: int) -> npt.NDArray[np.float64]:
    """[size, size]: words of a tensor's tile, by the sizes of the two groups that move it."""
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


def _energy(problem: Problem, feeds: Mapping[Role, str]) -> Floats:
    """[3, tensor]: pJ of a byte (hwsim.schedule.systolic.search.Given)."""
    machine = problem.machine
    table = table_for(machine.process_nm)

    def of(level: str) -> float:
        return pj_per_byte(machine.memories[level], table) if level in machine.memories else 0.0

    found = np.zeros((3, 3))
    for number, role in enumerate(ROLES):
        first = problem.first(role)
        found[at.MOVING, number] = of(machine.dram_name) + of(first) if first else 0.0
        found[at.FEEDING, number] = of(feeds[role])
    found[at.LEAVING, 2] = of(problem.sums()) + of(machine.chain("output")[1])
    return found


def _bits(width: float) -> int:
    return int(8 * width)


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
