"""Tiles of the systolic dataflows: the best nests in which a tensor stays in the array.

    for products of a batch, as many at a time as lie beside each other on the diagonal:
      for blocks of rows, columns, stream:
        for folds of rows, columns:
          par products, par rows, par columns: [array] for the stream

Searched are which blocks, in which order, and what each buffer holds, outside of which loops.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from typing import Any

from hwsim.describe.machine import Machine, Role
from hwsim.describe.units import size_text, whole_bytes
from hwsim.errors import HwsimError
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import Placement, held_width
from hwsim.schedule.arrays import needs_cells, scratchpad
from hwsim.schedule.dataflows import AS_GOOD, Candidate, best_first, tile_words
from hwsim.schedule.systolic.nests import Tiling, nest_of
from hwsim.schedule.systolic.problem import ROLES, Problem, problem_of, sums_of

FINALISTS, FRUGAL = 6, 3  # nests that are returned; of equally quick ones, so many that move least
WAITING = 1.02  # times the least cycles of a full array: one that takes more waits for data
SUMMED = ("dram", "energy")  # objectives that products add up to, one after another
SHALLOW = 2  # finalists that are returned a second time, fetching one tile ahead only


def best_nests(problem: Problem, label: str, objective: str = "latency") -> list[Candidate]:
    """The best tilings, best first, each with its estimate.

    That is the cycles, or for 'dram' the DRAM bytes, for 'energy' pJ of memories. Of tilings that
    are as quick, those of the fewest bytes come first. Raises HwsimError where not even the
    smallest tiles fit, naming the memory, the tensor and the bytes.
    """
    import numpy as np

    from hwsim.schedule.systolic import search
    from hwsim.schedule.systolic.figures import given_of

    orders = [(*blocks, *folds) for blocks in permutations((0, 1, 2)) for folds in ((1, 2), (2, 1))]
    given = given_of(problem, orders)

    among = 0

    def best(goal: int, slowest: float) -> list[Any]:
        nonlocal among
        found = np.full((search.KEPT, search.FIELDS), np.inf)
        among += search.search(given, search.room_to_work(), goal, slowest, found)
        return [row for row in found if np.isfinite(row[0])]

    if objective in SUMMED:
        rows = best(search.BYTES if objective == "dram" else search.ENERGY, np.inf)
    else:
        quick = best(search.TIME, np.inf)
        frugal = best(search.BYTES, quick[0][0] * AS_GOOD) if quick else []
        swap = (1, 0, *range(2, search.FIELDS))
        few = [row[list(swap)] for row in frugal[:FRUGAL]]
        rows = few + [row for row in quick if not any((row == other).all() for other in few)]
    if not rows:
        raise HwsimError(_nothing_fits(problem))
    found = [Tiling.of(row, orders) for row in rows[:FINALISTS]]
    chosen = [(tiling, True) for tiling in found] + [(tiling, False) for tiling in found[:SHALLOW]]
    return [
        Candidate(
            _of_all_products(problem, tiling, objective in SUMMED),
            partial(nest_of, problem, label, tiling, ahead),
            among,
            (problem.times * tiling.second, tiling.folds),
        )
        for tiling, ahead in chosen
    ]


def _of_all_products(problem: Problem, tiling: Tiling, summed: bool) -> float:
    """The estimate of the products that lie beside each other, for all of the batch."""
    if summed:
        return problem.times * tiling.estimate
    return tiling.estimate + (problem.times - 1) * tiling.steady


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
    wide = held_width(problem.machine, problem.stage, tensor) if first else sums_of(problem)[2]
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
        if objective in SUMMED:
            return best_first(found)
        busy = stage.iterations / (array.rows * array.columns)
        arrays = array.arrays // 2
        while arrays and min(one.estimate for one in found) > WAITING * busy:
            problem = problem_of(stage, machine, placement, self.role, arrays)
            found += self._beside(problem, objective)
            arrays //= 2
        return best_first(found)

    def _beside(self, problem: Problem, objective: str) -> list[Candidate]:
        """With so many products of a batch beside each other as may be, one after another first."""
        found = best_nests(problem, self.name, objective)
        for beside in problem.counts[:-1]:
            with suppress(HwsimError):  # their tiles do not fit together
                found += best_nests(replace(problem, beside=beside), self.name, objective)
        return found
