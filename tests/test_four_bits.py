"""Words of four bits: as much as bytes are on a machine with twice the bytes everywhere."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

import hwsim
from hwsim.describe.machine import Machine
from hwsim.describe.units import Bandwidth
from hwsim.results.result import LayerResult

MACHINES = ("toy-8x8", "toy-systolic")


def twice_the_bytes(machine: Machine) -> Machine:
    """Every memory, port and bus of a machine with twice the bytes, sums twice as wide."""
    parts: dict[str, Any] = dict(machine.parts)
    for name, part in machine.parts.items():
        changed: dict[str, Any] = {
            field: 2 * getattr(part, field)
            for field in ("capacity", "word_bytes", "accumulator_bytes")
            if getattr(part, field, None)
        }
        for field, value in vars(part).items():
            if isinstance(value, Bandwidth):
                changed[field] = Bandwidth(2 * value.value, value.per_cycle)
        parts[name] = replace(parts[name], **changed)
    return replace(machine, parts=parts)


def random_layer(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return "gemm:" + ",".join(str(rng.randint(1, 60)) for _ in range(3))
    size, taps = rng.randint(5, 14), rng.choice((1, 3))
    channels, filters = rng.randint(1, 12), rng.randint(1, 20)
    return f"conv:{channels},{size},{size},{filters},{taps},{taps},{rng.choice((1, 2))},{taps // 2}"


def run(machine: Machine, layer: str, dtype: str) -> LayerResult:
    return hwsim.simulate(layer, machine, "implicit-gemm", dtype=dtype).layers[0]


@pytest.mark.parametrize("seed", range(6))
def test_four_bits_are_half_the_bytes(seed: int) -> None:
    """Cycles are those of int8 on the wider machine but for tiles of half a byte more."""
    rng = random.Random(seed)
    machine, layer = hwsim.load_machine(rng.choice(MACHINES)), random_layer(rng)
    narrow, wide = run(machine, layer, "int4"), run(twice_the_bytes(machine), layer, "int8")
    assert narrow.cycles.total == pytest.approx(wide.cycles.total, rel=0.005)
    assert 2 * narrow.dram_bytes == pytest.approx(wide.dram_bytes, abs=6)
    assert narrow.operations == wide.operations


@pytest.mark.parametrize("machine", MACHINES)
def test_only_weights_of_four_bits(machine: str) -> None:
    """Moving every word once: 64 x 64 bytes of A and C, half of it for B."""
    moved = {
        dtype: hwsim.simulate(
            "gemm:64,64,64", machine, "implicit-gemm", dtype=dtype, objective="dram"
        ).dram_bytes
        for dtype in ("int8", "int8x4", "int4")
    }
    if machine == "toy-8x8":
        assert moved == {"int8": 3 * 4096, "int8x4": 2 * 4096 + 2048, "int4": 3 * 2048}
    assert moved["int4"] < moved["int8x4"] < moved["int8"]


def test_the_mapper_knows_half_bytes() -> None:
    """The best mapping of 33 x 17 x 65 moves every word once: 1,905.5 bytes, the half rounded up."""
    best = hwsim.map_layers("gemm:33,17,65", "toy-8x8", "dram", dtype="int4").stages[0]
    words = 33 * 65 + 65 * 17 + 33 * 17
    assert best.found.metrics["dram bytes"] == words / 2
    moved = best.simulated.dram_read_bytes + best.simulated.dram_write_bytes
    assert moved == pytest.approx(words / 2, abs=1.5)


def test_a_type_that_a_machine_lacks_is_refused() -> None:
    with pytest.raises(hwsim.HwsimError, match="tpu-v1 does not compute 'int4'"):
        hwsim.simulate("gemm:8,8,8", "tpu-v1", dtype="int4")


@pytest.mark.parametrize("machine", ["t4", "a100"])
def test_words_of_four_bits_on_gpus(machine: str) -> None:
    """A product that the L2 holds moves every word once, and is faster in fewer bits."""
    found = {
        dtype: hwsim.simulate("gemm:512,512,512", machine, dtype=dtype)
        for dtype in ("fp16", "int8", "int4")
    }
    words = 3 * 512 * 512
    assert [each.dram_bytes for each in found.values()] == [2 * words, words, words / 2]
    assert found["int4"].seconds < found["fp16"].seconds


def test_weights_of_four_bits_are_a_quarter_of_fp16s_on_a_gpu() -> None:
    """One token's product is bound by its weights: 4096 x 14336 words of half a byte."""
    whole, quarter = (
        hwsim.simulate("gemm:1,14336,4096", "h100", dtype=dtype) for dtype in ("fp16", "fp16x4")
    )
    weights = 4096 * 14336
    assert whole.dram_bytes - quarter.dram_bytes == pytest.approx(1.5 * weights, rel=0.01)
    assert quarter.seconds < 0.5 * whole.seconds
    assert "marlin" in quarter.layers[0].stages[0].fidelity


def test_what_a_library_has_no_kernel_for_runs_without_one() -> None:
    """cuDNN's families have none for fp8: the convolution runs in tiles of shared memory."""
    layer = hwsim.simulate("conv:64,14,14,64,3,3,1,1", "h100", "implicit-gemm", dtype="fp8").layers[
        0
    ]
    assert layer.stages[0].dataflow == "shared-tiled"
