"""Tiles of sums on CPU cores: no product waits for caches that another tile would not wait for."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.api import as_workload
from hwsim.count.closed_form import count
from hwsim.describe.layer import ConvLayer, ElementwiseLayer, Layer
from hwsim.describe.networks import load_workload
from hwsim.ir.nest import Loop
from hwsim.ir.stage import Stage
from hwsim.ir.verify import verify_nest
from hwsim.parts.cache import caches_of
from hwsim.parts.core import Core, with_cores
from hwsim.parts.dram import Dram
from hwsim.rewrite.layout import in_layout
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS
from hwsim.schedule.dataflows.register_tiled import RegisterTiled
from hwsim.schedule.narrow_tiles import narrow_tiles
from hwsim.schedule.register_tiles import register_tile
from hwsim.schedule.tile_lines import rows_in_a_set
from tests.test_config import CPUS


def stage_of(layer: str, algorithm: str = "direct") -> Stage:
    (described,) = as_workload(layer).layers.values()
    return lower(described, algorithm).with_dtype("fp32").stages[-1]


@pytest.mark.parametrize("name", CPUS)
@pytest.mark.parametrize("k", [1000, 1024, 3072, 4096])
def test_a_tile_crowds_no_set(name: str, k: int) -> None:
    machine, stage = hwsim.load_machine(name), stage_of(f"gemm:512,1024,{k}")
    assert stage.view is not None
    first = caches_of(machine)[0][1]
    tile = register_tile(stage, stage.view, machine)
    assert rows_in_a_set(stage, stage.view, tile, first) <= first.ways


def test_rows_in_a_set_are_counted_one_by_one() -> None:
    """Rows of 4 KiB all begin in the same of 64 sets; of 4 KiB and a line, each in another."""
    first = caches_of(hwsim.load_machine("epyc-9654"))[0][1]
    for k, expected in ((1024, 12), (1040, 1), (512, 6)):
        stage = stage_of(f"gemm:512,1024,{k}")
        assert stage.view is not None
        assert rows_in_a_set(stage, stage.view, {"m": 12, "n": 8, "k": 1}, first) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", CPUS)
@pytest.mark.parametrize("m", [197, 512])
def test_rows_of_powers_of_two_cost_no_more_than_others(name: str, m: int) -> None:
    """A library's products reach nine tenths of the peak whatever the rows (was: 8% of it)."""
    machine = hwsim.load_machine(name)
    for k in (1024, 1040) if m == 512 else (1024, 1040, 3072):
        result = hwsim.simulate(f"gemm:{m},1024,{k}", machine, "direct")
        peak = machine.compute.peak_macs_per_cycle("fp32")
        least = m * 1024 * k / peak
        assert result.cycles <= least / (0.9 if m == 512 else 0.75), k


@pytest.mark.slow
def test_strided_channels_fill_half_of_the_first_cache_at_most() -> None:
    """1 x 1 on 14 x 14 maps reached 38% of a Cortex-A53, as 256 channels' lines filled its L1."""
    machine = hwsim.load_machine("cortex-a53")
    result = hwsim.simulate("conv:256,14,14,1024,1,1,1,0", machine, "implicit-gemm")
    cycles = result.layers[0].online[0].cycles
    assert cycles.compute > 0.9 * cycles.total


@pytest.mark.parametrize(
    ("layer", "outermost"), [("gemm:64,4096,512", "n"), ("gemm:4096,64,512", "m")]
)
def test_neighbours_share_the_larger_operand(layer: str, outermost: str) -> None:
    stage, machine = stage_of(layer), hwsim.load_machine("epyc-9654")
    nest = RegisterTiled().schedule(stage, machine, Placement())
    shared = [loop.dim for loop in nest.loops if isinstance(loop, Loop) and loop.spatial]
    assert shared[0] == outermost


@pytest.mark.parametrize("name", ["xeon-8380", "xeon-8480", "epyc-9654", "graviton3"])
def test_int8_products_reach_the_peak_of_int8(name: str) -> None:
    """Loads took as many instructions as in fp32, four times what the multiply-adds took."""
    machine = hwsim.load_machine(name)
    result = hwsim.simulate("gemm:512,512,1024", machine, "direct", dtype="int8")
    least = 512 * 512 * 1024 / machine.compute.peak_macs_per_cycle("int8")
    assert least <= result.cycles <= least / 0.85


@pytest.mark.parametrize("seed", range(60))
def test_narrow_tiles_fit_the_registers(seed: int) -> None:
    """Few filters a group, in either layout and any data type, on one of the CPUs."""
    dice = random.Random(seed)
    groups = dice.choice([1, 3, 8, 40, 100])
    filters, channels = dice.choice([1, 1, 2, 3, 5]), dice.choice([1, 1, 4, 7])
    size, taps = dice.choice([1, 7, 14, 33]), dice.choice([1, 3, 5])
    layer = ConvLayer(
        dice.choice([1, 2]),
        groups * channels,
        size,
        size,
        groups * filters,
        taps,
        taps,
        stride=dice.choice([1, 2]),
        pad=taps // 2,
        groups=groups,
        layout=dice.choice(["nchw", "nhwc"]),
    )
    machine = hwsim.load_machine(dice.choice(CPUS))
    dtype = dice.choice(sorted(machine.compute.dtypes))
    plan = in_layout(lower(layer, "implicit-gemm").with_dtype(dtype), layer, machine)
    nest = RegisterTiled().schedule(plan.stages[-1], machine, Placement())
    verify_nest(nest)
    core, view = machine.compute, nest.stage.view
    assert isinstance(core, Core) and view is not None
    counts = count(nest)
    level = machine.only("registers")
    held = sum(counts.of(level, tensor.name).peak for tensor in nest.stage.tensors)
    lanes = core.vector // max(4, nest.stage.output.width)
    assert held <= lanes * core.vector_registers


@pytest.mark.parametrize("name", CPUS)
def test_depthwise_layers_take_as_long_in_either_layout(name: str) -> None:
    """Channels last they ran in scalars, with vectors along pixels: up to 16 times as long."""
    layer = ConvLayer(1, 256, 28, 28, 256, 3, 3, pad=1, groups=256)
    first, last = (
        hwsim.simulate(replace(layer, layout=layout), name, "implicit-gemm").cycles
        for layout in ("nchw", "nhwc")
    )
    assert last <= 1.4 * first


@pytest.mark.parametrize("layer", ["unet:concat4", ElementwiseLayer(1, 3_000_000, 1, 1)])
@pytest.mark.parametrize("name", CPUS)
def test_flat_layers_use_all_cores(name: str, layer: str | Layer) -> None:
    """One dim of 3 million words was one core's: 11 GB/s of 200."""
    result = hwsim.simulate(layer, name)
    machine = hwsim.load_machine(name)
    dram: Dram = machine.part(machine.dram_name, Dram)
    least = result.dram_bytes / dram.bandwidth.bytes_per_cycle(machine.clock_hz)
    assert result.cycles <= 1.05 * least + dram.latency.cycles(machine.clock_hz)


def test_what_is_used_again_stays_in_the_second_cache() -> None:
    """13 pixels of a row take two lines, and taps were outermost: 437 MiB, 40 times the maps."""
    result = hwsim.simulate("conv:256,102,102,16,3,3,1,0", "cortex-a53", "implicit-gemm")
    assert result.dram_ratio <= 3
    assert result.utilization >= 0.9


def test_of_one_row_more_cores_fetch_the_weights() -> None:
    """48 columns were three vectors, of three cores of 40: 10 us."""
    result = hwsim.simulate("gemm:1,48,1152", "xeon-8380", "direct")
    assert result.seconds <= 4e-6


@pytest.mark.parametrize("mr", [4, 28])
def test_a_stated_tile_of_a_depthwise_layer_fits_the_registers(mr: int) -> None:
    """The rule's 32 groups were kept beside the stated rows: 1,824 words in room for 512."""
    layer = ConvLayer(1, 256, 28, 28, 256, 3, 3, pad=1, groups=256, layout="nhwc")
    machine = hwsim.load_machine("xeon-8380")
    plan = in_layout(lower(layer, "direct").with_dtype("fp32"), layer, machine)
    nest = (
        RegisterTiled().with_parameters(f"mr={mr}").schedule(plan.stages[-1], machine, Placement())
    )
    counts, level = count(nest), machine.only("registers")
    assert sum(counts.of(level, tensor.name).peak for tensor in nest.stage.tensors) <= 512


def test_few_registers_cut_the_filters() -> None:
    """15 filters whole took 271 words of 8 registers' 128."""
    core = replace(hwsim.load_machine("xeon-8380").compute, vector_registers=8, vector=64)
    stage = stage_of("gemm:512,15,512")
    assert isinstance(core, Core) and stage.view is not None
    for tile in narrow_tiles(stage, stage.view, core, 16):
        vectors, filters = -(-tile.sizes["m"] // 16), tile.sizes["n"]
        assert vectors * (filters + 1) + 1 <= 8


def test_a_layer_of_one_image_and_one_row_of_words_uses_all_cores() -> None:
    """Copies of maps were shared along rows alone: 7 cores of 64 for 512 channels of 7 x 7."""
    machine = hwsim.load_machine("epyc-7763")
    layer = ElementwiseLayer(1, 300_000, 1, 1)
    stage = lower(layer, "memory-bound").with_dtype("fp32").stages[0]
    nest = DATAFLOWS["streaming"].schedule(stage, machine, Placement())
    assert nest.instances(nest.loops) >= 60


@pytest.mark.parametrize("layer", ["gemm:16,64,512", "conv:64,14,14,32,3,3,2,1"])
def test_all_cores_are_no_slower_than_some(layer: str) -> None:
    """Every group of cores with an L3 fetched the whole product: 64 cores took 1.6 times as long."""
    every = hwsim.load_machine("epyc-7763")
    least = min(
        hwsim.simulate(layer, with_cores(every, cores), "direct").seconds for cores in (8, 16, 32)
    )
    assert hwsim.simulate(layer, every, "direct").seconds <= 1.05 * least


@pytest.mark.parametrize("name", ["xeon-8380", "epyc-7763", "graviton3"])
def test_vectors_lie_along_one_dim(name: str) -> None:
    """A tile of 5 filters of 4 x 4 taps was taken for five full vectors: it is sixteen of five words."""
    machine = hwsim.load_machine(name)
    layer = load_workload("dcgan").only(("deconv4",))
    product = hwsim.simulate(layer, machine, "offset-add").layers[0].stages[0]
    assert (
        product.operations.multiplies / product.peak_macs_per_cycle / product.cycles.compute > 0.6
    )
