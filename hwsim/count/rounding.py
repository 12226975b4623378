"""What rounding costs: each algorithm computed in fp32 or fp16, beside float64.

The reference is direct convolution in float64. Inputs and filters are uniform in [-1, 1].

fp32: every operation rounded to fp32, products added one after another in the order of the loops,
as a GPU's thread adds them. fp16: inputs, filters and whatever goes through memory are rounded to
fp16 and computed on in fp32, as tensor cores do; the exact result is of the rounded inputs. A fused
plan's temporaries do not go through memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.algorithms import find_algorithm, lower
from hwsim.algorithms.low_rank import LowRank
from hwsim.compiled import about_to_run
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer
from hwsim.describe.units import si
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError, TooLarge, UnknownName
from hwsim.ir.convolution import Convolution
from hwsim.ir.evaluate import Arithmetic, convolve, evaluate
from hwsim.ir.stage import Plan, Stage

Array = npt.NDArray[Any]
FORMATS = ("fp32", "fp16")


@dataclass(frozen=True)
class Error:
    """What rounding does to one algorithm in one format.

    It is the largest error of an output, and the root mean square over that of the outputs.
    """

    algorithm: str
    format: str
    largest: float
    relative: float


def random_data(layer: Convolution, seed: int = 0) -> tuple[Array, Array]:
    """x and w uniform in [-1, 1], in the shapes that Algorithm.compute takes."""
    dice = np.random.default_rng(seed)
    filters = (
        (layer.c, layer.k // layer.groups)
        if isinstance(layer, ConvTransposeLayer)
        else (layer.k, layer.c // layer.groups)
    )
    return dice.uniform(-1, 1, (layer.n, layer.c, layer.h, layer.w)), dice.uniform(
        -1, 1, (*filters, layer.r, layer.s)
    )


def measure(
    workload: Workload,
    names: Sequence[str],
    formats: Sequence[str] = FORMATS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Error]]:
    """{layer: errors} of a workload's convolutions; equal layers once.

    Random numbers are the same for every algorithm.

    progress(layers done, all). Raises UnknownName, HwsimError for a format that is none, a workload
    without convolutions and, where only one layer is asked for, an algorithm that does not apply to
    it (elsewhere it is left out).
    """
    for form in formats:
        if form not in FORMATS:
            raise UnknownName("format", form, FORMATS)
    convolutions = {
        layer: name
        for name, layer in reversed(workload.layers.items())
        if isinstance(layer, (ConvLayer, ConvTransposeLayer))
    }
    if not convolutions:
        raise HwsimError(f"{workload.name}: no convolution; expected at least one")
    found = {}
    for number, (layer, name) in enumerate(reversed(convolutions.items())):
        fitting = [
            own
            for own in names
            if len(convolutions) == 1 or find_algorithm(own).refuses(layer) is None
        ]
        for own in fitting:
            _bound(layer, own)
        found[name] = list(errors(layer, fitting, *random_data(layer, seed), formats))
        if progress is not None:
            progress(number + 1, len(convolutions))
    return found


def errors(
    layer: Convolution, names: Sequence[str], x: Array, w: Array, formats: Sequence[str] = FORMATS
) -> Iterator[Error]:
    """Errors by algorithm and format.

    Raises UnknownName, HwsimError for an algorithm that does not apply.
    """
    for name in names:
        if (reason := find_algorithm(name).refuses(layer)) is not None:
            raise HwsimError(f"{name} does not apply to {layer.summary}: {reason}")
        if plain := lower(layer, name).trained_in:
            raise HwsimError(
                f"{name}: its weights are trained in the Winograd domain, so there is no exact "
                f"result; expected {plain}"
            )
    for form in formats:
        inputs = [values.astype(np.float16 if form == "fp16" else np.float32) for values in (x, w)]
        exact = find_algorithm("direct").compute(
            layer, *(values.astype(np.float64) for values in inputs)
        )
        size = float(np.sqrt(np.mean(exact**2))) or 1.0
        for name in names:
            with np.errstate(all="ignore"):  # what overflows in the format is an error to be shown
                off = _compute(layer, name, form, *inputs) - exact
            yield Error(
                name, form, float(np.abs(off).max()), float(np.sqrt(np.mean(off**2))) / size
            )


MOST_WORDS = 50_000_000  # of a stage's tensors, up to 8 bytes and some copies each: about 1 GiB
MOST_PRODUCTS = 20_000_000_000


def _bound(layer: Convolution, name: str) -> None:
    """Raises TooLarge for a layer that would take too much memory or time.

    It does so before anything is computed.
    """
    algorithm = find_algorithm(name)
    if algorithm.refuses(layer) is not None:
        return
    plan = algorithm.lower(layer)
    words = max(sum(tensor.elements for tensor in stage.tensors) for stage in plan.stages)
    products = sum(
        stage.operations.multiplies + stage.operations.constant_multiplies for stage in plan.stages
    )
    if words > MOST_WORDS or products > MOST_PRODUCTS:
        raise TooLarge(
            f"{name} of {layer.summary} computes {si(products)} products on {si(words)} words; "
            f"expected at most "
            f"{si(MOST_PRODUCTS)} and {si(MOST_WORDS)}, so a smaller layer"
        )


def _compute(layer: Convolution, name: str, form: str, x: Array, w: Array) -> Array:
    """[n, k, p, q] in float64, computed in the format."""
    algorithm = find_algorithm(name)
    plan = algorithm.lower(layer)
    arithmetic = Arithmetic(
        np.float32, _in_order, _keeps_fp16(plan) if form == "fp16" else _as_fp32, zero=np.float32(0)
    )
    if isinstance(algorithm, LowRank):
        assert isinstance(layer, ConvLayer)
        factors = algorithm.factors(layer, w.astype(np.float64))
        given = {
            "ifmap": x,
            **{
                f"filter{number + 1}": arithmetic.store(factor, plan.stages[0])
                for number, factor in enumerate(factors)
            },
        }
        found = evaluate(plan, given, arithmetic)["ofmap"].reshape(
            layer.n, layer.k, layer.p, layer.q
        )
    else:
        found = convolve(layer, plan, x, w, arithmetic)
    return found.astype(np.float64)


def _as_fp32(values: Array, stage: Stage) -> Array:
    return values.astype(np.float32, copy=False)


def _keeps_fp16(plan: Plan) -> Callable[[Array, Stage], Array]:
    """Round to fp16 what a stage writes to memory."""
    on_chip = set(plan.temporaries) if plan.fused_over else set()

    def store(values: Array, stage: Stage) -> Array:
        return (
            values.astype(np.float32, copy=False)
            if stage.output.name in on_chip
            else values.astype(np.float16).astype(np.float32)
        )

    return store


def _in_order(total: Array | None, a: Array, b: Array) -> Array:
    kernel = _kernel()
    about_to_run(kernel)
    out = np.zeros((a.shape[0], a.shape[1], b.shape[2]), np.float32) if total is None else total
    kernel(out, np.ascontiguousarray(a), np.ascontiguousarray(b))
    return out


@lru_cache(maxsize=1)
def _kernel() -> Any:
    from hwsim.count.inorder import add_in_order

    return add_in_order
