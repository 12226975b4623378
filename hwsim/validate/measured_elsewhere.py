"""Layers that others measured on many GPUs: what the checks that read their rows share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import ceil, prod

from hwsim.algorithms import lower
from hwsim.api import simulate
from hwsim.describe.kernels import Kernel
from hwsim.describe.layer import ConvLayer, GemmLayer, Layer
from hwsim.describe.machine import Machine, load_machine
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.timing.gpu.kernel_time import Chip, product_of, time_of
from hwsim.validate import Pair

PICKED = ("implicit-gemm", "winograd-f4", "winograd-f2-fused")  # of these the model takes one
SGEMM = re.compile(r"_sgemm_(\d+)x(\d+)_[nt]{2}")


def timed(
    row: str, us: float, layer: Layer, machine: str, algorithm: str, groups: dict[str, str]
) -> Iterator[Pair]:
    """A layer's time in microseconds beside the model's.

    For a convolution it also gives whether the fastest algorithm of the model is the one that ran
    (1) or another (0).
    """
    where = load_machine(machine)
    seconds = simulate(layer, where, algorithm, dtype=layer.dtype).seconds
    groups = {"machine": machine, **groups}
    yield Pair(row, "time", us, seconds * 1e6, groups)
    if isinstance(layer, ConvLayer):
        others = [name for name in PICKED if name != algorithm]
        agrees = all(seconds <= _seconds(layer, where, name) for name in others)
        yield Pair(row, "pick_agreement", 1.0, float(agrees), groups)


def _seconds(layer: ConvLayer, machine: Machine, algorithm: str) -> float:
    """Infinite where the algorithm does not apply."""
    result = simulate(layer, machine, algorithm, dtype=layer.dtype)
    return result.seconds if result.layers[0].algorithm == algorithm else float("inf")


def given_sgemm(layer: GemmLayer, machine: Machine, name: str, grid: Sequence[int]) -> float | None:
    """Microseconds of a call with the kernel of that name in so many blocks.

    None where the library has no such tile.

    cuBLAS may compute the transposed product: a name's first size runs along whichever of m and n
    the blocks agree with. Blocks beyond those of the tiles add up parts of the reduction.
    """
    sm, named = machine.compute, SGEMM.search(name)
    assert isinstance(sm, StreamingMultiprocessor)
    if sm.library is None or named is None:
        return None
    first, second = int(named[1]), int(named[2])
    blocks, ways = prod(grid), ((second, first), (first, second))
    m, n = next((way for way in ways if blocks == _tiles(layer, *way)), ways[0])
    shapes = sm.library.families["ffma"].shapes
    tile = next((tile for tile in shapes if (tile.m, tile.n) == (m, n)), None)
    if tile is None:
        return None
    split = max(1, round(blocks / _tiles(layer, m, n)))
    kernel = Kernel(sm.library, "ffma", tile, split)
    (stage,) = lower(layer, "direct").with_dtype("fp32").stages
    times = time_of(product_of(stage), "fp32", kernel, Chip.of(machine))
    return float(times.call[0]) / machine.clock_hz * 1e6


def _tiles(layer: GemmLayer, m: int, n: int) -> int:
    return ceil(layer.m / m) * ceil(layer.n / n) * layer.batch
