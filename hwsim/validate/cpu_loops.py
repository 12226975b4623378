"""Loops on one CPU core, timed as benchmarks time them: again and again, with warm caches.

The outermost loop is run for some iterations and for twice as many; the difference is what they
take once the caches are warm, and the whole loop is that many times as long. Of tiles with more
rows than are run, what comes once a tile is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer, GemmLayer, Layer
from hwsim.describe.machine import Machine
from hwsim.ir.tensor import Array

TEXTBOOK = {"i": "m", "j": "n", "k": "k"}
ROWS, WORDS = 8, 16  # iterations of an outermost loop over rows; over words, which share lines
VECTORS = (
    "entry=40"  # instructions around GCC's vector loops: do the arrays overlap, is one ragged?
)


def product_seconds(
    machine: Machine, loops: str, n: int, ld: int, tile: int = 0, transposed: bool = False
) -> float:
    """C[n][n] += A[n][n] * B[n][n], rows of ld words. loops: parameters of the dataflow `loops`.

    transposed: B is read by rows.
    """
    outermost = TEXTBOOK[loops.partition("order=")[2][0]]
    usual = ROWS if outermost == "m" else WORDS
    first = min(max(usual, tile if tile <= 2 * WORDS else 0), max(1, n // 2))
    arrays = {name: Array(ld=ld) for name in "ABC"}
    if transposed:
        arrays["B"] = Array(order=("n", "k"), ld=ld)

    def seconds(count: int) -> float:
        sizes = {**dict.fromkeys("mnk", n), outermost: count}
        layer = GemmLayer(sizes["m"], sizes["n"], sizes["k"])
        return _seconds(layer, machine, loops, arrays)

    return (seconds(2 * first) - seconds(first)) * n / first


def convolution_seconds(machine: Machine, loops: str, layer: ConvLayer) -> float:
    """A direct convolution whose outermost loop is over filters, which lie one after another."""
    half = replace(layer, k=layer.k // 2)
    arrays = {"filter": Array(order=("k", "c", "r", "s"))}
    whole = _seconds(layer, machine, loops, arrays)
    return (whole - _seconds(half, machine, loops, arrays)) * layer.k / (layer.k - half.k)


def _seconds(layer: Layer, machine: Machine, loops: str, arrays: Mapping[str, Array]) -> float:
    result = simulate(layer, machine, "direct", dataflow=f"loops:{loops}", arrays=arrays)
    return result.seconds
