"""The tile of sums that a CPU core keeps in its vector registers, and which core takes which tiles.

for k:  sums[m-tile][n-tile] += a[m-tile] * w[n-tile]       v vectors of weights, m words of
                                                            activations broadcast, m x v sums
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import inf, prod

from hwsim.describe.machine import Machine
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.transform import split_group
from hwsim.parts.cache import caches_of
from hwsim.parts.core import Core
from hwsim.schedule.core_shares import share_cores, steps_of, taps_of, time_of_shares
from hwsim.schedule.narrow_tiles import narrow_tiles
from hwsim.schedule.tile_lines import (
    activations,
    bytes_in_lines,
    bytes_of_lines,
    rows_in_a_set,
    sliding,
)

WORTH = 1.1  # times as long as the best tile: the usual one is given up
CLOSE = 32  # tiles that are compared with their shares of the cores


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
        needed.append(vectors * other + vectors + -(-other * stage.chooses_from // broadcasts))
    return min(needed)


def tile_size(tile: Mapping[str, int], dims: tuple[str, ...]) -> int:
    """Iterations of a tile over some dims."""
    size = 1
    for dim in dims:
        size *= tile[dim]
    return size


def private_caches(machine: Machine) -> tuple[int, int]:
    """What a core has of the first and the second cache, of the first twice where there is one.

    Of one that others share it has its share.
    """
    cores = machine.compute.units
    own = [cache.capacity // (cache.sharers or cores) for _, cache in caches_of(machine)]
    return own[0], own[min(1, len(own) - 1)]


def register_tile(stage: Stage, view: GemmView, machine: Machine) -> dict[str, int]:
    """Sums that fit the vector registers, two vectors wide where that many filters exist.

    Registers hold v vectors of sums for each value of m, v of weights, and the values of m that are
    broadcast, or those that each is chosen from. Sums are kept in at least 4 bytes. Another tile is
    taken where it takes clearly less, as m and n divide evenly, or where the usual one's
    activations crowd a set of the first cache, as columns of matrices do whose rows are powers of
    two. Of one row, tiles of half a vector or a quarter let more cores fetch their part of the
    weights.
    """
    core = machine.compute
    assert isinstance(core, Core)
    lanes = sum_lanes(stage, core)
    filters = stage.group(view.n)
    if filters < lanes:
        narrow = narrow_tiles(stage, view, core, lanes)[:CLOSE]
        return min(
            narrow, key=lambda tile: _longest(stage, view, machine, tile.sizes, tile.cycles)
        ).sizes
    first = caches_of(machine)[0][1]
    most = min((core.vector_registers - 1) // 2, filters // lanes)
    parts = [lanes // 4, lanes // 2] if stage.group(view.m) == 1 else []
    tiles = {
        tuple(tile.items()): tile
        for wide in (*filter(None, parts), *range(lanes, most * lanes + 1, lanes))
        for rows in range(1, _most_rows(stage, core, wide) + 1)
        if (tile := _tile_of(stage, view, core, wide, rows))
    }
    roomy = {
        key: tile
        for key, tile in tiles.items()
        if rows_in_a_set(stage, view, tile, first) <= first.ways
    }
    quickest = sorted((roomy or tiles).values(), key=partial(_work, stage, view, machine))
    longest = partial(_longest_work, stage, view, machine)
    best = min(quickest[:CLOSE], key=longest)
    usual = _tile_of(stage, view, core, min(2, most) * lanes, core.vector_registers)
    crowded = rows_in_a_set(stage, view, usual, first) > first.ways
    return best if crowded or longest(usual) >= WORTH * longest(best) else usual


def _tile_of(stage: Stage, view: GemmView, core: Core, wide: int, most: int) -> dict[str, int]:
    """So many sums wide, and at most so many rows as the registers hold sums of."""
    extents, rows = stage.extents, min(most, _most_rows(stage, core, wide))
    return {**split_group(view.n, extents, wide), **split_group(view.m, extents, rows)}


def _most_rows(stage: Stage, core: Core, wide: int) -> int:
    """Rows of which the registers hold sums beside vectors of weights and what is broadcast."""
    vectors, broadcasts = -(-wide // sum_lanes(stage, core)), stage.output.words_in(core.vector)
    return max(
        m
        for m in range(1, core.vector_registers + 1)
        if m == 1
        or vectors * m + vectors + -(-m * stage.chooses_from // broadcasts) <= core.vector_registers
    )


def shares_of_tile(
    stage: Stage, view: GemmView, machine: Machine, tile: dict[str, int]
) -> dict[str, int]:
    """Chunks of up to two dims, one chunk a core, as share_cores finds them for a tile."""
    cycles = _cycles_of_tile(stage, view, machine, tile)
    return share_cores(stage, view, machine, tile, cycles)


def _work(stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]) -> float:
    """Cycles that all tiles take for a value of k."""
    rows, wide = tile_size(tile, view.m), tile_size(tile, view.n)
    tiles = -(-stage.group(view.m) // rows) * -(-stage.group(view.n) // wide)
    return tiles * _cycles_of_tile(stage, view, machine, tile)


def _longest_work(stage: Stage, view: GemmView, machine: Machine, tile: dict[str, int]) -> float:
    """Cycles that the busiest core takes for a value of k."""
    return _longest(stage, view, machine, tile, _cycles_of_tile(stage, view, machine, tile))


def _longest(
    stage: Stage, view: GemmView, machine: Machine, tile: dict[str, int], cycles: float
) -> float:
    """The same where a tile takes so many: all tiles of a core, or until its operands come."""
    return time_of_shares(
        stage, view, machine, tile, cycles, share_cores(stage, view, machine, tile, cycles)
    )


def _cycles_of_tile(
    stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]
) -> float:
    """Cycles of a tile for a value of k: the slowest of its multiply-adds, each of which waits for
    the one before of its sum, its loads, and lines.

    Activations come from the second cache, as all of a panel's tiles lie between two uses; so do
    the sums, once for every block of k. Among equals the fewer loads and bytes.
    """
    core, clock = machine.compute, machine.clock_hz
    assert isinstance(core, Core)
    (_, first), (_, second) = (caches_of(machine) * 2)[:2]
    rows = tile_size(tile, view.m)
    vectors = _vectors(tile, view.n, sum_lanes(stage, core))
    loaded = rows * stage.output.width + vectors * core.vector
    loads = (rows + vectors) / core.loads
    port = loaded / first.bandwidth.bytes_per_cycle(clock)
    sums = bytes_of_lines(stage, stage.output, (*view.m, *view.n), tile, first.line)
    summed = 2 * sums / panel_depth(stage, view, machine, tile)
    fetched = _fetched(stage, view, tile, first.line)
    moved = (fetched + summed) / second.bandwidth.bytes_per_cycle(clock)
    waited = fetched / first.line * second.latency.cycles(clock) / (first.in_flight or inf)
    products = max(rows * vectors / core.fma_ports, core.fma_latency, waited)
    words = max(loads, port)
    memory = max(words, moved) if core.overlap else words + moved
    return max(products, memory) + (loads + moved) / 1000


def _vectors(tile: Mapping[str, int], dims: tuple[str, ...], lanes: int) -> int:
    """Vectors along the dim of a tile that fills them best."""
    wide = tile_size(tile, dims)
    return min(wide // tile[dim] * -(-tile[dim] // lanes) for dim in dims)


def _fetched(stage: Stage, view: GemmView, tile: Mapping[str, int], line: int) -> int:
    """Bytes of activations that come with a value of k: lines, or words where the next k is beside
    them."""
    apart = (activations(stage).bytes_apart(dim) or line for dim in view.k)
    one = {**tile, **dict.fromkeys(view.k, 1)}
    return bytes_in_lines(stage, view, one, line) * min(line, *apart) // line


def panel_depth(stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]) -> int:
    """Values of k whose weights fill half of the first cache."""
    capacity, _ = private_caches(machine)
    k = steps_of(stage, view)
    return min(k, max(1, stage.output.words_in(capacity // 2 // tile_size(tile, view.n))))


def shallow_panel(stage: Stage, view: GemmView, machine: Machine, tile: Mapping[str, int]) -> int:
    """The same, or so many fewer that lines of a tile's activations fill at most the other half."""
    capacity, _ = private_caches(machine)
    line, depth = caches_of(machine)[0][1].line, panel_depth(stage, view, machine, tile)
    while depth > 1:
        deep = deep_box(stage, view, depth)
        if bytes_in_lines(stage, view, {**tile, **deep}, line) <= capacity // 2:
            break
        depth //= 2
    return depth


def deep_box(stage: Stage, view: GemmView, depth: int) -> dict[str, int]:
    """Iterations of the dims of k, about `depth` with those that are outside the view.

    Taps are whole where they can be: their words are the same.
    """
    room, extents = max(1, depth // taps_of(stage, view)), stage.extents
    taps = [dim for dim in view.k if dim in sliding(activations(stage), view)]
    whole = prod(extents[dim] for dim in taps)
    if whole > room:
        return split_group(view.k, extents, room)
    others = tuple(dim for dim in view.k if dim not in taps)
    return {**split_group(others, extents, room // whole), **{dim: extents[dim] for dim in taps}}
