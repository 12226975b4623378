"""Checks between the arrows: a broken stage or nest is an error, before anything runs.

Broken is what breaks a rule of the form.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Nest
from hwsim.ir.stage import Stage


def verify_stage(stage: Stage) -> Stage:
    """The stage itself; HwsimError naming every broken rule."""
    _raise(f"stage {stage.name}", _stage_faults(stage))
    return stage


def verify_nest(nest: Nest) -> Nest:
    """The nest itself; HwsimError naming every broken rule."""
    _raise(f"nest of {nest.stage.name} ({nest.dataflow})", _nest_faults(nest))
    return nest


def _raise(what: str, faults: Iterator[str]) -> None:
    found = list(faults)
    if found:
        raise HwsimError(f"{what}: " + "; ".join(found))


def _stage_faults(stage: Stage) -> Iterator[str]:
    extents = stage.extents
    if len(extents) != len(stage.bounds):
        yield "a dim is listed twice"
    for dim, bound in stage.bounds:
        if bound < 1:
            yield f"dim {dim} has {bound} iterations; expected at least 1"
    if sum(tensor.role == "output" for tensor in stage.tensors) != 1:
        yield "expected exactly one output"
    for tensor in stage.tensors:
        used = [dim for axis in tensor.axes for dim in axis.dims]
        if len(used) != len(set(used)):
            yield f"{tensor.name} uses a dim on two axes; expected each dim on at most one"
        yield from (
            f"{tensor.name} uses an unknown dim {dim}" for dim in used if dim not in extents
        )


def _nest_faults(nest: Nest) -> Iterator[str]:
    extents = nest.stage.extents
    if not nest.holds or nest.items[0] is not nest.holds[0]:
        yield "the outermost item must be the backing memory's level"
    left = dict(extents)
    for loop in nest.loops:
        if loop.dim not in left:
            yield f"a loop over {loop.dim}, which the stage does not have"
        elif not 1 <= loop.tile <= left[loop.dim]:
            yield f"a tile of {loop.tile} in dim {loop.dim}, of which {left[loop.dim]} are left"
        else:
            left[loop.dim] = loop.tile
    for dim, tile in left.items():
        if tile > 1:
            yield f"dim {dim} ends in tiles of {tile}; expected a loop of step 1"
    names = {tensor.name for tensor in nest.stage.tensors}
    for hold in nest.holds:
        for name in hold.tensors:
            if name not in names:
                yield f"level {hold.level} holds {name}, which the stage does not have"
    outermost: set[str] = set()
    for item in nest.items:
        if not isinstance(item, Hold):
            break
        outermost |= set(item.tensors)
    for name in sorted(names - outermost):
        yield f"{name} is in no memory outside the loops"
