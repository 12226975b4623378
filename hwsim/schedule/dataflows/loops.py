"""The textbook's loops on a CPU: one word a step, in the order that is asked for, in tiles or not.

    loops:order=ikj                    loops:order=ijk,tile=32x32x32      loops:order=ikj,vector=j

    for i:                             for i, j, k in tiles of 32:        for i:
      for k:                             for i in a tile:                   for k:
        for j:                             for j in a tile:                   for j, 8 at a time:
          C[i,j] += A[i,k] * B[k,j]          for k in a tile:                   C += A * B
                                               C[i,j] += A[i,k] * B[k,j]

A product's letters are i, j, k or the dims m, n, k; a convolution's are its dims. Dims that are not
named run outermost, in the order of the stage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.core import Core
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow

TEXTBOOK = {"i": "m", "j": "n", "k": "k"}
FORM = "order=ikj, tile=32x32x32 and vector=j, the first alone or with the others"
SUM_BYTES = 4  # a vector holds sums of at least so many bytes


@dataclass(frozen=True)
class Wanted:
    """order: letters from the outside in. tile: sizes in that order, empty for none. vector: the
    letter that vectors run along, empty for none."""

    order: str = ""
    tile: tuple[int, ...] = ()
    vector: str = ""


class Loops:
    """Sums stay in a register while the innermost loops only add to them."""

    name = "loops"
    summary = "a CPU's loops in the order that is asked for: loops:order=ikj,tile=32x32x32"
    default = False

    def __init__(self, wanted: Wanted | None = None) -> None:
        self.wanted = wanted or Wanted()

    def with_parameters(self, text: str) -> Loops:
        """'order=ikj,tile=32x32x32,vector=j'. Raises HwsimError for what is wrong."""
        return Loops(read_wanted(text))

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, Core):
            return "it needs CPU cores"
        return None if stage.view is not None else "the stage is no matrix product"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        wanted, core = self.wanted, machine.compute
        assert isinstance(core, Core)
        extents = dict(stage.bounds)
        named = [_dim(letter, stage) for letter in wanted.order]
        order = [*(dim for dim in extents if dim not in named), *named]
        tiles = dict(zip(named, wanted.tile, strict=False))
        steps = dict.fromkeys(order, 1)
        if wanted.vector:
            along = _dim(wanted.vector, stage)
            if along not in stage.output.dims:
                raise HwsimError(
                    f"loops: vector={wanted.vector} is a loop that sums; expected one of "
                    f"{', '.join(dim for dim in extents if dim in stage.output.dims)}"
                )
            lanes = core.vector // max(SUM_BYTES, stage.output.width)
            steps[along] = min(lanes, tiles.get(along, extents[along]))
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *(Loop(dim, min(tile, extents[dim])) for dim, tile in tiles.items()),
            *(Loop(dim, steps[dim]) for dim in order),
            Hold(machine.only("registers"), tuple(tensor.name for tensor in stage.tensors)),
            *points(order),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def read_wanted(text: str) -> Wanted:
    """Parameters as text. Raises HwsimError naming the one that is wrong."""
    given = dict(part.partition("=")[::2] for part in text.split(","))
    for key, value in given.items():
        if key not in ("order", "tile", "vector"):
            close = nearest(key, ("order", "tile", "vector"))
            raise HwsimError(f"loops: no parameter {key!r}{close}; expected {FORM}")
        if not value:
            raise HwsimError(f"loops: {key} has no value; expected {FORM}")
    order, tile, vector = (given.get(key, "") for key in ("order", "tile", "vector"))
    if len(set(order)) != len(order):
        raise HwsimError(f"loops: order={order} names a loop twice; expected each once")
    if tile and not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", tile):
        raise HwsimError(f"loops: tile={tile}; expected sizes such as 32x32x32")
    sizes = tuple(int(size) for size in tile.split("x")) if tile else ()
    if sizes and len(sizes) != len(order):
        raise HwsimError(
            f"loops: tile={tile} has {len(sizes)} sizes; expected one for each of order={order}"
        )
    return Wanted(order, sizes, vector)


def _dim(letter: str, stage: Stage) -> str:
    """The dim that a letter means. Raises HwsimError for one that is none."""
    dims = [dim for dim, _ in stage.bounds]
    dim = TEXTBOOK.get(letter, letter) if set(dims) == {"m", "n", "k"} else letter
    if dim not in dims:
        raise HwsimError(
            f"loops: no loop {letter!r} in {stage.name}; expected letters of {', '.join(dims)}"
        )
    return dim


DATAFLOWS.register("loops")(_flow := Loops())
_checked: Dataflow = _flow
