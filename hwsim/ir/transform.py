"""Scheduling steps: each takes loops and gives loops, and says what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hwsim.ir.nest import Hold, Loop
from hwsim.ir.stage import Stage


def tiles(sizes: Mapping[str, int], order: Iterable[str], spatial: str | None = None) -> tuple[Loop, ...]:
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


def split_group(dims: tuple[str, ...], extents: Mapping[str, int], budget: int) -> dict[str, int]:
    """Tile sizes of a group of dims whose product is at most `budget`, covering the group in the fewest boxes.

    The innermost dims are preferred whole among equals, so that a tile is contiguous.
    """
    best: tuple[tuple[int, ...], dict[str, int]] | None = None
    for sizes in _boxes(dims, extents, max(budget, 1)):
        boxes = 1
        for dim in dims:
            boxes *= -(-extents[dim] // sizes[dim])
        key = (boxes, *(-sizes[dim] for dim in reversed(dims)))
        if best is None or key < best[0]:
            best = (key, sizes)
    assert best is not None
    return best[1]


def _boxes(dims: tuple[str, ...], extents: Mapping[str, int], budget: int) -> Iterable[dict[str, int]]:
    if not dims:
        yield {}
        return
    *outer, last = dims
    seen = set()
    for pieces in range(1, extents[last] + 1):
        size = -(-extents[last] // pieces)
        if size > budget or size in seen:
            continue
        seen.add(size)
        for rest in _boxes(tuple(outer), extents, budget // size):
            yield {**rest, last: size}
        if len(seen) >= 24:
            break
    if not seen:
        yield {**dict.fromkeys(outer, 1), last: 1}
