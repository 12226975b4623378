"""How many pages a TLB misses at most, told from the tiles alone.

    for i, tile 64:            all of A and B: more pages than fit
      for j, tile 64:          64 rows of A, 64 columns of B: they fit, each is missed once a pass
        for k: ...             so the misses are at most passes * pages

Proof. Let a body of loops touch so few pages that no set gets more of them than it has ways. A page
that the body brought is lost only when as many other pages as its set has ways were asked for since
its last use here; in the body there are not so many in its set, so it stays until the body ends. A
page that was there before may be lost once, as its last uses were found by a TLB before this one;
then the body brings it. Either way each page is missed at most once while the body runs.

Where a tile begins is left open: its rows lie at known distances, and each may reach into one page
more. Coordinates between those that are touched are counted too.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from hwsim.ir.nest import Hold, Nest
from hwsim.ir.tensor import Tensor
from hwsim.parts.tlb import Tlb
from hwsim.timing.caches.look_ups import Ints
from hwsim.timing.caches.steps import chunk_sizes, trips_of, units_of

ROWS_A_PAGE = 16  # tiles with more rows than that for every entry are not looked at


def most_misses(nest: Nest, boundary: Hold, unit_axes: frozenset[str], tlb: Tlb) -> int | None:
    """Misses of one unit's TLB, at most; None where not even one step's pages fit.

    boundary, unit_axes: as of hwsim.timing.caches.stream.run_stream.
    """
    outside = list(nest.loops_above(boundary))
    temporal = [loop for loop in outside if loop.spatial not in unit_axes]
    units = units_of(nest, [loop for loop in outside if loop.spatial in unit_axes])
    trips = trips_of(nest, temporal, units)
    panels = chunk_sizes(nest, temporal, units) if nest.packed else {}
    least: int | None = None
    for depth in range(len(temporal), -1, -1):
        pages = _pages_that_fit(nest, chunk_sizes(nest, temporal[:depth], units), panels, tlb)
        if pages is None:
            break
        misses = prod(trips[:depth]) * pages
        least = misses if least is None else min(least, misses)
    return least


def _pages_that_fit(
    nest: Nest, sizes: Mapping[str, int], panels: Mapping[str, int], tlb: Tlb
) -> int | None:
    """Pages of a tile of all tensors, None where a set may get more than it has ways."""
    pages, crowded = 0, 0
    for tensor in nest.stage.tensors:
        found = _pages(tensor, sizes, panels, tlb)
        if found is None:
            return None
        pages += len(found)
        crowded += int(np.bincount(found % tlb.sets).max())
    return pages if crowded <= tlb.ways else None


def _pages(
    tensor: Tensor, sizes: Mapping[str, int], panels: Mapping[str, int], tlb: Tlb
) -> Ints | None:
    """A tile's pages, counted from that of its first byte; None where they are too many."""
    run, across = _rows(tensor, sizes, panels)
    number = prod(count for count, _ in across)
    if number > ROWS_A_PAGE * tlb.entries or number * run > tlb.page * tlb.entries:
        return None
    starts = np.zeros(1, np.int64)
    for count, stride in across:
        starts = (starts[:, None] + np.arange(count) * stride).reshape(-1)
    first, last = starts // tlb.page, (starts + run - 1) // tlb.page + 1
    longest = int((last - first).max()) + 1
    reached = np.minimum(first[:, None] + np.arange(longest), last[:, None])
    return np.unique(reached)


def _rows(
    tensor: Tensor, sizes: Mapping[str, int], panels: Mapping[str, int]
) -> tuple[float, list[tuple[int, int]]]:
    """Bytes that lie side by side, and (how many, bytes apart) of each axis along which they
    repeat."""
    counts = [
        min(axis.size, sum(abs(c) * (sizes[dim] - 1) for dim, c in axis.terms) + axis.span)
        for axis in tensor.axes
    ]
    fast = tensor.order[-1]
    panel = tensor.block or tensor.row
    if panels and tensor.role == "weight":
        panel = prod(panels[dim] for dim in tensor.fastest.dims)
    across: list[tuple[int, int]] = []
    run = min(counts[fast], panel) * tensor.width
    if panel < tensor.fastest.size:
        rows = tensor.elements // tensor.fastest.size
        run = panel * tensor.width
        across.append((-(-(counts[fast] - 1) // panel) + 1, int(panel * rows * tensor.width)))
    for number in reversed(tensor.order[:-1]):
        stride = int(tensor.strides[number] // tensor.row * panel * tensor.width)
        if run == stride and not across:
            run = counts[number] * stride
        elif counts[number] > 1:
            across.append((counts[number], stride))
    return run, across
