"""Row-stationary: each PE slides one filter row along one input row; sums of a row of windows add up the column.

             columns: output rows 0 1 2
    filter row 0   [in 0] [in 1] [in 2]      filter rows run along the array's rows,
    filter row 1   [in 1] [in 2] [in 3]      input rows along its diagonals,
    filter row 2   [in 2] [in 3] [in 4]      partial sums down its columns
                      |      |      |

Chen, Emer, Sze, "Eyeriss", ISCA 2016. A set is R x e PEs; r x t sets work on different channels and filters; a PE
keeps p filters x q channels of its row; the buffer keeps the sums of m filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.dataflows import DATAFLOWS, Dataflow, Placement, tile_bytes
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.spec.machine import ROLES, Machine


@dataclass(frozen=True)
class Mapping:
    """The letters of the paper: e output rows, p filters and q channels a PE, r channel sets, t filter sets, m filters."""

    e: int
    p: int
    q: int
    r: int
    t: int
    m: int


class RowStationary:
    """The mapping that finishes first (array or DRAM), then the fewest array steps, then the most PEs at work."""

    name = "row-stationary"
    summary = "filter rows stay in PEs, input rows move diagonally, sums go down"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, PeArray):
            return "it needs PEs with scratchpads of their own"
        if any(len(machine.chain(role)) != 3 for role in ROLES):
            return "every role needs a buffer and a scratchpad in the PEs"
        if not {"p", "q", "r", "s", "c", "k"} <= set(stage.extents):
            return "the stage is no convolution"
        if stage.extents["r"] > machine.compute.rows:
            return f"{stage.extents['r']} filter rows on {machine.compute.rows} rows of PEs"
        spad = machine.part(machine.chain("activation")[-1], Scratchpad)
        window = stage.extents["s"] * stage.inputs[0].width
        return None if window <= spad.capacity else f"a filter row of {window} bytes in a scratchpad of {spad.capacity}"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        mapping = best_mapping(stage, machine, placement)
        (buffer, ifmap_spad), (filter_buffer, filter_spad), (_, psum_spad) = (
            machine.chain(role)[1:] for role in ("activation", "weight", "output"))
        activation, weight = (tensor.name for tensor in stage.inputs)
        output = stage.output.name
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(dim for dim in ("n", "g") if dim in stage.extents),
            Loop("p", mapping.e),
            Loop("k", mapping.m),
            Loop("c", mapping.q * mapping.r),
            Hold(buffer, tuple(name for name in (activation, output) if name not in placement.resident)),
            Loop("k", mapping.p * mapping.t),
            Hold(filter_buffer, (weight,)),
            Loop("c", mapping.q, "set"),
            Loop("k", mapping.p, "set"),
            Loop("r", 1, "row"),
            Loop("p", 1, "column"),
            Hold(filter_spad, (weight,)),
            Loop("q", 1),
            Hold(ifmap_spad, (activation,)),
            Hold(psum_spad, (output,)),
            *points(("c", "s", "k")),
        ]
        return Nest(stage, drop_idle(stage, _clipped(stage, items)), self.name)


def _clipped(stage: Stage, items: list[Loop | Hold]) -> Iterator[Loop | Hold]:
    """Tiles no longer than what is left of their dim."""
    left = dict(stage.bounds)
    for item in items:
        if isinstance(item, Loop):
            left[item.dim] = min(left[item.dim], item.tile)
            yield Loop(item.dim, left[item.dim], item.spatial)
        else:
            yield item


def best_mapping(stage: Stage, machine: Machine, placement: Placement) -> Mapping:
    """Search every legal e, q, p, r, t; m is the most filters whose sums fit the buffer beside the input rows.

    Raises HwsimError when even one row of one filter does not fit.
    """
    size, array = stage.extents, machine.compute
    assert isinstance(array, PeArray)
    rate = machine.part(machine.dram_name, Dram).bandwidth.bytes_per_cycle(machine.clock_hz)
    best: tuple[tuple[float, int, int, int], Mapping] | None = None
    for e in range(1, size["p"] + 1):
        sets = sets_of(array, size["r"], e)
        if sets == 0:
            break
        for q, p in _per_pe(stage, machine):
            for r in range(1, min(sets, -(-size["c"] // q)) + 1):
                t = min(sets // r, -(-size["k"] // p))
                m = _filters_in_buffer(stage, machine, placement, e, q * r, p * t)
                if m == 0:
                    continue
                mapping = Mapping(e, p, q, r, t, m)
                steps = -(-size["p"] // e) * -(-size["c"] // (q * r)) * -(-size["k"] // (p * t)) * q * p
                soonest = max(steps * size["q"] * size["s"], _dram_bytes(stage, mapping) / rate)
                key = (soonest, steps, -size["r"] * e * r * t, -p)
                if best is None or key < best[0]:
                    best = (key, mapping)
    if best is None:
        raise HwsimError(f"{machine.name}: {stage.name}: not even one output row of one filter fits the buffers")
    return best[1]


def _dram_bytes(stage: Stage, mapping: Mapping) -> int:
    """An image's traffic: filters again for every band of output rows, inputs again for every group of filters."""
    size = stage.extents
    activation, weight = stage.inputs
    whole = {dim: bound for dim, bound in stage.bounds if dim not in ("n", "g")}
    bands, groups = -(-size["p"] // mapping.e), -(-size["k"] // mapping.m)
    return tile_bytes(weight, whole) * bands + tile_bytes(activation, whole) * groups + tile_bytes(stage.output, whole)


def sets_of(array: PeArray, rows: int, e: int) -> int:
    """Sets of rows x e PEs: side by side in a band of `rows` rows, or, when wider than the array, over several bands."""
    bands = array.rows // rows
    return bands * (array.cols // e) if e <= array.cols else bands // -(-e // array.cols)


def _per_pe(stage: Stage, machine: Machine) -> Iterator[tuple[int, int]]:
    """(q channels, p filters) that a PE's scratchpads hold: every q, and the most filters or an even part of them."""
    size, width = stage.extents, stage.output.width
    ifmap, weights, sums = (machine.part(machine.chain(role)[-1], Scratchpad).capacity // width
                            for role in ("activation", "weight", "output"))
    for q in range(1, min(size["c"], ifmap // size["s"]) + 1):
        most = min(size["k"], sums, weights // (q * size["s"]))
        for p in dict.fromkeys(-(-most // pieces) for pieces in range(1, most + 1)):
            yield q, p


def _filters_in_buffer(stage: Stage, machine: Machine, placement: Placement, e: int, channels: int, filters: int) -> int:
    """The most filters, in multiples of what the array works on at once, whose sums stay in the buffer."""
    size = stage.extents
    buffer, weight_buffer = machine.chain("activation")[1], machine.chain("weight")[1]
    taps = {"r": size["r"], "s": size["s"], "c": min(channels, size["c"])}
    if tile_bytes(stage.inputs[1], {**taps, "k": min(filters, size["k"])}) > placement.room(machine, weight_buffer):
        return 0
    rows = tile_bytes(stage.inputs[0], {**taps, "p": e, "q": size["q"]})
    sums = tile_bytes(stage.output, {"p": e, "q": size["q"], "k": 1})
    fit = (placement.room(machine, buffer) - rows) // sums
    if fit >= size["k"]:
        return size["k"]
    return max(0, fit // filters * filters)


DATAFLOWS.register("row-stationary")(_flow := RowStationary())
_checked: Dataflow = _flow
