"""Timeloop 3.0.3 on fixed mappings: its counts in its convention, and beside them what the exact
count is and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.count import closed_form
from hwsim.errors import HwsimError
from hwsim.foreign.timeloop import counts as timeloop
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Operations, Stage
from hwsim.ir.tensor import Axis, Tensor
from hwsim.ir.transform import drop_idle
from hwsim.ir.verify import verify_nest, verify_stage
from hwsim.validate import CHECKS, Pair

METRICS = ("reads", "fills", "updates", "tile_size")


class Timeloop:
    """A row is a problem, an architecture and a mapping, with what Timeloop printed."""

    file = "timeloop.json"
    summary = "Timeloop 3.0.3's reads, fills, updates, tiles, cycles and energy, in its convention"

    def pairs(self, data: Any) -> Iterator[Pair]:
        for row in _rows(data):
            nest, name = nest_of(row), row["id"]
            counted = timeloop.count(nest)
            energy = nest.stage.iterations * row["mac"]["energy"]
            for level in row["levels_outer_to_inner"]:
                expected = row["timeloop"]["levels"][level["name"]].get("dataspaces", {})
                for tensor, numbers in expected.items():
                    own = counted[level["name"], tensor]
                    for metric in METRICS:
                        yield Pair(
                            name,
                            metric,
                            numbers[metric],
                            getattr(own, metric),
                            {"level": level["name"]},
                        )
                    spent = (
                        own.accesses
                        * own.instances
                        * level["energy_per_vector_access"]
                        / level["block_size"]
                    )
                    energy += spent
                    yield Pair(
                        name, "energy", numbers["energy_total"], spent, {"level": level["name"]}
                    )
            summary = row["timeloop"].get("summary", {})
            if "cycles" in summary:
                bandwidths = {
                    level["name"]: (level["read_bw"], level["write_bw"])
                    for level in row["levels_outer_to_inner"]
                }
                yield Pair(name, "cycles", summary["cycles"], timeloop.cycles(nest, bandwidths))
            if "energy_pJ" in summary:
                yield Pair(name, "energy", summary["energy_pJ"], energy)

    def remarks(self, data: Any) -> Iterator[str]:
        """For every row, where the exact count differs from Timeloop's, and why."""
        for row in _rows(data):
            nest = nest_of(row)
            exact, theirs = closed_form.count(nest), timeloop.count(nest)
            told = [
                text
                for (level, tensor), own in theirs.items()
                for text in _differences(nest, exact, level, tensor, own)
            ]
            yield f"{row['id']}: " + ("; ".join(told) if told else "the exact count is the same")


def _rows(data: Any) -> list[Any]:
    rows: list[Any] = data["rows"] if isinstance(data, dict) else data
    return rows


def nest_of(row: Any) -> Nest:
    """The nest that a row's mapping describes. Raises HwsimError for one that covers no problem."""
    stage = _stage(row)
    extents = dict(stage.bounds)
    factors = {
        level["name"]: [block for block in row["mapping"] if block["level"] == level["name"]]
        for level in row["levels_outer_to_inner"]
    }
    names = [tensor.name for tensor in stage.tensors]
    ordered = [
        (dim, bound[0] if isinstance(bound, list) else bound)
        for blocks in factors.values()
        for block in blocks
        for dim, bound in block["loops"]
    ]
    tiles = _tiles(ordered, extents)
    items: list[Hold | Loop] = []
    position = 0
    for name, blocks in factors.items():
        bypassed = row["bypass"].get(name, [])
        held = tuple(tensor for tensor in names if tensor not in bypassed)
        if held or not items:
            items.append(Hold(name, held))
        for block in blocks:
            for number, (dim, _) in enumerate(block["loops"]):
                axis = None
                if block["type"] == "spatial":
                    axis = "column" if number < block.get("split", len(block["loops"])) else "row"
                items.append(Loop(dim, tiles[position], axis))
                position += 1
    return verify_nest(Nest(verify_stage(stage), drop_idle(stage, items), "timeloop mapping"))


def _tiles(ordered: list[tuple[str, int]], extents: dict[str, int]) -> list[int]:
    """Bounds to tiles: a loop's tile is what the loops of its dim inside it cover.

    Raises HwsimError when a dim's loops cover less than it has.
    """
    tiles, inside = [0] * len(ordered), dict.fromkeys(extents, 1)
    for number in reversed(range(len(ordered))):
        dim, bound = ordered[number]
        tiles[number] = inside[dim]
        inside[dim] *= bound
    short = [
        f"{dim} by {reached} of {extents[dim]}"
        for dim, reached in inside.items()
        if reached < extents[dim]
    ]
    if short:
        raise HwsimError(f"the mapping's loops do not cover {', '.join(short)}")
    return tiles


def _stage(row: Any) -> Stage:
    sizes = {dim: row["dims"][dim] for dim in row["shape"]["dims"]}
    tensors = []
    inputs = [space for space in row["shape"]["dataspaces"] if not space["read_write"]]
    for space in row["shape"]["dataspaces"]:
        axes = tuple(_axis(terms, sizes, row["coefficients"]) for terms in space["projection"])
        role = (
            "output" if space["read_write"] else ("activation" if space is inputs[0] else "weight")
        )
        tensors.append(Tensor(space["name"], role, axes, 1))  # type: ignore[arg-type]
    return Stage(
        row["shape"]["name"],
        tuple(sizes.items()),
        tuple(tensors),
        Operations(multiplies=1, additions=1),
    )


def _axis(terms: list[list[str]], sizes: dict[str, int], coefficients: dict[str, int]) -> Axis:
    weights = tuple(
        (term[0], coefficients.get(term[1], 1) if len(term) > 1 else 1) for term in terms
    )
    return Axis(weights, 1 + sum(weight * (sizes[dim] - 1) for dim, weight in weights))


def _differences(
    nest: Nest, exact: NestCounts, level: str, tensor: str, own: timeloop.Level
) -> Iterator[str]:
    """Fills and reads (or updates) that differ, all instances, with the reason."""
    traffic, role = exact.of(level, tensor), nest.stage.tensor(tensor).role
    where = f"{level} {tensor}"
    outermost = nest.holds[0].level == level
    if not outermost and role != "output" and traffic.fills != own.fills * own.instances:
        yield (
            f"{where} fills {own.fills * own.instances}, exact {traffic.fills} (an overlap with "
            f"the last tile is kept, whichever way)"
        )
    if role == "output":
        if own.updates * own.instances != traffic.updates:
            yield (
                f"{where} updates {own.updates * own.instances}, exact {traffic.updates} (sums "
                f"at a ragged edge)"
            )
        if own.reads * own.instances != traffic.reads:
            more = traffic.reads - own.reads * own.instances
            why = (
                f"{traffic.drains} reads to send sums outwards"
                if traffic.drains
                else "first visits of each neighbour"
            )
            if traffic.drains and more != traffic.drains:
                why += (
                    f", {traffic.drains - more} fewer where every neighbour begins sums of its own"
                )
            yield f"{where} reads {own.reads * own.instances}, exact {traffic.reads} ({why})"
    elif own.reads * own.instances != traffic.reads:
        yield (
            f"{where} reads {own.reads * own.instances}, exact {traffic.reads} "
            f"({_read_reason(traffic.reads, own)})"
        )


def _read_reason(exact: int, own: timeloop.Level) -> str:
    less = exact < own.reads * own.instances
    return (
        "overlaps are kept, and neighbours share the words that both need"
        if less
        else "ragged chunks at their real size"
    )


CHECKS.register("timeloop")(Timeloop())
