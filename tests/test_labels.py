"""What a nest is called decides nothing: time, traffic and energy follow from its loops and levels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import hwsim
from hwsim import ConvLayer, GemmLayer
from hwsim.algorithms import lower
from hwsim.choose.layer import simulate_layer
from hwsim.describe.machine import load_machine
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Nest
from hwsim.ir.stationary import stationary
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS
from hwsim.schedule.mapper import best_mapping

LAYERS = (
    GemmLayer(30, 20, 50),
    GemmLayer(1, 40, 70),
    GemmLayer(64, 1, 33),
    GemmLayer(1, 1, 90),
    ConvLayer(2, 6, 9, 7, 8, 3, 3, stride=2, pad=1, groups=2),
    ConvLayer(1, 8, 7, 7, 8, 3, 3, pad=1, groups=8),
)
MACHINES = ("tpu-v1", "toy-systolic", "edge-tpu", "eyeriss-v1", "toy-8x8")


def nests(machine: hwsim.Machine, layer: ConvLayer | GemmLayer) -> list[Nest]:
    """Every dataflow's nest of the layer, and the mapper's."""
    stage = replace(lower(layer, "direct").stages[0], dtype=machine.dtype)
    found = []
    for name in DATAFLOWS:
        flow = DATAFLOWS[name]
        if flow.refuses(stage, machine) is None:
            found.append(flow.schedule(stage, machine, Placement()))
    try:
        found.append(best_mapping(stage, machine, "latency", workers=1, most=20_000).nest)
    except HwsimError:
        assert machine.compute.units > 1  # arrays side by side are not searched
    return found


def outcome(machine: hwsim.Machine, layer: ConvLayer | GemmLayer, nest: Nest) -> object:
    """Everything that a simulation says of a nest but its label, or why it does not run."""
    plan = lower(replace(layer, dtype=machine.dtype), "direct")
    try:
        result = simulate_layer(layer, plan, plan, machine, nests={plan.stages[0].name: nest})
    except HwsimError as error:
        return str(error).replace(nest.dataflow, "LABEL")
    return [replace(stage, dataflow="") for stage in result.stages]


@pytest.mark.slow(keep=6)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.summary)
@pytest.mark.parametrize("name", MACHINES)
def test_another_label_gives_the_same_result(name: str, layer: ConvLayer | GemmLayer) -> None:
    machine = load_machine(name)
    for nest in nests(machine, layer):
        assert outcome(machine, layer, nest) == outcome(
            machine, layer, replace(nest, dataflow="label")
        ), nest.text()


@pytest.mark.parametrize("name", ["tpu-v1", "toy-systolic"])
def test_cells_hold_what_stays_whether_the_nest_says_so_or_not(name: str) -> None:
    machine, layer = load_machine(name), GemmLayer(300, 520, 600)
    stage = lower(layer, "direct").stages[0]
    for flow, role in (
        ("weight-stationary", "weight"),
        ("input-stationary", "activation"),
        ("output-stationary", "output"),
    ):
        nest = DATAFLOWS[flow].schedule(stage, machine, Placement())
        assert stationary(nest, machine.compute_name) == role
        silent = replace(
            nest, items=tuple(item for item in nest.items if not _of_cells(item, machine))
        )
        assert silent != nest
        assert outcome(machine, layer, silent) == outcome(machine, layer, nest)


def _of_cells(item: object, machine: hwsim.Machine) -> bool:
    return isinstance(item, Hold) and item.level == machine.compute_name


@pytest.mark.parametrize("name", ["xeon-8380", "h200"])
def test_other_names_of_memories_give_the_same_numbers(name: str, tmp_path: Path) -> None:
    folder = Path(__file__).parent.parent / "configs"
    text = next(folder.rglob(f"{name}.yaml")).read_text()
    renamed = re.sub(
        r"(?<!type: )\b(registers|shared|l1|l2|l3)\b(?=:$| [<-]|\n)", r"my_\1", text, flags=re.M
    )
    path = tmp_path / "renamed.yaml"
    path.write_text(renamed)
    assert "my_registers" in load_machine(path).parts
    layer = ConvLayer(1, 16, 14, 14, 32, 3, 3, pad=1)
    own, other = (hwsim.simulate(layer, machine, "implicit-gemm") for machine in (name, path))
    assert (other.seconds, other.dram_bytes) == (own.seconds, own.dram_bytes)
    assert sum(other.energy_pj.values()) == pytest.approx(sum(own.energy_pj.values()))


def test_memories_that_would_not_be_simulated_are_refused_at_their_line(tmp_path: Path) -> None:
    folder = Path(__file__).parent.parent / "configs"
    text = next(folder.rglob("h200.yaml")).read_text()
    more = "  l1: {type: cache, capacity: 128 KiB, line: 32 B, ways: 4, "
    more += "bandwidth: 64 B/cycle, latency: 30 cycles}\n"
    path = tmp_path / "gpu.yaml"
    path.write_text(text.replace("parts:\n", f"parts:\n{more}"))
    with pytest.raises(HwsimError, match=r"gpu.yaml:\d+:\d+: parts.l1: a cache of per: core"):
        load_machine(path)
