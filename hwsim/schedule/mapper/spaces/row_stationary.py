"""Row-stationary PE arrays: filter rows along the array's rows, output rows along its columns.

Sets of both lie beside each other.

    for n, k, p, c tiles x:        outer block: input rows and sums in the global buffer
      for n, k, p, c folds:        [filter buffer]
        par c, k in sets, r on rows, p on columns
          for q:                   windows slide in the PEs' scratchpads
            for c, s, k            q channels and p filters of a PE, in the letters of Eyeriss

Chen, Emer, Sze, "Eyeriss", ISCA 2016: e = p's spread, r and t = c's and k's, q and p = c's and k's
cells.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.describe.machine import Machine
from hwsim.ir.nest import Hold
from hwsim.ir.stage import Stage
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS
from hwsim.schedule.mapper.space import (
    ARRAY,
    CELL,
    FAMILIES,
    OUTER,
    POINT,
    Options,
    Skeleton,
    Slot,
    Space,
    cuts,
    orders,
)
from hwsim.schedule.row_stationary_tiles import sets_of

MOST_CUTS = 10


@FAMILIES.register("row-stationary")
class RowStationarySpace:
    """Every e, r, t that fits the array; every q and p that fits a PE; tiles in the buffer.

    Tiles in the buffer are of n, k, p, c.
    """

    rank = 1

    @staticmethod
    def refuses(stage: Stage, machine: Machine) -> str | None:
        return DATAFLOWS["row-stationary"].refuses(stage, machine)

    @staticmethod
    def space(stage: Stage, machine: Machine, placement: Placement, options: Options) -> Space:
        array, size = machine.compute, stage.extents
        assert isinstance(array, PeArray)
        dims = tuple(dim for dim, _ in stage.bounds)
        spreads = dict(_spreads(stage, array))
        outer: dict[str, tuple[int, ...]] = {dim: (bound,) for dim, bound in stage.bounds}
        outer.update({dim: (1,) for dim in ("g",) if dim in size})
        outer.update(
            {dim: cuts(size[dim], MOST_CUTS) for dim in ("n", "k", "p", "c") if dim in size}
        )
        cell: dict[str, tuple[int, ...]] = dict.fromkeys(dims, (1,))
        tensors = {tensor.role: tensor for tensor in stage.tensors}
        ifmap, weights, sums = (
            tensors[role].words_in(machine.part(machine.chain(role)[-1], Scratchpad).capacity)
            for role in ("activation", "weight", "output")
        )
        cell["c"] = _per_pe(size["c"], ifmap // size["s"])
        cell["k"] = _per_pe(size["k"], min(sums, weights // size["s"]))
        cell.update({"q": (size["q"],), "s": (size["s"],)})
        return Space(
            "row-stationary",
            stage,
            machine,
            tuple(_skeletons(stage, machine, placement)),
            outer,
            cell,
            tuple(dict(zip(dims, spread, strict=True)) for spread in spreads),
            spreads,
        )


def _skeletons(stage: Stage, machine: Machine, placement: Placement) -> Iterator[Skeleton]:
    (buffer, ifmap_spad), (filter_buffer, filter_spad), (_, psum_spad) = (
        machine.chain(role)[1:] for role in ("activation", "weight", "output")
    )
    activation, weight = (tensor.name for tensor in stage.inputs)
    output = stage.output.name
    kept = placement.moving(stage, machine, buffer, ("activation", "output"))
    folded = tuple(dim for dim in ("n", "k", "p", "c") if dim in stage.extents)
    groups = tuple(dim for dim in ("g",) if dim in stage.extents)
    for last, _, outer in orders(stage, folded):
        for innermost, following, inner in orders(stage, folded):
            yield Skeleton(
                (
                    *placement.backing(stage, machine),
                    *(Slot(dim, OUTER) for dim in (*groups, *outer)),
                    *((Hold(buffer, kept),) if kept else ()),
                    *(Slot(dim, ARRAY) for dim in inner),
                    Hold(filter_buffer, (weight,)),
                    Slot("c", CELL, "set"),
                    Slot("k", CELL, "set"),
                    Slot("r", CELL, "row"),
                    Slot("p", CELL, "column"),
                    Hold(filter_spad, (weight,)),
                    Slot("q", POINT),
                    Hold(ifmap_spad, (activation,)),
                    Hold(psum_spad, (output,)),
                    *(Slot(dim, POINT) for dim in ("c", "s", "k")),
                ),
                (last, innermost, following),
            )


def _spreads(
    stage: Stage, array: PeArray
) -> Iterator[tuple[tuple[int, ...], dict[str, tuple[tuple[str, int], ...]]]]:
    """(e, r, t) as spreads of p, c and k.

    There is every e that leaves another number of sets, its sets shared out to the full.
    """
    size = stage.extents
    widest = {
        sets_of(array, size["r"], e): e
        for e in range(1, min(size["p"], array.rows // size["r"] * array.cols) + 1)
    }
    evens = {
        sets_of(array, size["r"], e): e
        for e in reversed(cuts(size["p"], size["p"]))
        if sets_of(array, size["r"], e)
    }
    axes = {"p": "column", "c": "set", "k": "set", "r": "row"}
    for sets, e in dict.fromkeys((*widest.items(), *evens.items())):
        shares = {min(sets // r, size["k"]): r for r in range(1, min(sets, size["c"]) + 1)}
        for t, r in shares.items():
            spread = {"p": e, "c": r, "k": t, "r": size["r"]}
            yield (
                tuple(spread.get(dim, 1) for dim, _ in stage.bounds),
                {dim: ((axes[dim], ways),) for dim, ways in spread.items() if ways > 1},
            )


def _per_pe(bound: int, most: int) -> tuple[int, ...]:
    """Channels or filters of a PE: even parts of the layer's, and of what fits."""
    most = max(1, min(bound, most))
    whole = {part for part in range(1, most + 1) if bound % part == 0}
    return tuple(sorted({*whole, *cuts(most, most)}, reverse=True))
