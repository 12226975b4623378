"""Tiles of sums on CPU cores: no product waits for caches that another tile would not wait for."""

from __future__ import annotations

import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.api import as_workload
from hwsim.ir.nest import Loop
from hwsim.ir.stage import Stage
from hwsim.parts.cache import caches_of
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows.register_tiled import RegisterTiled
from hwsim.schedule.register_tiles import register_tile, rows_in_a_set
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
    for k in (1024, 1040, 3072):
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
