"""DRAM by its timings, banks, scratchpads that keep tensors, exchange phases, stages chained, timelines, and the machines."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

import hwsim
from hwsim.algorithms import lower
from hwsim.choose.layer import simulate_layer
from hwsim.cli import main
from hwsim.describe.catalog import shipped
from hwsim.describe.dram import DEVICES
from hwsim.describe.layer import ConvLayer, ElementwiseLayer, GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.reading import Document, read
from hwsim.describe.units import Bandwidth
from hwsim.describe.workload import Workload
from hwsim.errors import ConfigError, HwsimError
from hwsim.ir.nest import Hold
from hwsim.ir.stationary import first_spatial
from hwsim.ir.transform import points
from hwsim.results.pipelined import pipelined
from hwsim.results.result import Cycles
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS
from hwsim.timing.dram.channels import commands, transfer_ns
from hwsim.timing.explicit.layers import chained
from hwsim.timing.explicit.pipeline import Port, Stream, Work, run_compiled, run_events
from hwsim.timing.systolic.banks import PADDING, conflict_cycles
from hwsim.validate.tpu_v1 import on_array


@pytest.mark.parametrize("name", list(DEVICES))
@pytest.mark.parametrize("refreshing", [False, True])
def test_commands_keep_every_distance_of_the_table(name: str, refreshing: bool) -> None:
    """The schedule against the constraints one by one: written apart from the recurrence that makes it."""
    t = DEVICES[name]
    bursts, columns, in_group = 6000, t.row_bytes // t.burst_bytes, t.banks // t.groups
    activates, reads = commands(t, bursts, refreshing)
    group = np.arange(bursts) % t.groups
    bank = group * in_group + (np.arange(bursts) // t.groups // columns) % in_group
    assert (np.diff(reads) >= t.read_to_read).all()
    for number in range(t.groups):
        assert (np.diff(reads[group == number]) >= t.read_to_read_in_group).all()
    opens = np.flatnonzero(activates >= 0)
    assert (reads[opens] >= activates[opens] + t.act_to_read).all()
    assert (np.diff(activates[opens]) >= t.act_to_act).all()
    assert (activates[opens][4:] - activates[opens][:-4] >= t.four_acts).all()
    for number in range(t.banks):
        own = opens[bank[opens] == number]
        for before, after in itertools.pairwise(own):
            last = reads[(bank == number) & (np.arange(bursts) < after)].max()
            closed = max(activates[before] + t.act_to_precharge, last + t.read_to_precharge)
            assert activates[after] >= closed + t.precharge


def test_a_contiguous_read_by_hand() -> None:
    """DDR3-1600: the first word after tRCD 11; 1024 bursts a 8 KiB row apart, 4 clocks each, the next row opened meanwhile."""
    activates, reads = commands(DEVICES["ddr3-1600"], 300, refreshing=False)
    assert activates[0] == 0 and reads[0] == 11
    assert reads.tolist() == [11 + 4 * burst for burst in range(300)]
    assert np.flatnonzero(activates >= 0).tolist() == [0, 128, 256]
    # 65,536 bytes on two channels: 512 bursts of 4 clocks of 1.25 ns, and tRFC / tREFI of the time for refreshes
    assert transfer_ns(DEVICES["ddr3-1600"], 2, np.array([65536])) == pytest.approx(
        512 * 4 * 1.25 / (1 - 208 / 6240)
    )


@pytest.mark.parametrize("name", list(DEVICES))
def test_refreshes_take_the_share_that_the_mean_says(name: str) -> None:
    t = DEVICES[name]
    _, reads = commands(t, 400_000)
    spent = float(reads[-1] - reads[0] + t.read_to_read) * t.clock_ns
    assert transfer_ns(t, 1, np.array([400_000 * t.burst_bytes]))[0] == pytest.approx(
        spent, rel=0.02
    )


def machine_text(**dram: str) -> str:
    fields = {
        "type": "dram",
        "capacity": "1 GiB",
        "bandwidth": "34 GB/s",
        "latency": "100 ns",
        **dram,
    }
    parts = ", ".join(f"{name}: {value}" for name, value in fields.items())
    return f"""
name: own
description: mine
clock: 1 GHz
dtype: int8
parts:
  dram: {{{parts}}}
  buffer: {{type: scratchpad, capacity: 64 KiB, bandwidth: 64 B/cycle, roles: [activation, output]}}
  weights: {{type: scratchpad, capacity: 4 KiB, bandwidth: 64 B/cycle, roles: [weight]}}
  sums: {{type: scratchpad, capacity: 32 KiB, bandwidth: 64 B/cycle, roles: [output], word_bytes: 4}}
  array: {{type: systolic, rows: 8, cols: 8, rates: {{int8: 1}}}}
links: [dram <-> buffer, dram -> weights, buffer -> array, weights -> array, array -> sums, sums -> buffer]
"""


def own(**dram: str) -> Machine:
    return read(Machine, Document(machine_text(**dram), "own.yaml"))


@pytest.mark.parametrize(
    ("dram", "says"),
    [
        ({"timing": "ddr3-2113"}, "did you mean 'ddr3-2133'"),
        ({"timing": "ddr3-2133", "channels": "1"}, "1 channels of ddr3-2133 have 17.07 GB/s"),
        ({"timing": "ddr3-2133", "bandwidth": "34 B/cycle"}, "expected GB/s beside a timing"),
        ({"ports": "seperate"}, "ports"),
    ],
)
def test_a_dram_that_cannot_be_says_why(dram: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        own(**dram)


def test_timings_ports_and_bursts_move_time_the_right_way() -> None:
    def cycles(**dram: str) -> float:
        machine, layer = own(**dram), GemmLayer(64, 64, 512)
        return hwsim.simulate(layer, machine, "direct", dataflow="weight-stationary").cycles

    assert cycles(timing="ddr3-2133", channels="2") > cycles()  # refreshes
    assert cycles(ports="separate") < cycles()
    assert cycles(burst="256 B") > cycles()  # tiles of 64 bytes


@settings(max_examples=200, deadline=None)
@given(data=st.data(), vectors=st.integers(1, 7), rows=st.integers(1, 6), banks=st.integers(1, 5))
def test_conflicts_are_counted_as_a_loop_counts_them(
    data: st.DataObject, vectors: int, rows: int, banks: int
) -> None:
    words = st.integers(-1, 12)
    addresses = np.array(
        data.draw(
            st.lists(
                st.lists(words, min_size=rows, max_size=rows), min_size=vectors, max_size=vectors
            )
        )
    )
    cycles = 0
    for cycle in range(vectors):
        wanted = {int(addresses[(cycle - row) % vectors, row]) for row in range(rows)} - {PADDING}
        cycles += max([1, *(sum(word % banks == bank for word in wanted) for bank in range(banks))])
    assert conflict_cycles(addresses, banks) == cycles


def test_channels_whose_skewed_words_share_a_bank_collide() -> None:
    """Eight rows read eight channels of 8 banks, row i a position behind row i - 1. 9 x 9 points: 81 i - i words on, one bank; 8 x 8: 63 i, eight."""
    banked = own()
    banked = replace(
        banked, parts={**banked.parts, "buffer": replace(banked.parts["buffer"], banks=8)}
    )

    def cycles(size: int) -> Cycles:
        """One fold, through which the whole map streams."""
        layer = ConvLayer(1, 8, size, size, 8, 1, 1, dtype="int8")
        plan = lower(layer, "direct").with_dtype("int8")
        stage = plan.stages[0]
        nest = DATAFLOWS["weight-stationary"].schedule(stage, banked, Placement())
        array = first_spatial(nest)
        outside = [item for item in nest.items[:array] if isinstance(item, Hold)]
        inside = [item for item in nest.items[array:] if item not in points("pq")]
        whole = replace(nest, items=(*outside, *inside, *points("pq")))
        result = simulate_layer(layer, plan, plan, banked, nests={stage.name: whole})
        return result.stages[0].cycles

    collide, apart = cycles(9), cycles(8)
    assert collide.stall["bank conflicts"] == pytest.approx(7 * collide.compute, rel=0.1)
    assert apart.stall.get("bank conflicts", 0.0) < 0.2 * apart.compute


def test_what_a_buffer_keeps_does_not_move_and_what_does_not_fit_does() -> None:
    keeping = own()
    keeping = replace(
        keeping,
        parts={
            **keeping.parts,
            "buffer": replace(keeping.parts["buffer"], keeps=("activation", "output")),
        },
    )
    small, large = GemmLayer(64, 64, 64), GemmLayer(4096, 64, 64)
    assert hwsim.simulate(small, keeping, "direct").dram_bytes == 64 * 64
    assert hwsim.simulate(small, own(), "direct").dram_bytes == 3 * 64 * 64
    assert hwsim.simulate(large, keeping, "direct").dram_bytes >= 4096 * 128 + 64 * 64
    assert hwsim.simulate(small, keeping, "direct").layers[0].compulsory_bytes == 64 * 64


def test_temporaries_stay_where_the_maps_do_not() -> None:
    """im2col's matrix of 8 MB stays in 24 MiB though input, matrix and output, 40 MB, do not: DRAM moves input, weights and output once."""
    layer = ConvLayer(40, 256, 56, 56, 64, 1, 1, stride=2)
    assert (
        hwsim.simulate(layer, "tpu-v1", "im2col").dram_bytes
        <= 40 * 256 * 28 * 28 + 64 * 256 + 40 * 64 * 28 * 28
    )


def test_weights_are_kept_only_if_all_of_the_network_fit() -> None:
    """One matrix of 200 MB stays in 320 MB; of four none does, and the run says so."""
    layer = GemmLayer(8, 10000, 10000)
    networks = [
        Workload("own", {f"l{number}": layer for number in range(count)}) for count in (1, 4)
    ]
    kept, loaded = (hwsim.simulate(network, "sambanova-sn10", "direct") for network in networks)
    assert kept.dram_bytes == 0 and loaded.dram_bytes == 4 * 2 * 10**8
    assert (
        "do not fit pmus together" in loaded.machine_fidelity
        and "do not fit" not in kept.machine_fidelity
    )


def test_weights_that_fit_come_once_however_often_vectors_are_cut() -> None:
    """4096 vectors in strips of what the sums hold; 2 KiB of weights in 4 KiB come once, 8 KiB again for every strip."""
    small, large = (
        hwsim.simulate(GemmLayer(4096, 32, k), own(), "direct", dataflow="weight-stationary")
        .layers[0]
        .accesses["dram"]["B"]
        for k in (64, 256)
    )
    assert small.read_bytes == 32 * 64 and large.read_bytes > 32 * 256


def test_arrays_side_by_side_do_not_share_a_reduction() -> None:
    four = own()
    four = replace(four, parts={**four.parts, "array": replace(four.parts["array"], arrays=4)})
    alone, beside = (
        hwsim.simulate(GemmLayer(8, 8, 64), machine, "direct", dataflow="output-stationary")
        .layers[0]
        .cycles.compute
        for machine in (own(), four)
    )
    assert alone == beside == 64


def test_too_many_tiles_are_refused_and_two_inputs_can_be_chained() -> None:
    with pytest.raises(HwsimError, match="steps of tiles"):
        hwsim.simulate(
            GemmLayer(12000, 12000, 12000), own(), "direct", dataflow="weight-stationary"
        )
    run = on_array(ElementwiseLayer(1, 8, 8, 8, inputs=2, dtype="int8"), own())
    both = chained([run.work, run.work], [0.0, 0.0])
    assert run_events(both).cycles == run_compiled(both).cycles


def test_exchange_comes_on_top_of_computing() -> None:
    phased = own()
    phased = replace(
        phased, parts={**phased.parts, "buffer": replace(phased.parts["buffer"], phases=True)}
    )
    stage = hwsim.simulate(GemmLayer(256, 64, 64), phased, "direct").layers[0].cycles
    assert stage.stall["exchange"] > 0
    assert stage.total > hwsim.simulate(GemmLayer(256, 64, 64), own(), "direct").cycles


def test_tiles_come_ahead_over_stages() -> None:
    """Two stages of one step of 50 and a tile of 32 cycles, two slots: 32 + 50 + 50 chained; alone 32 + 50 each."""
    tile = np.arange(1)
    stream = Stream("w", 2, tile, tile, np.full(1, 32), np.zeros(1, np.int64), lane="weights")
    work = Work([stream], np.full(1, 50.0), np.zeros(1), Port("dram", 1.0, 0.0))
    for run in (run_events, run_compiled):
        assert run(work).cycles.total == 82
        assert run(chained([work, work], [0.0, 0.0])).cycles.total == 132
        assert run(chained([work, work], [7.0, 7.0])).cycles.total == 146


def test_a_trace_holds_every_cycle_of_the_run(tmp_path: Path) -> None:
    target = tmp_path / "trace.json"
    result = CliRunner().invoke(
        main, ["run", "toy-systolic", "gemm:64,16,32", "-a", "direct", "--trace", str(target)]
    )
    assert result.exit_code == 0
    run = hwsim.simulate(GemmLayer(64, 16, 32), "toy-systolic", "direct")
    events = [
        event for event in json.loads(target.read_text())["traceEvents"] if event["ph"] == "X"
    ]
    rows = {
        event["args"]["name"]: event["tid"]
        for event in json.loads(target.read_text())["traceEvents"]
        if event["ph"] == "M" and "tid" in event
    }
    assert {"layers", "compute", "stalls", "dram: A in", "dram: B in", "dram: C out"} <= set(rows)
    busy = sum(
        event["dur"] for event in events if event["tid"] in (rows["compute"], rows["stalls"])
    )
    layer = next(event for event in events if event["tid"] == rows["layers"])
    assert busy == pytest.approx(layer["dur"], rel=1e-6)
    for row in rows.values():
        spans = sorted(
            (event["ts"], event["ts"] + event["dur"]) for event in events if event["tid"] == row
        )
        assert all(after[0] >= before[1] - 2e-6 for before, after in itertools.pairwise(spans))
    assert sum(
        event["dur"] for event in events if event["tid"] == rows["dram: B in"]
    ) == pytest.approx(run.layers[0].accesses["dram"]["B"].read_bytes / 4 / 1e3)


def test_perfettos_own_format_says_the_same(tmp_path: Path) -> None:
    """Read by Perfetto's published messages: the slices of the other format, and counters."""
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2

    words = ["run", "toy-systolic", "gemm:64,16,32", "-a", "direct", "--trace"]
    for name in ("trace.json", "trace.pftrace"):
        assert CliRunner().invoke(main, [*words, str(tmp_path / name)]).exit_code == 0
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    trace = perfetto_trace_pb2.Trace()
    trace.ParseFromString((tmp_path / "trace.pftrace").read_bytes())
    tracks = {
        p.track_descriptor.uuid: p.track_descriptor
        for p in trace.packet
        if p.HasField("track_descriptor")
    }
    packets = [p for p in trace.packet if p.HasField("track_event")]
    begun = [p for p in packets if p.track_event.type == 1]
    ended = [p for p in packets if p.track_event.type == 2]
    slices = [event for event in events if event["ph"] == "X"]
    assert [p.track_event.name for p in begun] == [event["name"] for event in slices]
    assert [p.timestamp for p in begun] == [round(event["ts"] * 1e3) for event in slices]
    assert len(ended) == len(begun)
    counters = {u: t.name for u, t in tracks.items() if t.HasField("counter")}
    values: dict[str, list[tuple[int, float]]] = {}
    for p in packets:
        if p.track_event.type == 4:
            name = counters[p.track_event.track_uuid]
            values.setdefault(name, []).append((p.timestamp, p.track_event.double_counter_value))
    # what the rate comes to over time is what crossed the pins: nanoseconds times GB/s are bytes
    rates = values["dram GB/s"]
    moved = sum(rate * (after[0] - at) for (at, rate), after in itertools.pairwise(rates))
    run = hwsim.simulate(GemmLayer(64, 16, 32), "toy-systolic", "direct")
    assert moved == pytest.approx(run.dram_bytes, rel=1e-3)
    assert max(rate for _, rate in rates) == pytest.approx(4.0)
    for name, steps in values.items():
        assert steps[-1][1] == 0, name
        assert all(value >= 0 for _, value in steps)
    assert {name for name in values if "held" in name} == {f"tiles of {t} held" for t in "ABC"}


@pytest.mark.parametrize("machine", ["xeon-8380", "h200"])
def test_machines_without_tiles_by_dma_are_traced_stage_by_stage(
    machine: str, tmp_path: Path
) -> None:
    target = tmp_path / "trace.json"
    assert (
        CliRunner()
        .invoke(main, ["run", machine, "gemm:64,64,64", "-a", "direct", "--trace", str(target)])
        .exit_code
        == 0
    )
    assert any(
        event["ph"] == "X" and event["tid"] == 1
        for event in json.loads(target.read_text())["traceEvents"]
    )


ACCELERATORS = [
    name
    for name in shipped("configs")
    if load_machine(name).management == "explicit" and name not in ("eyeriss-isca16", "toy-8x8")
]


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("name", ACCELERATORS)
def test_every_accelerator_runs_resnet50_and_says_how_well(name: str) -> None:
    machine = load_machine(name)
    names = (
        ("conv3_1b", "fc")
        if name == "eyeriss-v1"
        else ("conv1", "pool1", "conv2_1b", "conv3_1b", "conv5_3c", "add5_3", "fc")
    )
    network = hwsim.load_workload("resnet50").only(names)
    result = hwsim.simulate(network, machine, "implicit-gemm")
    assert 0 < result.utilization <= 1
    assert machine.source and (machine.fidelity or name in ("tpu-v1", "eyeriss-v1"))
    assert machine.fidelity.split()[:3] == result.machine_fidelity.split()[:3]


@pytest.mark.parametrize("seed", range(20))
def test_units_go_to_layers_so_that_the_slowest_is_as_quick_as_can_be(seed: int) -> None:
    """Against every way of sharing out up to nine units."""
    dice = np.random.default_rng(seed)
    layers, units = int(dice.integers(1, 4)), int(dice.integers(4, 10))
    seconds = dice.uniform(0.1, 5.0, layers).tolist()
    ways = (
        shares
        for shares in itertools.product(range(1, units + 1), repeat=layers)
        if sum(shares) == units
    )
    best = min(
        max(time * units / share for time, share in zip(seconds, shares, strict=True))
        for shares in ways
    )
    side = pipelined(seconds, units)
    assert side is not None and side.interval == pytest.approx(best) and sum(side.units) == units
    assert side.interval >= sum(seconds) * (1 - 1e-12) and side.latency == pytest.approx(
        layers * best
    )
    assert pipelined(seconds, layers - 1) is None


def test_a_pipelined_machine_says_how_often_an_image_leaves() -> None:
    result = hwsim.simulate(hwsim.load_workload("alexnet"), "sambanova-sn10", "implicit-gemm")
    assert result.pipelined is not None and result.pipelined.interval >= result.seconds
    assert "pipelined over layers: an image every" in result.table()
    assert hwsim.simulate(GemmLayer(8, 8, 8), "tpu-v1", "direct").pipelined is None


def test_arrays_side_by_side_share_columns_then_vectors() -> None:
    """4 arrays of 8 x 8. 32 columns fill all four, 64 vectors each; 8 columns fill one, so the vectors are shared, 16 each. The sums' port is wide enough."""
    four = own()
    wide = {
        "array": replace(four.parts["array"], arrays=4),
        "sums": replace(four.parts["sums"], bandwidth=Bandwidth(512.0, True)),
    }
    four = replace(four, parts={**four.parts, **wide})
    assert hwsim.simulate(GemmLayer(64, 32, 8), four, "direct").layers[0].cycles.compute == 64
    shared = hwsim.simulate(GemmLayer(64, 8, 8), four, "direct").layers[0].cycles.compute
    assert shared == pytest.approx(16, abs=1)  # strips of the vectors are shared each by itself
    assert hwsim.simulate(GemmLayer(64, 8, 8), own(), "direct").layers[0].cycles.compute == 64


def test_a_tile_that_does_not_fit_says_which_buffer_how_much_and_what() -> None:
    small = own()
    small = replace(
        small, parts={**small.parts, "buffer": replace(small.parts["buffer"], capacity=8)}
    )
    says = "take 10 B of buffer, which has 8 B; most of it is ifmap; at least 2 B more are needed"
    with pytest.raises(HwsimError, match=says):
        hwsim.simulate(
            ConvLayer(1, 64, 8, 8, 8, 3, 3), small, "direct", dataflow="weight-stationary"
        )


def test_no_way_from_dram_to_the_array_is_a_fault_of_the_file() -> None:
    text = machine_text().replace("dram -> weights, ", "")
    with pytest.raises(ConfigError, match="no path for the weights between 'dram' and 'array'"):
        read(Machine, Document(text, "own.yaml"))


def test_the_chip_of_2017_is_met() -> None:
    """TPU v1's counters within 16% but for CNN0's non-matrix share (docs/accelerators.md says why)."""
    from hwsim.validate import run_check
    from hwsim.validate.tpu_v1 import sensitivity

    worst = {(pair.row, pair.metric): pair.error for pair in run_check("tpu-v1").worst}
    off = {key for key, error in worst.items() if error > 0.16}
    assert off == {("CNN0", "non_matrix")}
    gains = list(sensitivity(load_machine("tpu-v1")).values())
    assert gains == pytest.approx([3.0, 2.0, 1.0], rel=0.2)


@pytest.mark.parametrize("latency", ["100 ns", "1 us"])
def test_tensors_that_pass_the_chips_memory_by_wait_for_dram_once(latency: str) -> None:
    """They began at once, whatever the latency, so that the mapper let them pass."""
    quick = hwsim.simulate("gemm:32,32,32", load_machine("toy-8x8"), "implicit-gemm")
    machine = load_machine("toy-8x8", settings=(f"parts.dram.latency={latency}",))
    slow = hwsim.simulate("gemm:32,32,32", machine, "implicit-gemm")
    wait = float(latency.split(maxsplit=1)[0]) * (1e-9 if latency.endswith("ns") else 1e-6)
    asked_before = 1 / machine.clock_hz  # in the cycle before the first step
    products = 32**3 / 64 / machine.clock_hz
    assert quick.seconds == pytest.approx(products)  # a latency of one cycle
    assert slow.seconds >= (products + wait - asked_before) * (1 - 1e-9)
    assert slow.seconds <= quick.seconds + 2 * wait


def test_maps_that_stay_on_the_chip_wait_for_no_dram() -> None:
    """What an explicit memory keeps does not come from DRAM, and so not late either."""
    near, far = (
        hwsim.simulate(
            "conv:16,8,8,16,3,3,1,1",
            load_machine("edge-tpu", settings=(f"parts.host.latency={latency}",)),
            "direct",
        ).seconds
        for latency in ("10 ns", "10 us")
    )
    assert near == far
