"""Mappings found: as text of 80 columns, and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwsim.describe.units import si, size_text
from hwsim.report.tables import WIDTH, text_table

if TYPE_CHECKING:
    from hwsim.results.result import StageResult
    from hwsim.schedule.mapper.found import Found

SCHEMA = "hwsim.mapping/1"
HEAD = ["layer", "stage", "cycles", "energy", "EDP J*cyc", "DRAM", "gap", "tried", "s"]

Entry = tuple[str, "Found", "StageResult"]


def busiest(found: Found) -> tuple[str, float]:
    """The resource that bounds the time, and its cycles."""
    cycles = {
        name: value for name, value in found.metrics.items() if name not in ("energy", "dram bytes")
    }
    name = max(cycles, key=lambda resource: cycles[resource])
    return name, cycles[name]


def edp(found: Found) -> float:
    """Energy-delay product in J * cycles."""
    return found.metrics["energy"] * 1e-12 * busiest(found)[1]


def mapping_text(machine: str, objective: str, entries: Sequence[Entry]) -> str:
    """One mapping in full, several as a table."""
    if len(entries) == 1:
        return _one(machine, objective, *entries[0])
    rows = [
        [
            name,
            found.space.stage.name,
            si(busiest(found)[1]),
            f"{found.metrics['energy'] / 1e6:.4g} uJ",
            f"{edp(found):.4g}",
            size_text(found.metrics["dram bytes"]),
            f"{found.gap:.1%}",
            si(found.evaluated),
            f"{found.seconds:.1f}",
        ]
        for name, found, _ in entries
    ]
    proven = sum(found.optimal for _, found, _ in entries)
    return "\n".join(
        [
            f"{machine}: best mappings for {objective}; {proven} of {len(entries)} proven",
            "",
            text_table(HEAD, rows),
        ]
    )


def _one(machine: str, objective: str, name: str, found: Found, simulated: StageResult) -> str:
    resource, cycles = busiest(found)
    proof = (
        "the optimum of its space"
        if found.optimal
        else f"at most {found.gap:.2%} above the optimum (stopped early)"
    )
    title = textwrap.wrap(
        f"{name} ({found.space.stage.name}) on {machine}, for {objective}: {proof}", WIDTH
    )
    return "\n".join(
        [
            *title,
            "",
            simulated.nest,
            "",
            f"cycles   {cycles:,.0f} at least ({resource}); simulated, with all waiting, "
            f"{simulated.cycles.total:,.0f}",
            f"energy   {found.metrics['energy'] / 1e6:,.6g} uJ",
            f"EDP      {edp(found):.6g} J*cycle",
            f"DRAM     {size_text(found.metrics['dram bytes'])}",
            f"space    {found.space.size:.3g} mappings in {len(found.space.skeletons)} orders and "
            f"bypasses, {len(found.space.spreads)} spreads",
            f"search   {found.evaluated:,} mappings evaluated, the rest ruled out by bounds, "
            f"{found.seconds:.2f} s",
        ]
    )


def mapping_document(
    machine: str, objective: str, algorithm: str, dtype: str, entries: Sequence[Entry]
) -> dict[str, Any]:
    """Everything that was found, as plain data (docs/json.md)."""
    return {
        "schema": SCHEMA,
        "machine": machine,
        "objective": objective,
        "algorithm": algorithm,
        "dtype": dtype,
        "mappings": [_document(name, found, simulated) for name, found, simulated in entries],
    }


def _document(name: str, found: Found, simulated: StageResult) -> dict[str, Any]:
    tiling = found.tiling
    tiles: Mapping[str, Any] = {
        dim: {
            "outer": tiling.outer[dim],
            "neighbours": tiling.spread[dim],
            "cell": tiling.cell[dim],
        }
        for dim in found.space.dims
    }
    resources = {
        key: value for key, value in found.metrics.items() if key not in ("energy", "dram bytes")
    }
    return {
        "layer": name,
        "stage": found.space.stage.name,
        "dataflow": found.space.name,
        "nest": simulated.nest,
        "tiles": tiles,
        "cost": found.cost,
        "bound": found.bound,
        "gap": found.gap,
        "optimal": found.optimal,
        "space_size": found.space.size,
        "evaluated": found.evaluated,
        "search_seconds": found.seconds,
        "cycles": busiest(found)[1],
        "resource_cycles": resources,
        "energy_pj": found.metrics["energy"],
        "dram_bytes": found.metrics["dram bytes"],
        "edp_j_cycles": edp(found),
        "simulated": {"cycles": simulated.cycles.total, "energy_pj": dict(simulated.energy_pj)},
    }
