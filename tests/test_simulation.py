"""Explicit memory in time, arrays, GPUs' waves, and physics on every run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.choose.algorithm import candidates
from hwsim.count.closed_form import count
from hwsim.count.compulsory import compulsory_bytes, compulsory_of
from hwsim.describe.catalog import shipped
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.settings import read_settings
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError, PhysicsError
from hwsim.foreign.scalesim.counts import mapping_efficiency, separate_fold_cycles
from hwsim.ir.note import About
from hwsim.ir.stationary import first_spatial
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import applicable
from hwsim.timing import TIMINGS, Surroundings
from hwsim.timing.explicit.pipeline import Port, Stream, Work, run_pipeline
from hwsim.timing.explicit.tiles import walk_steps
from hwsim.timing.gpu.occupancy import occupancy
from hwsim.timing.physics import check_stage, port_cycles
from hwsim.timing.systolic.folds import mapped


def stream(
    tensor: str,
    first: list[int],
    last: list[int],
    incoming: list[int],
    outgoing: list[int],
    buffers: int = 2,
) -> Stream:
    return Stream(
        tensor,
        buffers,
        *(np.array(column, np.int64) for column in (first, last, incoming, outgoing)),
    )


def work(streams: list[Stream], cycles: np.ndarray, port: Port) -> Work:
    return Work(streams, cycles, np.zeros(len(cycles)), port)


def test_one_tile_is_late_by_its_load_and_no_more() -> None:
    """64 bytes at 8 a cycle and a latency of 5: computing starts at 13, and takes 10."""
    cycles = run_pipeline(
        work([stream("a", [0], [0], [64], [0])], np.array([10.0]), Port("dram", 8, 5))
    ).cycles
    assert (cycles.total, cycles.compute) == (23, 10)
    assert cycles.stall == {"dram: a": 8, "dram latency": 5}


def test_double_buffering_hides_every_load_but_the_first() -> None:
    """Loads of 8 cycles under steps of 10: 8 + 4 x 10. Single-buffered, every step waits: 4 x (8 + 10)."""
    tiles = ([0, 1, 2, 3], [0, 1, 2, 3], [64] * 4, [0] * 4)
    steps, port = np.full(4, 10.0), Port("dram", 8, 0)
    assert run_pipeline(work([stream("a", *tiles)], steps, port)).cycles.total == 48
    assert run_pipeline(work([stream("a", *tiles, buffers=1)], steps, port)).cycles.total == 72


def test_a_slow_port_sets_the_pace() -> None:
    """Loads of 16 cycles under steps of 10: the last tile arrives at 64 and is used for 10."""
    tiles = ([0, 1, 2, 3], [0, 1, 2, 3], [128] * 4, [0] * 4)
    cycles = run_pipeline(work([stream("a", *tiles)], np.full(4, 10.0), Port("dram", 8, 0))).cycles
    assert cycles.total == 74
    assert cycles.stall == {"dram: a": 34}


def test_write_backs_share_the_port_and_the_last_one_is_waited_for() -> None:
    """Each step leaves 32 bytes, 4 cycles; the last leaves after the last step: 3 x 10 + 4."""
    cycles = run_pipeline(
        work(
            [stream("c", [0, 1, 2], [0, 1, 2], [0] * 3, [32] * 3)],
            np.full(3, 10.0),
            Port("dram", 8, 0),
        )
    ).cycles
    assert cycles.total == 34
    assert cycles.stall == {"dram: c": 4}


def test_fold_cycles_by_hand() -> None:
    """A 10 x 7 x 13 product on 8 x 8, weight-stationary: 2 folds of 10 + 8 + 8 - 2 + 8 to shift weights in."""
    folds = mapped(10, 7, 13, "ws")
    assert separate_fold_cycles(folds, 8, 8, preload=True) == 2 * (10 + 8 + 8 - 2 + 8)
    assert mapping_efficiency(folds, 8, 8) == 13 * 7 / (2 * 64)


def test_a_product_on_the_tpu_by_hand() -> None:
    """2048 x 256 x 512, feature maps in the buffer: two folds of 2048 rows, the first tile's 256 cycles to shift in, 510 of skew."""
    machine = load_machine("tpu-v1")
    result = hwsim.simulate(GemmLayer(2048, 256, 512), machine, "direct")
    stage = result.layers[0].stages[0]
    assert stage.cycles.compute == 2 * 2048
    # the buffer reads A once for the array, 2048 x 512 bytes at 256 a cycle: as fast as the array takes it
    assert stage.cycles.stall["array: tiles shifting"] == 256
    assert stage.cycles.stall["array fill and drain"] == 510
    assert result.dram_bytes == 512 * 256


@pytest.mark.parametrize(
    "layer",
    [
        ConvLayer(1, 5, 12, 10, 7, 3, 3, pad=1),
        ConvLayer(2, 6, 9, 9, 8, 3, 2, stride=2, groups=2),
        ConvLayer(1, 8, 7, 7, 8, 3, 3, pad=1, groups=8),
        GemmLayer(33, 70, 90),
    ],
)
@pytest.mark.parametrize("name", ["tpu-v1", "eyeriss-v1"])
def test_events_move_the_bytes_that_the_closed_form_counts(
    layer: hwsim.ConvLayer | hwsim.GemmLayer, name: str
) -> None:
    from hwsim.algorithms import lower

    machine = load_machine(name)
    for stage in lower(replace(layer, dtype=machine.dtype), "direct").stages:
        nest = applicable(stage, machine)[0].schedule(stage, machine, Placement())
        counts, run = (
            count(nest),
            TIMINGS[machine.compute.timing].run(nest, machine, machine.dtype, Surroundings()),
        )
        for tile in walk_steps(run.nest, first_spatial(run.nest))[1]:
            traffic = counts.of(tile.level, tile.tensor)
            moved = (
                tile.returning if nest.stage.tensor(tile.tensor).role == "output" else tile.entering
            )
            assert int(moved.sum()) == traffic.fills
        assert run.cycles.total >= run.cycles.compute


def test_row_stationary_fills_the_chip_as_the_paper_says() -> None:
    """JSSC 2017, table V: active PEs of AlexNet's layers are R e r t; the array holds at most 168."""
    result = hwsim.simulate(hwsim.load_workload("alexnet").only(("conv3",)), "eyeriss-v1", "direct")
    stage = result.layers[0].stages[0]
    assert stage.dataflow == "row-stationary"
    assert stage.footprint_bytes["filter_spad"]["filter"] <= 448
    assert stage.footprint_bytes["glb"]["ofmap"] <= 100 * 1024


def test_the_shared_memory_tiling_formula_on_measured_kernels() -> None:
    """Loads leaving the SM are M N K (1/BN + 1/BM) words, as an H200 counted them, sector by sector."""
    from hwsim.validate import run_check
    from hwsim.validate.gpu_tiled import sm_load_sectors

    score = run_check("h200-tiled-gemm").metrics["sm_loads"]
    assert score.exact == score.n > 20
    row = {"M": 512, "N": 256, "K": 64, "BM": 32, "BN": 16, "BK": 8, "TM": 2, "TN": 1}
    assert sm_load_sectors(row, load_machine("h200")) == 512 * 256 * 64 * (1 / 16 + 1 / 32) * 4 / 32


def test_occupancy_of_a_tiled_kernel() -> None:
    """By hand: threads, registers and blocks follow from the tile; one block more would not fit the register file."""
    from hwsim.ir.convolution import gemm_stage

    machine = load_machine("h200")
    stage = gemm_stage(GemmLayer(8192, 8192, 512))
    nest = applicable(stage, machine)[0].schedule(stage, machine, Placement())
    room = occupancy(nest, machine, machine.compute, count(nest))  # type: ignore[arg-type]
    # 128 x 128 outputs by 256 threads of 8 x 8: 64 sums, 16 operands and 32 more registers, 256 * 112 * 4 = 114688 bytes
    assert (room.threads, room.registers_per_thread, room.shared_bytes) == (
        256,
        64 + 16 + 32,
        (128 + 128) * 8 * 4,
    )
    assert (room.blocks, room.limit) == (262144 // 114688, "registers")


@pytest.mark.parametrize("dtype", ["fp16", "tf32", "fp32", "fp64", "int8"])
def test_every_type_of_product_fits_a_gpu(dtype: str) -> None:
    """Sums are kept in 4 bytes: a tile of fp16 operands takes as many registers for them as one of fp32."""
    result = hwsim.simulate(GemmLayer(4096, 4096, 256), "h200", "direct", dtype=dtype)
    assert result.footprint_bytes["registers"] <= 256 * 1024


def test_a_machine_too_small_says_what_overflows(tmp_path: Path) -> None:
    text = (
        Path(hwsim.__file__).parent.parent / "configs" / "accelerator" / "tpu-v1.yaml"
    ).read_text()
    small = tmp_path / "small.yaml"
    small.write_text(text.replace("capacity: 24 MiB", "capacity: 300 B"))
    with pytest.raises(
        HwsimError,
        match="take .* of unified_buffer, which has 300 B; most of it is .* at least .* more are needed",
    ):
        hwsim.simulate(ConvLayer(1, 512, 14, 14, 512, 3, 3, pad=1), str(small), "direct")


def test_physics_rejects_a_result_that_is_too_good() -> None:
    machine = load_machine("tpu-v1")
    stage = hwsim.simulate(GemmLayer(64, 64, 64), machine, "direct").layers[0].stages[0]
    faster = replace(stage, cycles=replace(stage.cycles, compute=0.0, stall={}))
    with pytest.raises(PhysicsError, match="a bug in the model"):
        check_stage(faster, machine)


@pytest.mark.parametrize("machine", ["tpu-v1", "xeon-8380", "eyeriss-v1", "h200"])
def test_every_port_is_a_floor_of_the_time(machine: str) -> None:
    """Just below what its busiest port takes, a stage is rejected, naming a port; at its own time it is not."""
    loaded = load_machine(machine)
    stage = (
        hwsim.simulate(ConvLayer(1, 32, 28, 28, 32, 3, 3, pad=1), loaded, "direct")
        .layers[0]
        .stages[0]
    )
    floors = {
        name: port_cycles(loaded, name, tensors.values())
        for name, tensors in stage.accesses.items()
    }
    assert sum(floor > 0 for floor in floors.values()) >= 3
    check_stage(stage, loaded)
    name = max(floors, key=lambda part: floors[part])
    with pytest.raises(PhysicsError, match=f"moves at {name}"):
        check_stage(
            replace(stage, cycles=replace(stage.cycles, compute=0.999 * floors[name], stall={})),
            loaded,
        )


@pytest.mark.slow(keep=4)
@pytest.mark.parametrize("machine", ["xeon-8380", "h200", "tpu-v1", "eyeriss-v1"])
@pytest.mark.parametrize(
    "algorithm", ["direct", "im2col", "implicit-gemm", "winograd-f2", "winograd-f4"]
)
def test_odd_layers_run_everywhere(machine: str, algorithm: str) -> None:
    """Ragged, strided, grouped, depthwise, 1x1, batched: physics holds, and totals add up."""
    layers = [
        ConvLayer(1, 3, 17, 13, 5, 3, 3, pad=1),
        ConvLayer(2, 8, 9, 9, 8, 3, 3, 2, 1, groups=8),
        ConvLayer(1, 16, 7, 7, 24, 1, 1),
        ConvLayer(3, 4, 11, 11, 6, 5, 5, pad=2, groups=2),
        ConvLayer(1, 70, 5, 5, 300, 3, 3),
        ConvLayer(1, 6, 12, 12, 4, 3, 3, dilation=2),
    ]
    for layer in layers:
        result = hwsim.simulate(layer, machine, algorithm)
        used = result.layers[0]
        assert used.dram_bytes >= used.compulsory_bytes
        assert used.seconds > 0
        if used.algorithm in ("direct", "im2col", "implicit-gemm"):
            assert used.operations.multiplies == layer.macs
        if used.algorithm != algorithm:
            assert any(note.about is About.FALLBACK for note in used.notes)


def test_auto_is_the_fastest() -> None:
    layer = ConvLayer(1, 64, 56, 56, 64, 3, 3, pad=1)
    each = {
        name: hwsim.simulate(layer, "xeon-8380", name).seconds
        for name in ("direct", "im2col", "implicit-gemm", "winograd-f2", "winograd-f4")
    }
    best = hwsim.simulate(layer, "xeon-8380", "auto")
    assert best.seconds == min(each.values())
    assert "auto:" in best.layers[0].notes[-1].text


@pytest.mark.parametrize("layer", ["gemm:256,4,256", "gemm:4,4,1024"])
def test_what_passes_the_memories_by_shares_drams_port(layer: str) -> None:
    """With two buffers tiles come beside it; together they take the port's time at least."""
    machine = load_machine("toy-8x8", read_settings(["parts.gb.buffers=2"]))
    result = hwsim.simulate(layer, machine, "direct")
    dram = machine.memories[machine.dram_name].bandwidth
    assert dram is not None
    least = result.dram_bytes / dram.bytes_per_cycle(machine.clock_hz)
    assert result.cycles >= least * (1 - 1e-9)


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("machine", ["eyeriss-v1", "tpu-v1", "toy-systolic"])
def test_auto_leaves_nothing_that_is_faster(machine: str) -> None:
    """What took longer than the first is not simulated to its end; the best is found all the same."""
    conv = ConvLayer(1, 8, 13, 13, 12, 3, 3, pad=1)
    each = [hwsim.simulate(conv, machine, name).seconds for name in candidates(conv)]
    assert hwsim.simulate(conv, machine, "auto").seconds <= 1.001 * min(each)


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize(
    "machine", [name for name in shipped("configs") if load_machine(name).power is not None]
)
def test_no_machine_draws_more_than_its_power(machine: str) -> None:
    """Averages over layers of networks and large products, in every data type that the machine multiplies."""
    loaded = load_machine(machine)
    layers = {
        "product": GemmLayer(1024, 1024, 1024),
        "wide": GemmLayer(64, 4096, 1024),
        "conv": ConvLayer(1, 256, 28, 28, 256, 3, 3, pad=1),
    }
    for dtype in loaded.compute.dtypes:
        result = hwsim.simulate(Workload("mixed", layers), loaded, "implicit-gemm", dtype=dtype)
        for layer in result.layers:
            assert sum(layer.energy_pj.values()) * 1e-12 <= loaded.power * layer.seconds, (
                layer.name,
                dtype,
            )  # type: ignore[operator]
            assert not any("on average" in note.text for note in layer.notes)


def test_a_tensor_cores_operands_are_not_read_from_registers_for_every_product() -> None:
    """An 8192^3 product in fp16: 16 of the reduction an instruction, so 2^39 / 16 sums read and written."""
    (layer,) = hwsim.simulate(
        GemmLayer(8192, 8192, 8192), load_machine("h200"), "implicit-gemm", dtype="fp16"
    ).layers
    (stage,) = layer.stages
    assert list(stage.accesses["registers"]) == ["C"]
    sums = stage.accesses["registers"]["C"]
    # the first of a sum reads none, its way out does
    assert (sums.writes, sums.reads) == (2**39 // 16, 2**39 // 16)
    assert 300 < sum(layer.energy_pj.values()) * 1e-12 / layer.seconds < 700


def test_what_must_move_of_a_transposed_layer_leaves_out_taps_that_meet_no_input() -> None:
    """One input, stride 2, 4 taps, pad 1: outputs -1 to 2 of which 0 and 1 are kept, so taps 1 and 2 are used: 2 of 4 words a channel."""
    layer = ConvTransposeLayer(1, 3, 1, 1, 5, 1, 4, stride=(1, 2), pad=(0, 1), dtype="fp32")
    assert layer.output == (5, 1, 2)
    assert compulsory_bytes(lower(layer, "direct")) == 4 * (3 + 3 * 5 * 2 + 5 * 2)
    # rows of one: of three taps the middle one meets an input
    tall = ConvLayer(1, 3, 1, 9, 5, 3, 3, pad=(1, 1), dtype="fp32")
    assert compulsory_bytes(lower(tall, "direct")) == 4 * (3 * 9 + 5 * 3 * 1 * 3 + 5 * 9)


def test_a_plans_own_tensors_do_not_lower_what_must_move() -> None:
    layer = ConvLayer(1, 64, 14, 14, 64, 3, 3, pad=1, dtype="fp32")
    direct, low = lower(layer, "direct"), lower(layer, "svd-r8")
    maps = 2 * 64 * 14 * 14 * 4
    assert compulsory_of(direct, direct) == maps + 64 * 64 * 9 * 4
    assert maps < compulsory_of(direct, low) < maps + 64 * 64 * 9 * 4
    # a plan that forgets its output still has to write it
    nothing = replace(low, stages=low.stages[:1])
    assert compulsory_of(direct, nothing) >= maps
