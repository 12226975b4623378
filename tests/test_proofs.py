"""What the mapper proves is what the simulator counts: wide accumulators, slow ports, random machines."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hwsim import HwsimError, map_layers, simulate
from hwsim.choose.layer import run_nest
from hwsim.count.closed_form import count
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.units import Bandwidth
from hwsim.energy.account import energy_pj
from hwsim.ir.convolution import gemm_stage
from hwsim.ir.nest import Nest
from hwsim.ir.verify import verify_nest
from hwsim.rewrite.placement import Placement
from hwsim.schedule.mapper.groups import keeps
from hwsim.schedule.mapper.model import Model
from hwsim.schedule.mapper.search import Search
from hwsim.schedule.mapper.space import Options, Skeleton, Space, Tiling, find_space
from hwsim.timing import Surroundings
from hwsim.timing.explicit.accesses import accesses, footprints


def machine_with(sums: int, buffer: int, own: int, side: int = 2) -> Machine:
    """side x side PEs whose sums are so many bytes wide, results being bytes."""
    machine = load_machine("toy-8x8")
    parts = dict(machine.parts)
    compute = machine.compute
    parts[machine.compute_name] = replace(  # type: ignore[type-var]
        compute, rows=side, cols=side, accumulator_bytes=sums
    )
    for name, size in (("gb", buffer), ("rf", own)):
        parts[name] = replace(parts[name], capacity=size)  # type: ignore[type-var]
    return replace(machine, parts=parts)


def true_cost(nest: Nest, machine: Machine, sums: int) -> tuple[float, int] | None:
    """(energy, DRAM bytes) as the simulator counts them; None where the nest does not fit."""
    counts = count(nest)
    try:
        footprints(machine, nest, counts, sums, {})
    except HwsimError:
        return None
    found = accesses(machine, nest, counts, set(machine.memories), sums)
    moved = {
        name: sum(each.read_bytes + each.write_bytes for each in row.values())
        for name, row in found.items()
    }
    spent = energy_pj(machine, "int8", nest.stage.operations, moved)
    return sum(spent.values()), moved["dram"]


def every(model: Model, space: Space) -> Iterator[tuple[Skeleton, Tiling]]:
    """Every mapping of a small space."""
    tilings = [
        Tiling(
            dict(zip(space.dims, outer, strict=True)),
            spread,
            dict(zip(space.dims, cell, strict=True)),
        )
        for outer in itertools.product(*(space.outer[dim] for dim in space.dims))
        for cell in itertools.product(*(space.cell[dim] for dim in space.dims))
        for spread in space.spreads
    ]
    for skeleton in space.skeletons:
        kept = [keeps(group, space, skeleton.running) for group in model.groups]
        for tiling in tilings:
            try:
                rows = model.row(tiling)
            except ValueError:  # neighbours that never have work are left out
                continue
            if all(
                kept[number][x * len(group.inner) + y]
                for number, (group, (x, y)) in enumerate(zip(model.groups, rows, strict=True))
            ):
                yield skeleton, tiling


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("seed", range(6))
def test_the_proven_optimum_is_the_least_that_is_counted(seed: int) -> None:
    """Of every mapping of a tiny space, counted one by one as the simulator does."""
    dice = random.Random(seed)
    sums = dice.choice((2, 4))
    machine = machine_with(sums, dice.randint(100, 200), dice.randint(24, 40))
    layer = GemmLayer(dice.randint(3, 7), dice.randint(3, 6), dice.randint(3, 6), dtype="int8")
    stage = replace(gemm_stage(layer), dtype="int8")
    space = find_space(stage, machine, Placement(), Options())
    space = replace(
        space,
        outer={dim: tiles[:2] for dim, tiles in space.outer.items()},
        cell={dim: tiles[-2:] for dim, tiles in space.cell.items()},
        spreads=space.spreads[:: dice.randint(4, 6)],
        skeletons=space.skeletons[:: dice.choice((29, 31, 37))],
    )
    known: dict[str, tuple[float, int] | None] = {}
    for skeleton, tiling in every(Model(space), space):
        nest = verify_nest(space.nest(skeleton, tiling))
        text = nest.text()
        if text not in known:
            known[text] = true_cost(nest, machine, sums)
    costs = [cost for cost in known.values() if cost is not None]
    assert len(costs) > 50
    energy, moved = min(cost[0] for cost in costs), min(cost[1] for cost in costs)
    assert Search(Model(space), "energy").run(workers=1).metrics["energy"] == pytest.approx(energy)
    assert Search(Model(space), "dram").run(workers=1).metrics["dram bytes"] == moved


@pytest.mark.parametrize("objective", ["energy", "dram", "latency", "edp"])
@pytest.mark.parametrize("sums", [1, 4])
def test_what_is_proven_is_what_is_simulated(sums: int, objective: str) -> None:
    """33 x 17 x 65 on 8 x 8 PEs: energy and bytes to the last, no simulation below its bound.

    With sums of four bytes the bound had been half as large again as the mapping that it was of.
    """
    machine = machine_with(sums, 16 * 1024, 64, 8)
    found = map_layers("gemm:33,17,65", machine, objective).stages[0].found
    counted = true_cost(found.nest, machine, sums)
    assert counted is not None
    energy, moved = counted
    assert found.metrics["energy"] == pytest.approx(energy)
    assert found.metrics["dram bytes"] == moved
    simulated = run_nest(found.nest, machine, "int8", Surroundings()).cycles.total
    busiest = max(list(found.metrics.values())[2:])
    assert busiest <= simulated * (1 + 1e-9)
    if objective == "dram":
        assert moved == 33 * 65 + 65 * 17 + 33 * 17


def test_pes_wait_for_their_own_memories() -> None:
    """A product reads and writes three bytes or more of a PE's memory; at one byte a cycle it waits.

    Before, such a machine ended in "a bug in the model".
    """
    machine = load_machine("toy-8x8")
    narrow = replace(machine.parts["rf"], bandwidth=Bandwidth(1.0, True))  # type: ignore[type-var]
    slow = replace(machine, parts={**machine.parts, "rf": narrow})
    fast, waiting = (
        simulate("gemm:32,64,18", each, "direct", dataflow="weight-stationary").layers[0]
        for each in (machine, slow)
    )
    assert waiting.cycles.total > 1.5 * fast.cycles.total
    assert "rf in the PEs" in waiting.cycles.stall
    (stage,) = waiting.stages
    moved = stage.accesses["rf"].values()
    assert stage.cycles.total >= sum(access.read_bytes for access in moved) / 64


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("seed", range(24))
def test_no_simulation_is_below_what_the_mapper_proves(seed: int) -> None:
    """Random machines: memories, ports, busses, buffers and accumulators of other sizes."""
    dice = random.Random(seed)
    name = dice.choice(("toy-8x8", "toy-systolic", "eyeriss-v1"))
    machine = changed(load_machine(name), dice)
    layer = (
        "gemm:" + ",".join(str(dice.randint(1, 60)) for _ in range(3))
        if dice.random() < 0.5
        else f"conv:{dice.randint(1, 12)},9,9,{dice.randint(1, 20)},3,3,{dice.choice((1, 2))},1"
    )
    objective = dice.choice(("latency", "energy", "edp", "dram"))
    try:
        best = map_layers(layer, machine, objective, seconds=20).stages[0]
    except HwsimError:
        return  # nothing fits such a machine
    simulated, found = best.simulated, best.found
    moved = simulated.dram_read_bytes + simulated.dram_write_bytes
    energy = sum(simulated.energy_pj.values())
    reached = {
        "latency": simulated.cycles.total,
        "dram": moved,
        "energy": energy,
        "edp": energy * simulated.cycles.total,
    }
    assert found.bound <= reached[objective] * (1 + 1e-6) + 2
    if best.nest == found.nest:
        assert found.metrics["energy"] == pytest.approx(energy, rel=1e-3)
        assert found.metrics["dram bytes"] == pytest.approx(moved, abs=2)


def changed(machine: Machine, dice: random.Random) -> Machine:
    parts = dict(machine.parts)
    for name, part in machine.parts.items():
        new: dict[str, object] = {
            field: Bandwidth(value.value * dice.choice((0.25, 0.5, 2, 4)), value.per_cycle)
            for field, value in vars(part).items()
            if isinstance(value, Bandwidth) and dice.random() < 0.4
        }
        if part.kind == "scratchpad":
            share = dice.choice((0.1, 0.25, 0.5, 1, 2))
            new |= {"capacity": max(16, int(part.capacity * share))}  # type: ignore[attr-defined]
        if name == machine.compute_name:
            new |= {"rows": dice.choice((2, 3, 8)), "accumulator_bytes": dice.choice((1, 2, 4, 8))}
        parts[name] = replace(part, **new)  # type: ignore[type-var]
    return replace(machine, parts=parts)
