"""Attention as one stage, as a GPU's fused kernel computes it: scores live in registers alone.

    for b, m, n:  O[b][m][:] += softmax over n of (Q[b][m][:] . K[b][n][:]) * V[b][n][:]

Each iteration is a pair of tokens: d products for its score, and d for its share of the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwsim.ir.stage import Operations, Stage
from hwsim.ir.tensor import Axis, Tensor

FUSED = "attention"


def fused_attention(stages: Sequence[Stage]) -> Stage:
    """Scores, softmax and sums as one stage: the two products' tensors, rows of d at a time."""
    scores, softmax, sums = stages
    width = scores.extents["d"]
    whole = Axis((), width, extent=width)

    def rows(tensor: Tensor) -> Tensor:
        return replace(tensor, axes=(*tensor.axes[:2], whole))

    (queries, keys), (_, values) = scores.inputs, sums.inputs
    return Stage(
        FUSED,
        softmax.bounds,
        (rows(queries), rows(keys), rows(values), rows(sums.output)),
        Operations(multiplies=2 * width, additions=2 * width + softmax.per_iteration.additions),
        scores.effectual + sums.effectual,
        dtype=scores.dtype,
        statement=f"{sums.output.name} += softmax({queries.name} * {keys.name}) * {values.name}",
    )


def is_fused_attention(stage: Stage) -> bool:
    """Is it what `fused_attention` makes?

    That has three inputs and an output of whole rows at a time, and products of them.
    """
    rows = all(not tensor.axes[-1].terms for tensor in stage.tensors)
    products = stage.per_iteration.multiplies > 0
    return stage.view is None and len(stage.inputs) == 3 and rows and products


def head_width(stage: Stage) -> int:
    """d: words of a token's row."""
    return stage.output.axes[-1].size
