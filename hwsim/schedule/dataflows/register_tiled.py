"""Register-tiled product for CPUs: a tile of sums stays in vector registers.

Panels are blocked for the caches:

    for n-block:                 all of n, unless nc is given
      for k-block:               weight panel: half of the first cache, unless kc is given
        for m-block:             activation block: half of the second, unless mc is given
          for n-tile, m-tile:
            for groups that lie side by side, a vector or more at a time, where a group is narrow
            for k:               sums[m-tile][n-tile] stay in registers, [mr][nr] where given
              sums += a[m-tile] * w[n-tile]

    register-tiled:mr=6,nr=16,kc=256,mc=72,nc=4080,packed=no

packed: weights lie in panels as wide as the tile, made before inference (yes), in every run, in a
stage of its own (run: hwsim.choose.packing), or not at all (no).

Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.cache import caches_of
from hwsim.parts.core import Core
from hwsim.rewrite.placement import Placement
from hwsim.schedule.core_shares import larger_first, taps_of
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow
from hwsim.schedule.register_tiles import (
    deep_box,
    private_caches,
    register_tile,
    registers_needed,
    shallow_panel,
    shares_of_tile,
    tile_size,
)
from hwsim.schedule.tile_lines import bytes_in_lines

SIZES = ("mr", "nr", "kc", "mc", "nc")
FORM = "mr=6,nr=16,kc=256,mc=72,nc=4080,packed=no, some of them"


@dataclass(frozen=True)
class Blocks:
    """Sizes in words, at most, as extents are cut evenly; 0 for what the rule takes.

    mr, nr: the tile of sums; kc, mc, nc: blocks. packed: do weights lie in panels? in_run: which
    every run makes.
    """

    mr: int = 0
    nr: int = 0
    kc: int = 0
    mc: int = 0
    nc: int = 0
    packed: bool = True
    in_run: bool = False


class RegisterTiled:
    """Vectors of filters times broadcast activations.

    They are vectors of pixels where a group has few filters, or of groups that lie side by side.
    """

    name = "register-tiled"
    summary = "a tile of sums stays in vector registers, panels blocked for the caches"
    default = True

    def __init__(self, blocks: Blocks | None = None) -> None:
        self.blocks = blocks or Blocks()

    def with_parameters(self, text: str) -> RegisterTiled:
        """'mr=6,nr=16,kc=256'. Raises HwsimError for what is wrong."""
        return RegisterTiled(read_blocks(text))

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, Core):
            return "it needs CPU cores"
        return None if stage.view is not None else "the stage is no matrix product"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, core, blocks = stage.view, machine.compute, self.blocks
        assert view is not None and isinstance(core, Core)
        extents = dict(stage.bounds)
        others = tuple(
            dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b)
        )
        inside = (*(dim for dim in view.k if dim not in others), *others)
        tile = _own_tile(stage, machine, blocks)
        together = tuple(dim for dim in view.b if tile.get(dim, 1) > 1)
        apart = tuple(dim for dim in view.b if dim not in together)
        shares = shares_of_tile(stage, view, machine, tile)
        left = {**extents, **shares}
        sizes = blocks_of(stage, machine, blocks)
        deep = deep_box(stage, view, sizes.kc)
        block = _at_least(split_group(view.m, left, max(sizes.mr, sizes.mc)), tile)
        wide = _at_least(split_group(view.n, left, max(sizes.nr, sizes.nc)), tile)
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *(Loop(dim, shares[dim], "core") for dim in larger_first(stage, view, shares)),
            *points(apart),
            *tiles(wide, view.n),
            *tiles(deep, view.k),
            *tiles(block, view.m),
            *tiles(tile, view.n),
            *tiles(tile, view.m),
            *tiles(tile, together),
            *points(inside),
            Hold(
                machine.only("registers"),
                tuple(tensor.name for tensor in stage.tensors),
                halo="refetch",
            ),
            *points((*view.m, *view.n, *together)),
        ]
        return Nest(stage, drop_idle(stage, items), self.name, packed=blocks.packed)


def blocks_of(stage: Stage, machine: Machine, stated: Blocks | None = None) -> Blocks:
    """Every size: the stated one, or the rule's.

    Raises HwsimError for sums that the registers do not hold.
    """
    view, stated = stage.view, stated or Blocks()
    assert view is not None
    tile = _own_tile(stage, machine, stated)
    _, second = private_caches(machine)
    mr, nr = tile_size(tile, view.m), tile_size(tile, view.n)
    m, n, k = (stage.group(dims) for dims in (view.m, view.n, view.k))
    taps = taps_of(stage, view)
    kc = min(k * taps, stated.kc or shallow_panel(stage, view, machine, tile))
    deep = deep_box(stage, view, kc)
    mc = stated.mc or max(
        mr, stage.output.words_in(second // 2 // (tile_size(deep, view.k) * taps))
    )
    left = {**dict(stage.bounds), **shares_of_tile(stage, view, machine, tile)}
    line = caches_of(machine)[0][1].line
    while not stated.mc and mc > mr:
        block = split_group(view.m, left, mc)
        if bytes_in_lines(stage, view, {**block, **deep}, line) <= second // 2:
            break
        mc = max(mr, mc * 3 // 4)
    return Blocks(mr, nr, kc, min(m, mc), min(n, stated.nc or n), stated.packed, stated.in_run)


def read_blocks(text: str) -> Blocks:
    """Parameters as text. Raises HwsimError naming the one that is wrong."""
    found: dict[str, int] = {}
    packed = ""
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key not in (*SIZES, "packed"):
            close = nearest(key, (*SIZES, "packed"))
            raise HwsimError(f"register-tiled: {part!r}{close}; expected {FORM}")
        if key in found or (key == "packed" and packed):
            raise HwsimError(f"register-tiled: {key} is given twice; expected it once")
        if key == "packed":
            if value not in ("yes", "no", "run"):
                raise HwsimError(f"register-tiled: packed={value}; expected yes, run or no")
            packed = value
        elif not re.fullmatch(r"[1-9]\d{0,8}", value, re.ASCII):
            raise HwsimError(f"register-tiled: {key}={value}; expected a number of words")
        else:
            found[key] = int(value)
    return Blocks(**found, packed=packed != "no", in_run=packed == "run")


def _at_least(sizes: dict[str, int], tile: dict[str, int]) -> dict[str, int]:
    return {dim: max(size, tile[dim]) for dim, size in sizes.items()}


def _own_tile(stage: Stage, machine: Machine, blocks: Blocks) -> dict[str, int]:
    """The rule's tile, or the one that is given.

    Raises HwsimError for sums that the registers do not hold.
    """
    view, core, extents = stage.view, machine.compute, dict(stage.bounds)
    assert view is not None and isinstance(core, Core)
    tile = register_tile(stage, view, machine)
    if blocks.mr or blocks.nr:
        tile.update(dict.fromkeys(view.b, 1))
    if blocks.mr:
        tile.update(split_group(view.m, extents, blocks.mr))
    if blocks.nr:
        tile.update(split_group(view.n, extents, blocks.nr))
    needed = registers_needed(stage, view, core, tile)
    if (blocks.mr or blocks.nr) and needed > core.vector_registers:
        rows, columns = tile_size(tile, view.m), tile_size(tile, view.n)
        raise HwsimError(
            f"register-tiled: sums of {rows} x {columns} and their operands take {needed} vector "
            f"registers; expected at most {core.vector_registers}"
        )
    return tile


DATAFLOWS.register("register-tiled")(_flow := RegisterTiled())
_checked: Dataflow = _flow
