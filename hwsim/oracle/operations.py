"""A plan executed number by number, every operation tallied: what its own counts must equal.

Written for small layers, to be trusted rather than fast; it shares with the counts only what a
statement means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.ir.evaluate import Arithmetic, run_stage
from hwsim.ir.stage import Operations, Plan, Stage

Array = npt.NDArray[Any]


@dataclass
class Tally:
    """Operations that happened."""

    multiplies: int = 0
    effectual_multiplies: int = 0
    constant_multiplies: int = 0
    shifts: int = 0
    additions: int = 0


class Number:
    """A float that tallies what is done to it."""

    __slots__ = ("tally", "value")

    def __init__(self, value: float, tally: Tally) -> None:
        self.value, self.tally = value, tally

    def __add__(self, other: Number) -> Number:
        self.tally.additions += 1
        return Number(self.value + other.value, self.tally)

    def __sub__(self, other: Number) -> Number:
        return self + -other

    def __neg__(self) -> Number:
        return Number(-self.value, self.tally)

    def __mul__(self, other: Number | float) -> Number:
        if isinstance(other, Number):
            self.tally.multiplies += 1
            self.tally.effectual_multiplies += self.value != 0 and other.value != 0
            return Number(self.value * other.value, self.tally)
        size = abs(Fraction(other))
        if size == 0:
            return Number(0.0, self.tally)
        if size.numerator.bit_count() == 1 and size.denominator.bit_count() == 1:
            self.tally.shifts += size != 1
        else:
            self.tally.constant_multiplies += 1
        return Number(self.value * other, self.tally)


def execute_plan(
    plan: Plan, operands: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Operations]]:
    """({tensor: float64 values}, {stage: the operations that happened})."""
    values: dict[str, Array] = {}
    counts: dict[str, Operations] = {}
    for stage in plan.stages:
        for tensor in stage.inputs:
            if tensor.buffer not in values:
                values[tensor.buffer] = np.asarray(operands[tensor.buffer], np.float64)
        values[stage.output.name], counts[stage.name] = _execute_stage(stage, values)
    return values, counts


def _execute_stage(stage: Stage, values: Mapping[str, Array]) -> tuple[Array, Operations]:
    tally = Tally()
    number = np.vectorize(lambda value: Number(float(value), tally), otypes=[object])
    inside = {name: number(array) for name, array in values.items() if array.size}
    result = run_stage(
        stage, inside, Arithmetic(np.object_, _multiply_and_add, zero=Number(0.0, tally))
    )
    plain = np.vectorize(lambda item: item.value, otypes=[np.float64])(result)
    return plain, Operations(
        tally.multiplies,
        tally.constant_multiplies,
        tally.shifts,
        tally.additions,
        tally.effectual_multiplies,
    )


def _multiply_and_add(total: Array | None, a: Array, b: Array) -> Array:
    """[b, m, k] x [b, k, n] -> [b, m, n], one product after another added to the sum."""
    out = np.empty((a.shape[0], a.shape[1], b.shape[2]), object)
    for place in np.ndindex(*out.shape):
        batch, m, n = place
        number = Number(0.0, a[batch, m, 0].tally) if total is None else total[place]
        for k in range(a.shape[2]):
            number = number + a[batch, m, k] * b[batch, k, n]
        out[place] = number
    return out


def counted(operations: Operations) -> Operations:
    """A plan's counts as an execution sees them.

    It does not know which operations a fused unit would do at once.
    """
    return replace(operations, fused=0)
