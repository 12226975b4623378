"""Register-tiled product for CPUs: a tile of sums stays in vector registers.

Panels are blocked for the caches:

    for n-block:                 all of n, unless nc is given
      for k-block:               weight panel: half of the first cache, unless kc is given
        for m-block:             activation block: half of the second, unless mc is given
          for n-tile, m-tile:
            for k:               sums[m-tile][n-tile] stay in registers, [mr][nr] where given
              sums += a[m-tile] * w[n-tile]

    register-tiled:mr=6,nr=16,kc=256,mc=72,nc=4080,packed=no

packed: weights lie in panels as wide as the tile, made before inference (yes), in every run, in a
stage of its own (run: hwsim.choose.packing), or not at all (no).

Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.tensor import Tensor
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.cache import Cache, caches_of
from hwsim.parts.core import Core
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow

SIZES = ("mr", "nr", "kc", "mc", "nc")
Ints = npt.NDArray[np.int64]
WORTH = 1.1  # times as long as the best tile: the usual one is given up
CLOSE = 32  # tiles that are compared with their shares of the cores
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

    They are vectors of pixels where a group has few filters.
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
        shares = share_cores(stage, view, tile, core.cores)
        left = {**extents, **shares}
        sizes = blocks_of(stage, machine, blocks)
        taps = max(1, stage.group(others))
        deep = split_group(view.k, extents, max(1, sizes.kc // taps))
        block = _at_least(split_group(view.m, left, max(sizes.mr, sizes.mc)), tile)
        wide = _at_least(split_group(view.n, left, max(sizes.nr, sizes.nc)), tile)
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *(Loop(dim, chunk, "core") for dim, chunk in shares.items()),
            *points(view.b),
            *tiles(wide, view.n),
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
        return Nest(stage, drop_idle(stage, items), self.name, packed=blocks.packed)


def blocks_of(stage: Stage, machine: Machine, stated: Blocks | None = None) -> Blocks:
    """Every size: the stated one, or the rule's.

    Raises HwsimError for sums that the registers do not hold.
    """
    view, stated = stage.view, stated or Blocks()
    assert view is not None
    tile = _own_tile(stage, machine, stated)
    _, second = _private_caches(machine)
    mr, nr = tile_size(tile, view.m), tile_size(tile, view.n)
    m, n, k = (stage.group(dims) for dims in (view.m, view.n, view.k))
    taps = _taps(stage, view)
    kc = min(k * taps, stated.kc or _shallow_panel(stage, view, machine, tile))
    deep = split_group(view.k, dict(stage.bounds), max(1, kc // taps))
    mc = stated.mc or max(
        mr, stage.output.words_in(second // 2 // (tile_size(deep, view.k) * taps))
    )
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


def sum_lanes(stage: Stage, core: Core) -> int:
    """Sums that a vector register holds, in at least 4 bytes each."""
    return max(1, int(core.vector // max(4, stage.output.width)))


def registers_needed(stage: Stage, view: GemmView, core: Core, tile: dict[str, int]) -> int:
    """Vectors of sums, of one operand along them, and of the other's words.

    They lie along the side of the tile that takes fewer.
    """
    lanes = sum_lanes(stage, core)
    broadcasts = stage.output.words_in(core.vector)
    m, n = tile_size(tile, view.m), tile_size(tile, view.n)
    needed = []
    for along, other in ((n, m), (m, n)):
        vectors = -(-along // lanes)
        needed.append(vectors * other + vectors + -(-other // broadcasts))
    return min(needed)


def tile_size(tile: Mapping[str, int], dims: tuple[str, ...]) -> int:
    """Iterations of a tile over some dims."""
    size = 1
    for dim in dims:
        size *= tile[dim]
    return size


def _private_caches(machine: Machine) -> tuple[int, int]:
    """What a core has of the first and the second cache, of the first twice where there is one.

    Of one that others share it has its share.
    """
    cores = machine.compute.units
    own = [cache.capacity // (cache.sharers or cores) for _, cache in caches_of(machine)]
    return own[0], own[min(1, len(own) - 1)]


def register_tile(stage: Stage, view: GemmView, machine: Machine) -> dict[str, int]:
    """Sums that fit the vector registers, two vectors wide where that many filters exist.

    Registers hold v vectors of sums for each value of m, v of weights, and the values of m that are
    broadcast. Sums are kept in at least 4 bytes. Another tile is taken where it takes clearly less,
    as m and n divide evenly, or where the usual one's activations crowd a set of the first cache,
    as columns of matrices do whose rows are powers of two.
    """
    core, extents = machine.compute, dict(stage.bounds)
    assert isinstance(core, Core)
    lanes = sum_lanes(stage, core)
    filters = stage.group(view.n)
    if filters < lanes:
        inner = view.m[-1]
        tile = {**dict.fromkeys(view.m, 1), inner: min(extents[inner], lanes)}
        tile.update(split_group(view.n, extents, max(1, core.vector_registers - 2)))
        return tile
    first = caches_of(machine)[0][1]
    tiles = {
        tuple(tile.items()): tile
        for vectors in range(1, min((core.vector_registers - 1) // 2, filters // lanes) + 1)
        for rows in range(1, core.vector_registers)
        if (tile := _tile_of(stage, view, core, vectors, rows))
        and rows_in_a_set(stage, view, tile, first) <= first.ways
    }
    quickest = sorted(tiles.values(), key=lambda tile: _work(stage, view, machine, tile))
    best = min(quickest[:CLOSE], key=lambda tile: _longest_work(stage, view, machine, tile))
    usual = _tile_of(stage, view, core, min(2, filters // lanes), core.vector_registers)
    if rows_in_a_set(stage, view, usual, first) <= first.ways:
        gain = _longest_work(stage, view, machine, usual) / _longest_work(
            stage, view, machine, best
        )
        return usual if gain < WORTH else best
    return best


def _tile_of(stage: Stage, view: GemmView, core: Core, vectors: int, most: int) -> dict[str, int]:
    """So many vectors wide, and at most so many rows as the registers hold sums of."""
    extents = dict(stage.bounds)
    broadcasts = stage.output.words_in(core.vector)
    rows = max(
        m
        for m in range(1, most + 1)
        if m == 1 or vectors * m + vectors + -(-m // broadcasts) <= core.vector_registers
    )
    wide = split_group(view.n, extents, vectors * sum_lanes(stage, core))
    return {**wide, **split_group(view.m, extents, rows)}


def rows_in_a_set(stage: Stage, view: GemmView, tile: Mapping[str, int], cache: Cache) -> int:
    """The most lines of a tile's activations, at one value of k, that lie in one set of a cache."""
    lines = _lines(stage, view.m, tile, cache.line)
    return int(np.bincount(lines % cache.sets).max())


def _lines(stage: Stage, dims: Sequence[str], tile: Mapping[str, int], line: int) -> Ints:
    """Lines of a tile's activations over some dims, the first of them at a line's beginning."""
    read, offsets = _activations(stage), np.zeros(1, np.int64)
    for dim in dims:
        steps = np.arange(tile[dim]) * _bytes_apart(read, dim)
        offsets = (offsets[:, None] + steps).reshape(-1)
    return np.unique(offsets // line)


def _activations(stage: Stage) -> Tensor:
    return next(tensor for tensor in stage.tensors if tensor.role == "activation")


def _bytes_apart(tensor: Tensor, dim: str) -> int:
    """How far a step of a dim moves in memory."""
    words = sum(
        stride * coefficient
        for axis, stride in zip(tensor.axes, tensor.strides, strict=True)
        for name, coefficient in axis.terms
        if name == dim
    )
    return int(words * tensor.width)


def _work(stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]) -> float:
    """Cycles that all tiles take for a value of k."""
    rows, wide = tile_size(tile, view.m), tile_size(tile, view.n)
    tiles = -(-stage.group(view.m) // rows) * -(-stage.group(view.n) // wide)
    return tiles * _cycles_of_tile(stage, view, machine, tile)


def _longest_work(stage: Stage, view: GemmView, machine: Machine, tile: dict[str, int]) -> float:
    """Cycles that the busiest core takes for a value of k."""
    cores = machine.compute.units
    extents = {**dict(stage.bounds), **share_cores(stage, view, tile, cores)}
    tiles = prod(-(-extents[dim] // tile.get(dim, 1)) for dim in (*view.b, *view.m, *view.n))
    return tiles * _cycles_of_tile(stage, view, machine, tile)


def _cycles_of_tile(
    stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]
) -> float:
    """Cycles of a tile for a value of k: the slowest of its multiply-adds, loads, and lines.

    Activations come from the second cache, as all of a panel's tiles lie between two uses; so do
    the sums, once for every block of k. Among equals the fewer loads and bytes.
    """
    core, clock = machine.compute, machine.clock_hz
    assert isinstance(core, Core)
    (_, first), (_, second) = (caches_of(machine) * 2)[:2]
    rows, wide = tile_size(tile, view.m), tile_size(tile, view.n)
    vectors = -(-wide // sum_lanes(stage, core))
    loaded = rows * stage.output.width + vectors * core.vector
    loads = max((rows + vectors) / core.loads, loaded / first.bandwidth.bytes_per_cycle(clock))
    summed = 2 * rows * wide * stage.output.width / _panel_depth(stage, view, machine, tile)
    moved = (_fetched(stage, view, tile, first.line) + summed) / second.bandwidth.bytes_per_cycle(
        clock
    )
    products = rows * vectors / core.fma_ports
    slowest = max(products, loads, moved) if core.overlap else max(products, loads + moved)
    return slowest + (loads + moved) / 1000


def _fetched(stage: Stage, view: GemmView, tile: Mapping[str, int], line: int) -> int:
    """Bytes of activations that come with a value of k: lines, or words where the next k is beside
    them."""
    apart = (_bytes_apart(_activations(stage), dim) or line for dim in view.k)
    return len(_lines(stage, view.m, tile, line)) * min(line, *apart)


def _panel_depth(stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]) -> int:
    """Values of k whose weights fill half of the first cache."""
    capacity, _ = _private_caches(machine)
    k = stage.group(view.k) * _taps(stage, view)
    return min(k, max(1, stage.output.words_in(capacity // 2 // tile_size(tile, view.n))))


def _shallow_panel(stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]) -> int:
    """The same, or so many fewer that lines of a tile's activations fill at most the other half."""
    capacity, _ = _private_caches(machine)
    line, depth = caches_of(machine)[0][1].line, _panel_depth(stage, view, machine, tile)
    while depth > 1:
        deep = split_group(view.k, dict(stage.bounds), max(1, depth // _taps(stage, view)))
        lines = _lines(stage, (*view.m, *view.k), {**tile, **deep}, line)
        if len(lines) * line <= capacity // 2:
            break
        depth //= 2
    return depth


def _taps(stage: Stage, view: GemmView) -> int:
    """Iterations of the dims that are neither m, n, k nor b."""
    dims = (*view.m, *view.n, *view.k, *view.b)
    return max(1, stage.iterations // stage.group(dims))


def share_cores(stage: Stage, view: GemmView, tile: dict[str, int], cores: int) -> dict[str, int]:
    """Chunks of up to two dims, one chunk a core, that finish soonest.

    They are of batch, pixels or filters, in whole tiles.
    """
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
