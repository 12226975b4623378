"""Named dataflows say what stays; their tiles are the best of their kind (tests/cases/schedules)."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from math import prod
from pathlib import Path

import pytest
from click.testing import CliRunner

import hwsim
from hwsim import ConvLayer, GemmLayer
from hwsim.choose.curves import buffer_curve
from hwsim.choose.least import least_of
from hwsim.choose.nests import MEASURES
from hwsim.cli import main
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.networks import find_workload
from hwsim.errors import HwsimError
from hwsim.foreign.scalesim.config import load_config, scalesim_machine
from hwsim.foreign.scalesim.counts import scalesim_counts
from hwsim.foreign.scalesim.topology import load_topology, scalesim_workload
from hwsim.ir.convolution import conv_stages, gemm_stage
from hwsim.ir.transform import split_group
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.schedule.mapper import best_mapping

CASES = Path(__file__).parent / "cases/schedules"
FLOWS = {"ws": "weight-stationary", "os": "output-stationary", "is": "input-stationary"}
KIB = 1024


def run(config: str, topology: str) -> hwsim.Result:
    array = load_config(CASES / config)
    network = scalesim_workload("case", load_topology(CASES / topology))
    machine = scalesim_machine(array, "int8")
    return hwsim.simulate(network, machine, "implicit-gemm", dataflow=FLOWS[array.dataflow])


@pytest.mark.parametrize(
    ("config", "topology", "cycles", "kib"),
    [
        # 2,304 folds of 128 + 94 cycles; A, B and C at least once
        ("A1_ws_strip_collapse.cfg", "A1_gemm.csv", 511_488 + 2, 13 * KIB),
        # 96 folds of 3,072 + 62 cycles
        ("A1_os.cfg", "A1_gemm.csv", 300_864 + 2, 19 * KIB),
        # every operand once: 192 + 144 + 48 KiB
        ("A2_os_sram_unused.cfg", "A2_gemm.csv", 55_000, 400),
        # the hand nest takes 131 k; A alone needs 117,965 cycles of its port
        ("A3_ws_256k.cfg", "A3_more_sram_slower.csv", 131_000, 1_400),
        ("A3_ws_1024k.cfg", "A3_more_sram_slower.csv", 131_000, 1_400),
        ("A3_ws_4096k.cfg", "A3_more_sram_slower.csv", 131_000, 1_400),
        # 6 x 192 + 8 x 144 + 48 KiB
        ("A4_tiny_2k.cfg", "A2_gemm.csv", 146_000, 2_352),
    ],
)
def test_the_dataflow_is_as_good_as_the_hand_nest(
    config: str, topology: str, cycles: int, kib: int
) -> None:
    result = run(config, topology)
    assert result.cycles <= cycles
    assert result.dram_bytes <= kib * KIB


def test_more_memory_is_not_slower() -> None:
    times = [
        run(f"A3_ws_{size}k.cfg", "A3_more_sram_slower.csv").cycles for size in (256, 1024, 4096)
    ]
    assert times == sorted(times, reverse=True)


def test_more_arrays_share_the_folds() -> None:
    """1,024 folds of 512 cycles: 16,384 on 32 arrays, 8,192 on 64, and a fill."""
    layer = GemmLayer(512, 512, 512)
    thirty_two, sixty_four = (
        hwsim.simulate(layer, CASES / name, "direct", dataflow="output-stationary")
        for name in ("sc32.yaml", "sc64.yaml")
    )
    assert thirty_two.cycles <= 17_200
    assert sixty_four.cycles <= 9_000
    assert sixty_four.dram_bytes == 768 * KIB


def test_weights_that_fit_are_kept_by_every_dataflow() -> None:
    layer = GemmLayer(1024, 512, 512)
    ws, os = (
        hwsim.simulate(layer, "edge-tpu", "direct", dataflow=FLOWS[flow]) for flow in ("ws", "os")
    )
    assert os.dram_bytes <= ws.dram_bytes


def test_tiles_are_fetched_as_far_ahead_as_the_memory_allows() -> None:
    """A 64 KiB weight memory with tiles of 1 KiB: 305 us with two of them, 188 with four."""
    layer = hwsim.load_workload("resnet50").only(("conv5_1b",))
    default = hwsim.simulate(layer, CASES / "array32.yaml", "implicit-gemm")
    stated = hwsim.simulate(layer, CASES / "array32_b4.yaml", "implicit-gemm")
    assert default.seconds == stated.seconds <= 189e-6


STOCK = """[general]
run_name = stock
[architecture_presets]
ArrayHeight: 32
ArrayWidth: 32
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth: 10
Dataflow: {flow}
[run_presets]
InterfaceBandwidth: CALC
"""
GEMMS = ((128, 768, 3072), (256, 192, 768), (2048, 64, 576), (512, 512, 512), (64, 1000, 2048))


@pytest.mark.parametrize("gemm", GEMMS)
@pytest.mark.parametrize("flow", FLOWS)
def test_stock_scalesim_sizes_take_its_closed_form(
    flow: str, gemm: tuple[int, int, int], tmp_path: Path
) -> None:
    path = tmp_path / "stock.cfg"
    path.write_text(STOCK.format(flow=flow))
    machine = scalesim_machine(load_config(path), "int8")
    result = hwsim.simulate(GemmLayer(*gemm), machine, "direct", dataflow=FLOWS[flow])
    closed = scalesim_counts(*gemm, 32, 32, flow)["cycles"]
    assert closed <= result.cycles <= 1.1 * closed


@pytest.mark.parametrize("gemm", GEMMS)
@pytest.mark.parametrize("flow", FLOWS)
def test_of_equal_times_the_least_is_moved(
    flow: str, gemm: tuple[int, int, int], tmp_path: Path
) -> None:
    """At most 1.3 times what any blocks of whole folds move, in any order.

    Each memory holds whatever tile of its tensor fits.
    """
    path = tmp_path / "stock.cfg"
    path.write_text(STOCK.format(flow=flow))
    machine = scalesim_machine(load_config(path), "int8")
    result = hwsim.simulate(GemmLayer(*gemm), machine, "direct", dataflow=FLOWS[flow])
    moved = sum(layer.dram_read_bytes + layer.dram_write_bytes for layer in result.layers)
    least = _least_moved(dict(zip("mnk", gemm, strict=True)), flow, 64 * 1024)
    assert least <= moved <= 1.3 * least


def _least_moved(extents: dict[str, int], flow: str, room: int) -> int:
    """Bytes of a product of bytes on an array of 32 x 32.

    The two dims that lie on it are in blocks of folds, the third goes past each fold in one go, as
    every further fold costs time.
    """
    one, two, streams = {"ws": "knm", "is": "kmn", "os": "mnk"}[flow]
    folds = [-(-extents[dim] // 32) for dim in (one, two)]
    least = 1 << 60
    for blocks in product(*(range(1, number + 1) for number in folds)):
        block = {dim: min(32 * b, extents[dim]) for dim, b in zip((one, two), blocks, strict=True)}
        for outer, inner in product(((one, two), (two, one)), repeat=2):
            loops = [(dim, block[dim]) for dim in outer]
            loops += [*((dim, min(32, block[dim])) for dim in inner), (streams, 1)]
            least = min(
                least, sum(_moved(dims, extents, loops, room) for dims in ("mk", "kn", "mn"))
            )
    return least


def _moved(dims: str, extents: dict[str, int], loops: list[tuple[str, int]], room: int) -> int:
    """The fewest words of a tensor that come and go, wherever among the loops its tile is held.

    A sum that is left before it is whole comes back.
    """
    words, least = prod(extents[dim] for dim in dims), 1 << 60
    for depth in range(len(loops) + 1):
        left, trips = dict(extents), []
        for dim, step in loops[:depth]:
            trips.append((dim, -(-left[dim] // step)))
            left[dim] = step
        if prod(left[dim] for dim in dims) > room:
            continue
        moving = [place for place, (dim, trip) in enumerate(trips) if dim in dims and trip > 1]
        last = moving[-1] if moving else 0
        again = prod(trip for dim, trip in trips[:last] if dim not in dims)
        least = min(least, words * (2 * again - 1 if dims == "mn" else again))
    return least


CONVOLUTIONS = ("conv1", "conv2_1a", "conv3_1a", "conv3_1b", "conv3_s", "conv4_1a", "conv4_1b")


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("name", [*CONVOLUTIONS, "conv4_s", "conv5_1a", "conv5_1b", "conv5_s"])
@pytest.mark.parametrize("flow", FLOWS)
def test_convolutions_of_resnet18_take_scalesims_closed_form(
    flow: str, name: str, tmp_path: Path
) -> None:
    """Within 1.10, but for what two dims cost that SCALE-Sim numbers as one.

    28 x 28 positions lie on 32 rows in 28 folds, 784 in 25.
    """
    path = tmp_path / "stock.cfg"
    path.write_text(STOCK.format(flow=flow))
    machine = scalesim_machine(load_config(path), "int8")
    layer = hwsim.load_workload("resnet18").layers[name]
    assert isinstance(layer, ConvLayer)
    result = hwsim.simulate(layer, machine, "implicit-gemm", dataflow=FLOWS[flow])
    positions = {"p": layer.p, "q": layer.q}
    products = {"c": layer.c, "r": layer.r, "s": layer.s}
    sides = {"ws": (products,), "os": (positions,), "is": (products, positions)}[flow]
    cut = prod(_boxes(side) / -(-prod(side.values()) // 32) for side in sides)
    closed = scalesim_counts(layer.p * layer.q, layer.k, prod(products.values()), 32, 32, flow)
    assert closed["cycles"] <= result.cycles <= 1.1 * cut * closed["cycles"]


def _boxes(side: dict[str, int]) -> int:
    """The fewest folds of 32 that cover a box."""
    tile = split_group(tuple(side), side, 32)
    return prod(-(-size // tile[dim]) for dim, size in side.items())


def _with(machine: Machine, part: str, **changes: object) -> Machine:
    changed = replace(machine.parts[part], **changes)  # type: ignore[arg-type]
    return replace(machine, parts={**machine.parts, part: changed})


def _some_layer(dice: random.Random) -> ConvLayer | GemmLayer:
    product = GemmLayer(*(dice.randint(1, 150) for _ in range(3)))
    if dice.random() < 0.4:
        return ConvLayer(1, dice.randint(1, 40), 13, 11, dice.randint(1, 40), 3, 3, pad=1)
    return product


@pytest.mark.slow(keep=4)
@pytest.mark.parametrize("seed", range(24))
def test_more_of_anything_is_not_slower(seed: int) -> None:
    """Random machines and layers, all dataflows; the tolerance is 2% of the time."""
    dice = random.Random(seed)
    machine = load_machine("toy-systolic")
    for part in ("buffer", "weights", "sums"):
        machine = _with(machine, part, capacity=dice.choice((4, 8, 16)) * KIB)
    more = machine
    for part in dice.sample(("buffer", "weights", "sums"), dice.randint(1, 3)):
        capacity = machine.memories[part].capacity * dice.choice((2, 3, 5, 16))
        more = _with(more, part, capacity=capacity)
    layer = _some_layer(dice)
    for flow in FLOWS.values():
        small, large = (
            hwsim.simulate(layer, each, "direct", dataflow=flow).cycles for each in (machine, more)
        )
        assert large <= 1.02 * small, (flow, layer)


def _faster(machine: Machine, dice: random.Random) -> Machine:
    """With some ports wider, or more arrays, or both."""
    array, more = machine.compute_name, machine
    wide, many = dice.choice(((True, False), (False, True), (True, True)))
    ports = [name for name, part in machine.memories.items() if part.bandwidth is not None]
    for name in dice.sample(ports, dice.randint(1, len(ports))) if wide else ():
        port = machine.memories[name].bandwidth
        assert port is not None
        faster = replace(port, value=port.value * dice.choice((1.5, 2, 5)))
        more = _with(more, name, bandwidth=faster)
    if many:
        assert isinstance(machine.compute, SystolicArray)
        more = _with(more, array, arrays=machine.compute.arrays * dice.choice((2, 3, 4)))
    return more


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("seed", range(24))
def test_wider_ports_and_more_arrays_are_not_slower(seed: int) -> None:
    """The tolerance is 2% of the time and 40 cycles, a tile's transfer."""
    dice = random.Random(seed)
    machine = load_machine(dice.choice(("toy-systolic", "toy-systolic", "tpu-v4")))
    more = _faster(machine, dice)
    layer = _some_layer(dice)
    for flow in FLOWS.values():
        slow, fast = (
            hwsim.simulate(layer, each, "direct", dataflow=flow).cycles for each in (machine, more)
        )
        assert fast <= 1.02 * slow + 40, (flow, layer)


def _a_larger_array(machine: Machine, dice: random.Random) -> Machine:
    """One memory, or one side of the array of PEs, twice as large."""
    array = machine.compute
    assert isinstance(array, PeArray)
    side = dice.choice(("rows", "cols"))
    memories = [name for name, part in machine.parts.items() if isinstance(part, Scratchpad)]
    if dice.random() < 0.4:
        return _with(machine, machine.compute_name, **{side: 2 * getattr(array, side)})
    memory = dice.choice(memories)
    return _with(machine, memory, capacity=2 * machine.memories[memory].capacity)


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("name", ["eyeriss-v1", "eyeriss-isca16", "toy-8x8"])
def test_more_pes_and_larger_memories_are_not_slower(name: str, seed: int) -> None:
    """Without a named dataflow. The tolerance is 2% of the time and 40 cycles, a tile's transfer."""
    dice = random.Random(seed)
    machine = load_machine(name)
    more = _a_larger_array(machine, dice)
    layer = _some_layer(dice)
    slow, fast = (hwsim.simulate(layer, each, "direct").cycles for each in (machine, more))
    assert fast <= 1.02 * slow + 40, layer


def test_where_nothing_fits_the_memory_the_tensor_and_the_bytes_are_named() -> None:
    small = _with(load_machine("toy-systolic"), "weights", capacity=1)
    with pytest.raises(
        HwsimError,
        match=r"take 4 B of weights, which has 1 B; most of it is B; at least 3 B more are needed",
    ):
        hwsim.simulate(GemmLayer(64, 64, 64), small, "direct", dataflow="weight-stationary")


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize(
    ("objective", "layer", "batch"),
    [
        ("latency", "conv:4,32,32,8,5,5,1,0", 50),
        ("latency", "conv:8,16,16,16,3,3,1,1", 1),
        ("latency", "gemm:64,48,80", 1),
    ],
)
def test_lab3_is_proven_at_every_multiplier_busy(objective: str, layer: str, batch: int) -> None:
    """../shared/cases: MIT 6.5930, lab 3. The bound is products over PEs, and it is reached."""
    network = find_workload(layer, batch)
    mapped = hwsim.map_layers(network, CASES / "lab3_machine.yaml", objective).stages[0]
    products = next(iter(network.layers.values())).macs
    assert mapped.found.optimal
    assert mapped.found.bound >= products / 16
    assert mapped.found.metrics["multipliers"] == pytest.approx(products / 16, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "hand"), [("energy", 393e6), ("edp", 393e6 * 1_960_658)])
def test_lab3_is_mapped_no_worse_than_by_hand(objective: str, hand: float) -> None:
    machine = load_machine(CASES / "lab3_machine.yaml")
    layer = next(iter(find_workload("conv:4,32,32,8,5,5,1,0", 50).layers.values()))
    stage = conv_stages(replace(layer, dtype="int16"), ("c",))[0]
    found = best_mapping(replace(stage, dtype="int16"), machine, objective, most=3_000_000)
    cycles = found.metrics["multipliers"]
    assert found.metrics["energy"] * (cycles if objective == "edp" else 1) <= hand


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("objective", ["latency", "energy", "edp", "dram"])
@pytest.mark.parametrize("machine", ["tpu-v1", "toy-systolic"])
def test_map_is_never_worse_than_a_named_dataflow(machine: str, objective: str) -> None:
    layer = "conv:24,14,14,40,3,3,1,1"
    measure = MEASURES[objective]
    best = hwsim.map_layers(layer, machine, objective).stages[0].simulated
    for flow in ("weight-stationary", "output-stationary", "input-stationary"):
        asked = "latency" if objective == "edp" else objective
        result = hwsim.simulate(layer, machine, "direct", dataflow=flow, objective=asked)
        assert measure(best)[0] <= 1.0001 * measure(result.layers[0].stages[0])[0]


@pytest.mark.parametrize("layer", ["gemm:512,48,40", "gemm:24,640,96", "conv:24,14,14,40,3,3,1,1"])
def test_an_array_that_names_no_dataflow_runs_the_best_of_three(layer: str) -> None:
    """The one that it names where it names one, whichever is best."""
    machine = load_machine(CASES / "sc32.yaml")

    def cycles(chip: Machine, dataflow: str | None = None) -> float:
        return hwsim.simulate(layer, chip, "implicit-gemm", dataflow=dataflow).cycles

    three = [cycles(machine, flow) for flow in FLOWS.values()]
    assert max(three) > 1.1 * min(three)
    assert cycles(machine) <= 1.005 * min(three)
    for flow, alone in zip(FLOWS.values(), three, strict=True):
        array = replace(machine.part("array", SystolicArray), dataflows=(flow,))
        assert cycles(replace(machine, parts={**machine.parts, "array": array})) == alone


@pytest.mark.parametrize("seed", range(6))
def test_no_simulation_takes_less_than_the_counts_say(seed: int) -> None:
    """Cycles at least; energy and DRAM traffic to the unit."""
    dice = random.Random(seed)
    machine = load_machine(dice.choice(["tpu-v1", "toy-systolic", "eyeriss-v1", "toy-8x8"]))
    layer = ConvLayer(
        n=dice.randint(1, 3),
        c=dice.randint(3, 30),
        h=dice.randint(5, 20),
        w=dice.randint(5, 20),
        k=dice.randint(3, 40),
        r=3,
        s=3,
        pad=1,
    )
    result = hwsim.map_layers(layer, machine, "edp").stages[0]
    least = least_of(result.nest, machine, machine.dtype)
    simulated = result.simulated
    assert least.cycles <= simulated.cycles.total * (1 + 1e-9)
    assert least.picojoules == pytest.approx(sum(simulated.energy_pj.values()))
    assert least.dram_bytes == simulated.dram_read_bytes + simulated.dram_write_bytes


def test_the_same_search_gives_the_same_mapping_every_time() -> None:
    """However many work at a time."""
    layer = next(iter(find_workload("gemm:48,40,36").layers.values()))
    machine = load_machine("toy-8x8")
    stage = replace(gemm_stage(layer), dtype="int8")
    found = [best_mapping(stage, machine, "edp", workers=number).nest for number in (1, 2, 2)]
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_less_memory_never_moves_less() -> None:
    """The ski slope: from 1/64 to 8 times the buffer; compulsory bytes once everything fits."""
    machine = _with(load_machine("toy-8x8"), "rf", capacity=8)
    points = buffer_curve(find_workload("gemm:20,24,32").with_dtype("int8"), machine, "gb")
    moved = [point.dram_bytes for point in points if point.dram_bytes is not None]
    assert len(moved) >= 8
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == 20 * 32 + 32 * 24 + 20 * 24
    assert moved[0] > moved[-1]


def test_a_curve_of_no_memory_is_refused() -> None:
    result = CliRunner().invoke(main, ["map", "toy-8x8", "gemm:8,8,8", "--curve", "gbb"])
    assert result.exit_code == 2
    assert "did you mean 'gb'" in result.output
