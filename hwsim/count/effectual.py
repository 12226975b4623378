"""Effectual multiplications on real arrays, counted one by one.

They are the products whose two operands are not zero:

    for m, n, k:  effectual += A[m][k] != 0 and B[k][n] != 0
->  for k:        effectual += (sum over m of A[m][k] != 0) * (sum over n of B[k][n] != 0)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.ir.evaluate import FLOAT64, Arithmetic, evaluate, gathered
from hwsim.ir.stage import Plan, Stage

Array = npt.NDArray[Any]


def effectual_multiplies(
    plan: Plan, operands: Mapping[str, Array], arithmetic: Arithmetic = FLOAT64
) -> int:
    """Effectual multiplications of a whole plan.

    operands: by tensor name, in the shapes that evaluate takes; the temporaries are computed.
    """
    values = evaluate(plan, operands, arithmetic)
    return sum(
        _of_stage(stage, values, arithmetic) for stage in plan.stages if stage.view is not None
    )


def _of_stage(stage: Stage, values: Mapping[str, Array], arithmetic: Arithmetic) -> int:
    assert stage.view is not None
    left, right = stage.inputs
    view = stage.view
    shared = [dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n)]
    a = _numbers(gathered(left, stage, values, [*shared, *view.m], arithmetic), len(shared))
    b = _numbers(gathered(right, stage, values, [*shared, *view.n], arithmetic), len(shared))
    return int((a * b).sum())


def _numbers(values: Array, leading: int) -> Array:
    """How many values are not zero behind every index of the leading axes."""
    return np.asarray((values != 0).sum(axis=tuple(range(leading, values.ndim))), np.int64)
