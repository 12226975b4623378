"""Register-tiled product for CPUs: a tile of sums stays in vector registers, panels are blocked for
the caches.

    for k-block:                 weight panel: half of the first cache
      for m-block:               activation block: half of the second
        for n-tile, m-tile:
          for k:                 sums[m-tile][n-tile] stay in registers
            sums += a[m-tile] * w[n-tile]

Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.cache import Cache
from hwsim.parts.core import Core
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow


class RegisterTiled:
    """Vectors of filters times broadcast activations; vectors of pixels where a group has few
    filters."""

    name = "register-tiled"
    summary = "a tile of sums stays in vector registers, panels blocked for the caches"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, Core):
            return "it needs CPU cores"
        return None if stage.view is not None else "the stage is no matrix product"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, core = stage.view, machine.compute
        assert view is not None and isinstance(core, Core)
        extents = dict(stage.bounds)
        others = tuple(
            dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b)
        )
        inside = (*(dim for dim in view.k if dim not in others), *others)
        tile = register_tile(stage, view, core)
        shares = share_cores(stage, view, tile, core.cores)
        first, second = _private_caches(machine)
        width = stage.output.width
        columns = (
            stage.group(view.n)
            if stage.group(view.n) < tile_size(tile, view.n)
            else tile_size(tile, view.n)
        )
        panel = max(1, first // 2 // (columns * width))
        taps = max(1, stage.group(others))
        deep = split_group(view.k, extents, max(1, panel // taps))
        left = {**extents, **shares}
        block = split_group(
            view.m,
            left,
            max(tile_size(tile, view.m), second // 2 // (tile_size(deep, view.k) * taps * width)),
        )
        block = {dim: max(block[dim], tile[dim]) for dim in view.m}
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *(Loop(dim, chunk, "core") for dim, chunk in shares.items()),
            *points(view.b),
            *tiles(deep, view.k),
            *tiles(block, view.m),
            *tiles(tile, view.n),
            *tiles(tile, view.m),
            *points(inside),
            Hold(
                machine.only("registers"),
                tuple(tensor.name for tensor in stage.tensors),
                halo="refetch",
            ),
            *points((*view.m, *view.n)),
        ]
        return Nest(stage, drop_idle(stage, items), self.name, packed=True)


def tile_size(tile: dict[str, int], dims: tuple[str, ...]) -> int:
    """Iterations of a tile over some dims."""
    size = 1
    for dim in dims:
        size *= tile[dim]
    return size


def _private_caches(machine: Machine) -> tuple[int, int]:
    """Capacities of the first and second cache of a core (the first twice when there is one)."""
    chain = [machine.parts[name] for name in machine.chain("activation")[::-1]]
    inner = [part.capacity for part in chain if isinstance(part, Cache) and part.per == "core"] or [
        32 * 1024
    ]
    return inner[0], inner[min(1, len(inner) - 1)]


def register_tile(stage: Stage, view: GemmView, core: Core) -> dict[str, int]:
    """Sums that fit the vector registers, two vectors wide where that many filters exist.

    Registers hold v vectors of sums for each value of m, v of weights, and the values of m that are
    broadcast. Sums are kept in at least 4 bytes.
    """
    extents = dict(stage.bounds)
    lanes = max(1, core.vector // max(4, stage.output.width))
    filters = stage.group(view.n)
    if filters >= lanes:
        vectors = 2 if filters >= 2 * lanes else 1
        tile = split_group(view.n, extents, vectors * lanes)
        broadcasts = core.vector // stage.output.width
        pixels = max(
            m
            for m in range(1, core.vector_registers)
            if m == 1 or vectors * m + vectors + -(-m // broadcasts) <= core.vector_registers
        )
        tile.update(split_group(view.m, extents, pixels))
        return tile
    inner = view.m[-1]
    tile = {**dict.fromkeys(view.m, 1), inner: min(extents[inner], lanes)}
    tile.update(split_group(view.n, extents, max(1, core.vector_registers - 2)))
    return tile


def share_cores(stage: Stage, view: GemmView, tile: dict[str, int], cores: int) -> dict[str, int]:
    """Chunks of up to two dims, one chunk a core, that finish soonest: batch, pixels or filters, in
    whole tiles."""
    extents = dict(stage.bounds)
    units = {dim: -(-extents[dim] // tile.get(dim, 1)) for dim in (*view.b, *view.m, *view.n)}
    dims = [dim for dim, count in units.items() if count > 1]
    best: tuple[int, int, dict[str, int]] = (1, 0, {})
    longest = 1
    for dim in dims:
        longest *= units[dim]
    best = (longest, 0, {})
    for number, first in enumerate(dims):
        for ways in range(2, min(cores, units[first]) + 1):
            for second in [*dims[number + 1 :], ""]:
                more = min(cores // ways, units[second]) if second else 1
                share = {first: -(-units[first] // ways)}
                if second:
                    share[second] = -(-units[second] // max(more, 1))
                work = longest
                for dim, chunk in share.items():
                    work = work // units[dim] * chunk
                key = (work, number)
                if key < best[:2]:
                    chunks = {
                        dim: min(extents[dim], chunk * tile.get(dim, 1))
                        for dim, chunk in share.items()
                    }
                    best = (*key, chunks)
    return {dim: chunk for dim, chunk in best[2].items() if chunk < extents[dim]}


DATAFLOWS.register("register-tiled")(_flow := RegisterTiled())
_checked: Dataflow = _flow
