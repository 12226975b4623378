"""Which loops bring a tensor anew, and which it stays through, as far as a skeleton says.

for m in tiles:         A[m][k] comes anew with every m and k
  for n in tiles:       and stays through n
    for k in tiles:
"""

from __future__ import annotations

from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Axis, Tensor
from hwsim.schedule.mapper.space import (
    ARRAY,
    CELL,
    IDLE,
    OUTER,
    POINT,
    Skeleton,
    Slot,
    Space,
    beside_of,
)


def is_window(stage: Stage, axis: Axis) -> bool:
    """False for an axis whose chunks never overlap and never meet padding."""
    if len(axis.terms) > 1 or axis.offset < 0:
        return True
    coefficient = axis.terms[0][1]
    top = stage.extents[axis.terms[0][0]] - 1
    return not (
        coefficient >= axis.extent and axis.offset + coefficient * top + axis.extent <= axis.size
    )


def is_afresh(space: Space, skeleton: Skeleton, slots: tuple[Slot, ...], tensor: Tensor) -> bool:
    """True when every step brings a whole new tile.

    The innermost running loop then moves the tensor to other words.

    The loop's chunks do not overlap (its axis is no window) and there are two or more, so at
    its own advance, and at that of any loop outside it, when it goes from the last chunk to the
    first, nothing is kept.
    """
    dim = _innermost(space, skeleton, slots)
    return any(dim in axis.dims and not is_window(space.stage, axis) for axis in tensor.axes)


def stays_through(
    space: Space, skeleton: Skeleton, slots: tuple[Slot, ...], tensor: Tensor
) -> tuple[str, ...]:
    """Dims whose inner loops a tensor stays through at the least.

    There are none when no running loop outside them moves it.
    """
    outer, innermost, following = skeleton.running
    last = next((slot for slot in reversed(slots) if slot.tile != CELL), None)
    if (
        last is None
        or last.tile != ARRAY
        or innermost in ("", IDLE)
        or following == ""
        or innermost in tensor.dims
    ):
        return ()
    mover = outer if following == IDLE else following
    moves = any(mover in axis.dims and not is_window(space.stage, axis) for axis in tensor.axes)
    return (innermost, *beside_of(space.stage, innermost, space.dims)) if moves else ()


def _innermost(space: Space, skeleton: Skeleton, slots: tuple[Slot, ...]) -> str:
    """The innermost temporal loop that is known to run; empty when none is."""
    for slot in reversed(slots):
        if slot.tile == POINT:
            return slot.dim if min(space.cell[slot.dim]) > 1 else ""
        if slot.tile == ARRAY and skeleton.running[1] != IDLE:
            return skeleton.running[1]
        if slot.tile == OUTER:
            return "" if skeleton.running[0] == IDLE else skeleton.running[0]
    return ""
