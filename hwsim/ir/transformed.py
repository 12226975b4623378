"""Winograd's convolution as one stage, as a GPU's fused kernel computes it.

    for g, n, tiles, k, c:   M[:] += transform(ifmap[n][c][patch of the tile]) * U[:][k][c]
                             ofmap[n][k][tile] = transform(M[:]), behind the last c

V and M live in shared memory and registers alone. A block of filters transforms the patches that it
needs by itself, so that every patch is transformed once for every block of filters.
"""

from __future__ import annotations

from dataclasses import replace

from hwsim.ir.stage import Operations, Plan, Stage, Transformed
from hwsim.ir.tensor import Axis, Tensor

FUSED = "winograd"
POINTS = 16  # of F(2 x 2, 3 x 3), the one tile that libraries have the kernel for
DIMS = {"g", "n", "y", "x", "k", "c"}  # of a layer whose taps and outputs are not cut into phases


def in_one_stage(plan: Plan, filters: int) -> Plan | None:
    """The plan with all but the filters' transform as one stage, for blocks of so many filters.

    None where it is not a transform of maps, products of one phase and their inverse, or not of
    16 points.
    """
    online = [stage for stage in plan.stages if not stage.offline]
    if len(online) != 3 or online[1].view is None or len(online[0].inputs) != 1:
        return None
    forward, products, inverse = online
    points = products.tensors[0].axes[0].dims
    dims = {dim for dim, _ in products.bounds} - set(points)
    if len(points) != 1 or not dims <= DIMS or products.extents[points[0]] != POINTS:
        return None
    number = products.extents[points[0]]
    rows, columns = inverse.output.axes[-2:]
    weights = next(tensor for tensor in products.inputs if tensor.role == "weight")
    fused = Stage(
        FUSED,
        tuple((dim, bound) for dim, bound in products.bounds if dim not in points),
        (forward.inputs[0], _at_all_points(weights, number), inverse.output),
        Operations(multiplies=number, additions=number),
        products.effectual,
        dtype=products.dtype,
        statement=f"{inverse.output.name} += transforms({forward.inputs[0].name}) * {weights.name}",
        transformed=Transformed(
            number,
            rows.span * columns.span,
            forward.per_iteration,
            inverse.per_iteration,
            filters,
        ),
    )
    before = tuple(stage for stage in plan.stages if stage.offline)
    return replace(plan, stages=(*before, fused), temporaries=(), fused_over=())


def _at_all_points(tensor: Tensor, number: int) -> Tensor:
    return replace(tensor, axes=(Axis((), number, 0, number), *tensor.axes[1:]))
