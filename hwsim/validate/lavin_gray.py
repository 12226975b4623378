"""Lavin and Gray 2016: what transforms cost (tables 1 and 2), what rounding does (table 4).

The transforms are Winograd's and Fourier's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from hwsim.algorithms.fft import Fft
from hwsim.algorithms.winograd import Winograd
from hwsim.count.rounding import Error, errors, random_data
from hwsim.describe.layer import ConvLayer
from hwsim.ir.stage import Operations, Plan
from hwsim.validate import CHECKS, Pair

TAPS = 3
VGG_LAYERS = {  # c, h, k
    "1.2": (64, 224, 64),
    "2.2": (128, 112, 128),
    "3.2": (256, 56, 256),
    "4.2": (512, 28, 512),
    "5": (512, 14, 512),
}


class LavinGray:
    """The paper's counts of operations.

    alpha: multiplications an output; beta, gamma, delta: operations of the transforms for each
    multiplication of a tile.

    Winograd's transforms are counted as the paper does, a fused multiply-add once; Fourier's
    operation by operation.
    """

    file = "lavin_gray.yaml"
    summary = "transform costs and rounding errors of Winograd and FFT (CVPR 2016)"

    def pairs(self, data: Any) -> Iterator[Pair]:
        for tile, alpha, *costs, fft_alpha, fft_cost in data["table1_normalized_complexity"][
            "rows"
        ]:
            if costs[0] is not None:
                yield from _winograd(tile, alpha, costs)
            if fft_alpha is not None:
                yield from _fourier(tile, False, [fft_alpha, *[fft_cost] * 3], "fft")
        for tile, *published in data["table2_fft_fast_cgemm"]["rows"]:
            yield from _fourier(tile, True, published, "fft_3m")
        for layer, direct, f2, f4, fp16 in data["table4_max_element_error"]["rows"]:
            yield from _rounding(
                str(layer), {"direct": direct, "winograd-f2": f2, "winograd-f4": f4}, fp16
            )

    def remarks(self, data: Any) -> Iterator[str]:
        for pair in self.pairs({**data, "table2_fft_fast_cgemm": {"rows": []}}):
            yield f"{pair.row}: {pair.metric} {pair.modelled:.3g}, published {pair.expected:.3g}"


def _winograd(tile: int, alpha: float, published: list[float]) -> Iterator[Pair]:
    """One tile of tile x tile inputs: F(m x m, 3 x 3) with m = tile - 2."""
    m = tile - TAPS + 1
    plan = Winograd(f"winograd-f{m}", m, m).lower(ConvLayer(1, 1, tile, tile, 1, TAPS, TAPS))
    row = f"tile {tile}, F({m}x{m})"
    yield Pair(row, "alpha", alpha, round(tile * tile / m**2, 2))
    for name, stage, expected in zip(
        ("beta", "gamma", "delta"), ("input", "filter", "output"), published, strict=True
    ):
        yield Pair(row, name, expected, round(_of(plan, stage).vector_operations / tile**2, 2))


def _fourier(tile: int, gauss: bool, published: list[float], metric: str) -> Iterator[Pair]:
    m = tile - TAPS + 1
    fft = Fft("", tile, gauss)
    plan = fft.lower(ConvLayer(1, 1, tile, tile, 1, TAPS, TAPS))
    products = sum(stage.operations.multiplies for stage in plan.stages)
    row = f"tile {tile}, FFT" + (" with 3 multiplications" if gauss else "")
    yield Pair(row, f"{metric}_alpha", published[0], round(products / m**2, 2))
    for name, stage, expected in zip(
        ("beta", "gamma", "delta"), ("input", "filter", "output"), published[1:], strict=True
    ):
        cost = _of(plan, stage)
        yield Pair(
            row,
            f"{metric}_{name}",
            expected,
            round((cost.additions + cost.constant_multiplies) / products, 2),
        )


def _of(plan: Plan, stage: str) -> Operations:
    return next(own.per_iteration for own in plan.stages if own.name == f"{stage}-transform")


def _rounding(layer: str, published: dict[str, float], fp16: float) -> Iterator[Pair]:
    c, h, k = VGG_LAYERS[layer]
    for error in _errors(ConvLayer(1, c, h, h, k, TAPS, TAPS, 1, 1), tuple(published)):
        if error.format == "fp32":
            yield Pair(
                f"conv{layer}",
                f"error_fp32_{error.algorithm}",
                published[error.algorithm],
                error.largest,
            )
        elif error.algorithm == "direct":
            yield Pair(f"conv{layer}", "error_fp16", fp16, error.largest)


@lru_cache(maxsize=16)
def _errors(layer: ConvLayer, names: tuple[str, ...]) -> tuple[Error, ...]:
    return tuple(errors(layer, names, *random_data(layer)))


CHECKS.register("lavin-gray")(LavinGray())
