"""Timeloop 3.0.3 on fixed mappings: its counts in its convention.

Beside them stands what the exact count is and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.count import closed_form
from hwsim.foreign.timeloop import counts as timeloop
from hwsim.foreign.timeloop.nests import nest_of
from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Nest
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
