"""The textbook's loops on a CPU: one word a step, in the order that is asked for, in tiles or not.

    loops:order=ikj                  loops:order=ijk,tile=32x32x32

    for i:                           for i, j, k in tiles of 32:
      for k:                           for i in a tile:
        for j:                           for j in a tile:
          C[i,j] += A[i,k] * B[k,j]        for k in a tile:
                                             C[i,j] += A[i,k] * B[k,j]

    loops:order=ikj,vector=j

    for i:
      for k:
        for j, 8 at a time:
          C[i,j] += A[i,k] * B[k,j]

`registers=4x4x1` does so many at a step, sums and words of which stay in registers; `lanes=4`
makes vectors of so many words. What a compiler makes of the loops can be said too: `fused=no`
multiplies and adds in two instructions, `reloads=1` loads a word again at every step that could
stay in a register, `entry=40` spends so many instructions each time a loop begins.

A product's letters are i, j, k or the dims m, n, k; a convolution's are its dims. Dims that are not
named run outermost, in the order of the stage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import NO_VECTORS, Code, Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.core import Core
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow

TEXTBOOK = {"i": "m", "j": "n", "k": "k"}
FORM = (
    "order=ikj alone or with tile=32x32x32, registers=4x4x1, vector=j, lanes=4, fused=no, "
    "reloads=1, entry=40"
)
PARAMETERS = ("order", "tile", "registers", "vector", "lanes", "fused", "reloads", "entry")
SUM_BYTES = 4  # a vector holds sums of at least so many bytes


@dataclass(frozen=True)
class Wanted:
    """What a user asks of the loops.

    order: letters from the outside in. tile, registers: sizes in that order, empty for none.
    vector: the letter that vectors run along, empty for none; lanes: words of one, 0 for as many as
    it has. fused, reloads, entry: hwsim.ir.nest.Code's.
    """

    order: str = ""
    tile: tuple[int, ...] = ()
    registers: tuple[int, ...] = ()
    vector: str = ""
    lanes: int = 0
    fused: bool = True
    reloads: int = 0
    entry: int = Code.entry


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
        if len(set(named)) < len(named):
            raise HwsimError(f"loops: order={wanted.order} names a loop twice; expected each once")
        order = [*(dim for dim in extents if dim not in named), *named]
        tiles = dict(zip(named, wanted.tile, strict=False))
        steps = dict.fromkeys(order, 1) | {
            dim: min(size, extents[dim]) for dim, size in zip(named, wanted.registers, strict=False)
        }
        along = _dim(wanted.vector, stage) if wanted.vector else ""
        if along:
            most = int(core.vector // max(SUM_BYTES, stage.output.width))
            lanes = max(min(wanted.lanes or most, most), steps[along])
            steps[along] = min(lanes, tiles.get(along, extents[along]))
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *(Loop(dim, min(tile, extents[dim])) for dim, tile in tiles.items()),
            *(Loop(dim, steps[dim]) for dim in order),
            Hold(machine.only("registers"), tuple(tensor.name for tensor in stage.tensors)),
            *points(order),
        ]
        innermost = order[-1]
        alone = steps[innermost] >= tiles.get(innermost, extents[innermost])
        code = Code(
            along or NO_VECTORS,
            wanted.fused,
            wanted.reloads,
            Code.step + (wanted.entry if alone else 0),
            wanted.entry,
        )
        return Nest(stage, drop_idle(stage, items), self.name, code=code)


def read_wanted(text: str) -> Wanted:
    """Parameters as text. Raises HwsimError naming the one that is wrong."""
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    given = dict(pairs)
    for key, value in pairs:
        if [name for name, _ in pairs].count(key) > 1:
            raise HwsimError(f"loops: {key} is given twice; expected it once")
        if key not in PARAMETERS:
            close = nearest(key, PARAMETERS)
            raise HwsimError(f"loops: no parameter {key!r}{close}; expected {FORM}")
        if not value:
            raise HwsimError(f"loops: {key} has no value; expected {FORM}")
    order, vector = given.get("order", ""), given.get("vector", "")
    if len(set(order)) != len(order):
        raise HwsimError(f"loops: order={order} names a loop twice; expected each once")
    if "lanes" in given and not vector:
        raise HwsimError("loops: lanes without a loop that vectors run along; expected vector=j")
    fused = given.get("fused", "yes")
    if fused not in ("yes", "no"):
        raise HwsimError(f"loops: fused={fused}; expected yes or no")
    return Wanted(
        order,
        _sizes("tile", given.get("tile", ""), order),
        _sizes("registers", given.get("registers", ""), order),
        vector,
        _number("lanes", given.get("lanes", "0")),
        fused == "yes",
        _number("reloads", given.get("reloads", "0")),
        _number("entry", given.get("entry", str(Code.entry))),
    )


def _sizes(key: str, text: str, order: str) -> tuple[int, ...]:
    """One size a loop. Raises HwsimError for other text."""
    if not text:
        return ()
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", text, re.ASCII):
        raise HwsimError(f"loops: {key}={text}; expected sizes such as 32x32x32")
    sizes = tuple(int(size) for size in text.split("x"))
    if len(sizes) != len(order):
        raise HwsimError(
            f"loops: {key}={text} has {len(sizes)} sizes; expected one for each of order={order}"
        )
    return sizes


def _number(key: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text, re.ASCII):
        raise HwsimError(f"loops: {key}={text}; expected a number up to 99")
    return int(text)


def _dim(letter: str, stage: Stage) -> str:
    """The dim that a letter means. Raises HwsimError for one that is none."""
    dims = [dim for dim, _ in stage.bounds]
    is_product = set(dims) == {"m", "n", "k"}
    dim = TEXTBOOK.get(letter, letter) if is_product else letter
    if dim not in dims:
        letters = ", ".join(TEXTBOOK if is_product else dims)
        raise HwsimError(
            f"loops: no loop {letter!r} in {stage.name}; expected letters of {letters}"
        )
    return dim


DATAFLOWS.register("loops")(_flow := Loops())
_checked: Dataflow = _flow
