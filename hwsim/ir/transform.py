"""Scheduling steps: each takes loops and gives loops, and says what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from math import prod

from hwsim.ir.nest import Hold, Loop
from hwsim.ir.stage import Stage

MAX_CUTS = 24


def tiles(
    sizes: Mapping[str, int], order: Iterable[str], spatial: str | None = None
) -> tuple[Loop, ...]:
    """One loop per dim of `order`, stepping by its tile.

    for m in 0..M:            for m in 0..M step 4:
      for n in 0..N:    ->      for n in 0..N step 8:        tiles({"m": 4, "n": 8}, "mn")
    """
    return tuple(Loop(dim, sizes[dim], spatial) for dim in order)


def points(dims: Iterable[str], spatial: str | None = None) -> tuple[Loop, ...]:
    """The innermost loops, one iteration at a time.

    for m in 0..M step 4:     for m in 0..M step 4:
      ...                 ->    for m in 0..4 step 1:        points("m")
    """
    return tuple(Loop(dim, 1, spatial) for dim in dims)


def backing(stage: Stage, level: str) -> Hold:
    """The outermost level, which holds every tensor whole."""
    return Hold(level, tuple(tensor.name for tensor in stage.tensors))


def drop_idle(stage: Stage, items: Iterable[Loop | Hold]) -> tuple[Loop | Hold, ...]:
    """Remove loops of one chunk: they say nothing.

    for m in 0..4 step 4:
      for m in 0..4 step 1:   ->   for m in 0..4 step 1:
    """
    left = dict(stage.bounds)
    kept: list[Loop | Hold] = []
    for item in items:
        if isinstance(item, Loop):
            if left[item.dim] <= item.tile:
                continue
            left[item.dim] = item.tile
        kept.append(item)
    return tuple(kept)


@lru_cache(maxsize=1 << 16)
def temporal_steps(length: int, loops: tuple[tuple[int, bool], ...], lengths: bool = False) -> int:
    """Steps that a dim's loops make of a chunk, following the first spatial position.

    Loops are (tile, is spatial).

    lengths: each step counted as long as its last chunk.
    """
    if not loops:
        return length if lengths else 1
    (tile, spatial), rest = loops[0], loops[1:]
    if spatial:
        return temporal_steps(min(length, tile), rest, lengths)
    whole, left = divmod(length, tile)
    return whole * temporal_steps(tile, rest, lengths) + (
        temporal_steps(left, rest, lengths) if left else 0
    )


def split_group(dims: tuple[str, ...], extents: Mapping[str, int], budget: int) -> dict[str, int]:
    """Tile sizes of a group of dims, at most `budget` together.

    They cover the group in the fewest boxes.

    The innermost dims are preferred whole among equals, so that a tile is contiguous.
    """
    return dict(
        zip(dims, _fewest_boxes(tuple(extents[dim] for dim in dims), max(budget, 1)), strict=True)
    )


@lru_cache(maxsize=4096)
def _fewest_boxes(extents: tuple[int, ...], budget: int) -> tuple[int, ...]:
    def key(sizes: tuple[int, ...]) -> tuple[int, ...]:
        boxes = prod(-(-extent // size) for extent, size in zip(extents, sizes, strict=True))
        return boxes, *(-size for size in reversed(sizes))

    return min(_boxes(extents, budget), key=key)


def whole_rows(dims: tuple[str, ...], extents: Mapping[str, int], most: int) -> dict[str, int]:
    """A box of at most `most` positions: the innermost dims whole, as far as they go.

    The next one is in even parts.
    """
    sizes: dict[str, int] = {}
    for dim in reversed(dims):
        pieces = -(-extents[dim] // max(1, min(most, extents[dim])))
        sizes[dim] = -(-extents[dim] // pieces)
        most //= sizes[dim]
    return {dim: sizes[dim] for dim in dims}


def _even_cuts(extent: int, pieces: int) -> Iterator[int]:
    """Lengths of a dim cut evenly into at least so many pieces, each once, longest first."""
    while pieces <= extent:
        size = -(-extent // pieces)
        yield size
        pieces = extent if size == 1 else -(-extent // (size - 1))
        if size == 1:
            return


def _boxes(extents: tuple[int, ...], budget: int) -> Iterator[tuple[int, ...]]:
    """Sizes whose product is at most `budget`, each cutting its extent evenly.

    There are at most MAX_CUTS cuts a dim.
    """
    if not extents:
        yield ()
        return
    for size in islice(_even_cuts(extents[-1], -(-extents[-1] // budget)), MAX_CUTS):
        for rest in _boxes(extents[:-1], budget // size):
            yield (*rest, size)
