"""Dims whose tiles are chosen together, and every choice of them.

The choices are the candidates that the factor tables describe.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Tensor
from hwsim.ir.transform import temporal_steps
from hwsim.schedule.mapper.space import ARRAY, IDLE, OUTER, POINT, Space, beside_of
from hwsim.schedule.mapper.tables import Floats, Ints, OwnLoop


@dataclass(frozen=True)
class Group:
    """Dims whose tiles are chosen together, since an axis uses them both.

    Every choice is a candidate.

    rows of the factor tables are x * len(inner) + y. outer: tiles x by choice; inner: (f, t) by
    choice, and where the choices of each f begin and end.
    """

    dims: tuple[str, ...]
    outer: tuple[tuple[int, ...], ...]
    inner: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    @cached_property
    def chains(self) -> Ints:
        """[candidates, 4 * dims]: every candidate's tiles."""
        rows = []
        for outer in self.outer:
            for spread, cell in self.inner:
                row: list[int] = []
                for x, f, t in zip(outer, spread, cell, strict=True):
                    a = min(x, f * t)
                    row += [x, a, min(a, t), 1]
                rows.append(row)
        return np.array(rows, np.int64)

    def range_of(self, spread: tuple[int, ...]) -> tuple[int, int]:
        """The inner choices with these neighbours."""
        return self._ranges[spread]

    @cached_property
    def _ranges(self) -> dict[tuple[int, ...], tuple[int, int]]:
        found: dict[tuple[int, ...], tuple[int, int]] = {}
        for number, (spread, _) in enumerate(self.inner):
            first, _ = found.get(spread, (number, number))
            found[spread] = (first, number + 1)
        return found

    @cached_property
    def spreads(self) -> tuple[tuple[int, ...], ...]:
        """The neighbours that the inner choices have, in their order."""
        return tuple(dict.fromkeys(spread for spread, _ in self.inner))


def groups_of(space: Space) -> Iterator[Group]:
    """Dims joined where an axis uses two of them."""
    parent = {dim: dim for dim in space.dims}

    def root(dim: str) -> str:
        while parent[dim] != dim:
            dim = parent[dim]
        return dim

    for tensor in space.stage.tensors:
        for axis in tensor.axes:
            for first, second in itertools.pairwise(axis.dims):
                parent[root(second)] = root(first)
    for top in dict.fromkeys(root(dim) for dim in space.dims):
        dims = tuple(dim for dim in space.dims if root(dim) == top)
        spreads = sorted({tuple(spread[dim] for dim in dims) for spread in space.spreads})
        cells = list(itertools.product(*(space.cell[dim] for dim in dims)))
        inner = tuple(
            (spread, cell)
            for spread in spreads
            for cell in cells
            if _useful(space, dims, spread, cell)
        )
        yield Group(dims, tuple(itertools.product(*(space.outer[dim] for dim in dims))), inner)


def _useful(
    space: Space, dims: tuple[str, ...], spread: tuple[int, ...], cell: tuple[int, ...]
) -> bool:
    """False where a neighbour would never have work: fewer neighbours do the same."""
    return all(
        f == 1 or (f - 1) * t < space.stage.extents[dim]
        for dim, f, t in zip(dims, spread, cell, strict=True)
    )


def keeps(
    group: Group,
    space: Space,
    running: tuple[str, str, str],
    still: frozenset[tuple[str, str]] = frozenset(),
) -> npt.NDArray[np.bool_]:
    """Candidates whose loops run where the skeleton says so, and idle where it says that.

    They run in a ragged last pass too.
    """
    belongs = np.ones(len(group.chains), np.bool_)
    for place, dim in enumerate(group.dims):
        x, a = group.chains[:, 4 * place], group.chains[:, 4 * place + 1]
        bound = space.stage.extents[dim]
        last = bound % x
        for block, (runs, always) in enumerate(
            ((x < bound, x < bound), (a < x, (a < x) & ((last == 0) | (last > a))))
        ):
            if running[block] == dim:
                belongs &= always
            # a dim with one tile runs as it must, as does one that orders are not of
            elif (
                running[block] == IDLE
                and dim in (space.ordered or space.dims)
                and (block or len(space.outer[dim]) > 1)
            ):
                belongs &= np.logical_not(runs)
        if running[2] == dim:
            belongs &= (a < x) & ((last == 0) | (last > a))
        elif (
            running[2] == IDLE
            and dim != running[1]
            and dim not in beside_of(space.stage, running[1], space.dims)
        ):
            belongs &= ~(a < x)
        tiles = {OUTER: (bound, x), ARRAY: (x, a), POINT: (group.chains[:, 4 * place + 2], 1)}
        for tile, (around, own) in tiles.items():
            if (dim, tile) in still:
                belongs &= np.asarray(around == own)
    return belongs


def span(
    group: Group, stage: Stage, tensor: Tensor, tiles: Mapping[str, int], first: bool
) -> Floats:
    """[candidates] the group's part of the words that a tensor's tile spans.

    tiles: by dim, the column of its tile.

    Axes without dims count once, with the first group.
    """
    words = np.ones(len(group.chains))
    for axis in tensor.axes:
        own = [
            (group.dims.index(dim), dim, coefficient)
            for dim, coefficient in axis.terms
            if dim in group.dims
        ]
        if own:
            reach = np.full(len(group.chains), axis.extent, np.int64)
            for place, dim, coefficient in own:
                length = (
                    group.chains[:, 4 * place + tiles[dim]] if dim in tiles else stage.extents[dim]
                )
                reach = reach + coefficient * (length - 1)
            words = words * np.minimum(reach, axis.size)
        elif not axis.terms and first:
            words = words * axis.extent
    return words


def step_block(
    group: Group, extents: Mapping[str, int], loops: tuple[OwnLoop, ...], deep: set[str]
) -> Floats:
    """[candidates, 1, 2]: temporal steps, following the first neighbour.

    Of dims in `deep` it is the sum of the chunks' lengths.
    """
    total = np.ones(len(group.chains))
    for place, dim in enumerate(group.dims):
        own = [loop for loop in loops if loop.dim == place]
        kinds = tuple(loop.spatial for loop in own)
        chains = [tuple(row) for row in group.chains[:, [loop.column for loop in own]].tolist()]
        steps = {
            chain: temporal_steps(extents[dim], tuple(zip(chain, kinds, strict=True)), dim in deep)
            for chain in dict.fromkeys(chains)
        }
        total = total * np.array([steps[chain] for chain in chains], np.float64)
    return np.stack([total, np.zeros_like(total)], axis=1)[:, None, :]
