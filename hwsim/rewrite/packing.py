"""Weights put into panels in every run, in a stage of its own.

    product:                   pack:       filter.packed[panel][c][r][s][k] = filter[k][c][r][s]
      C += A * filter    ->    product:    C += A * filter.packed

A panel has as many filters as a tile of sums, side by side; the panel's words lie in the order in
which the product reads them.
"""

from __future__ import annotations

from dataclasses import replace

from hwsim.ir.kernel import Move
from hwsim.ir.stage import Operations, Stage


def pack_weights(stage: Stage, width: int) -> tuple[Stage, Stage] | None:
    """The stage that makes panels of `width` filters, and the product on them.

    None where the product has no weights, or somebody stated how they lie.
    """
    weights = next((tensor for tensor in stage.tensors if tensor.role == "weight"), None)
    if weights is None or weights.stated:
        return None
    name = f"{weights.name}.packed"
    source = replace(weights, role="activation", layout=())
    panels = replace(weights, name=name, role="output", block=width)
    pack = Stage(
        f"pack {weights.name}",
        tuple((dim, bound) for dim, bound in stage.bounds if dim in weights.dims),
        (source, panels),
        Operations(),
        statement=f"{name} = {weights.name}",
        kernel=Move(),
        dtype=stage.dtype,
    )
    product = replace(
        stage,
        tensors=tuple(
            replace(tensor, name=name) if tensor is weights else tensor for tensor in stage.tensors
        ),
    )
    return pack, product
