"""Mappings found: as text of 80 columns, and as plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from hwsim.describe.units import si, size_text
from hwsim.report.tables import energy_text
from hwsim.report.text_table import WIDTH, text_table
from hwsim.results.schemas import FoundDocument, MappingDocument, TilesDocument

if TYPE_CHECKING:
    from hwsim.results.result import StageResult
    from hwsim.schedule.mapper.found import Found

SCHEMA: Final = "hwsim.mapping/1"
HEAD = ["layer", "stage", "cycles", "energy", "EDP J*cyc", "DRAM", "gap", "tried", "s"]


class Entry(Protocol):
    """A mapped stage (hwsim.choose.mappings.MappedStage)."""

    @property
    def name(self) -> str: ...

    @property
    def found(self) -> Found: ...

    @property
    def flow(self) -> str | None: ...

    @property
    def simulated(self) -> StageResult: ...

    @property
    def kept(self) -> bool: ...


def busiest(found: Found) -> tuple[str, float]:
    """The resource that bounds the time, and its cycles."""
    cycles = {
        name: value for name, value in found.metrics.items() if name not in ("energy", "dram bytes")
    }
    name = max(cycles, key=lambda resource: cycles[resource])
    return name, cycles[name]


def edp(result: StageResult) -> float:
    """Energy-delay product in J * cycles, of what was simulated."""
    return sum(result.energy_pj.values()) * 1e-12 * result.cycles.total


def mapping_text(
    machine: str, objective: str, entries: Sequence[Entry], notes: Sequence[str] = ()
) -> str:
    """One mapping in full, several as a table; then notes."""
    found = _one(machine, objective, entries[0])
    if len(entries) > 1:
        found = _table(machine, objective, entries)
    noted = [textwrap.fill(f"note: {note}", WIDTH) for note in notes]
    return "\n".join([found, *([""] if noted else []), *noted])


def _table(machine: str, objective: str, entries: Sequence[Entry]) -> str:
    rows = [
        [
            entry.name,
            entry.found.stage.name,
            si(entry.simulated.cycles.total),
            energy_text(sum(entry.simulated.energy_pj.values())),
            f"{edp(entry.simulated):.4g}",
            size_text(entry.simulated.dram_read_bytes + entry.simulated.dram_write_bytes),
            f"{entry.found.gap:.1%}",
            si(entry.found.evaluated),
            f"{entry.found.seconds:.1f}",
        ]
        for entry in entries
    ]
    proven = sum(entry.found.optimal for entry in entries)
    # a layer of one stage has its name
    several = len({entry.name for entry in entries}) < len(entries)
    shown = [number for number, title in enumerate(HEAD) if several or title != "stage"]
    table = [[row[number] for number in shown] for row in (HEAD, *rows)]
    return "\n".join(
        [
            f"{machine}: best mappings for {objective}; {proven} of {len(entries)} proven",
            "",
            text_table(table[0], table[1:]),
            *_of_dataflows(entries),
        ]
    )


def _of_dataflows(entries: Sequence[Entry]) -> list[str]:
    """Which nests are not the mapper's own, but a dataflow's."""
    flows: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.flow is not None:
            what = (
                f"{entry.flow}'s tiling"
                if entry.found.size.dataflows
                else f"{entry.flow}'s nest, better once simulated than the mapper's"
            )
            flows.setdefault(what, {})[entry.name] = None
    return [
        line
        for what, names in flows.items()
        for line in textwrap.wrap(
            f"{what}: {', '.join(names)}",
            WIDTH,
            subsequent_indent="  ",
        )
    ]


def _one(machine: str, objective: str, entry: Entry) -> str:
    found, simulated = entry.found, entry.simulated
    proof = (
        "the optimum of its space"
        if found.optimal
        else f"at most {found.times_optimum:.3g} times the optimum ({found.why_not_proven})"
    )
    title = textwrap.wrap(
        f"{entry.name} ({found.stage.name}) on {machine}, for {objective}: {proof}", WIDTH
    )
    return "\n".join(
        [
            *title,
            "",
            simulated.nest,
            "",
            *(_costs(found, simulated) if entry.flow is None else _simulated_costs(simulated)),
            f"space    {found.size.text}",
            *textwrap.wrap(
                f"search   {found.evaluated:,} mappings evaluated, {found.rest}, "
                f"{found.seconds:.2f} s",
                WIDTH,
                subsequent_indent=" " * 9,
            ),
            *(["kept     from an earlier run; HWSIM_KEEP=0 searches anew"] if entry.kept else []),
            *_of_dataflows([entry]),
        ]
    )


def _costs(found: Found, simulated: StageResult) -> list[str]:
    """What the mapper's cost model says of its own nest, and the simulator beside it."""
    resource, cycles = busiest(found)
    least = found.metrics["energy"] * 1e-12 * cycles
    waiting = max(0.0, simulated.cycles.total / cycles - 1.0)  # the search's sums are rounded
    return [
        f"cycles   {cycles:,.0f} at least ({resource}); simulated {simulated.cycles.total:,.0f}, "
        f"{waiting:.1%} more",
        f"energy   {found.metrics['energy'] / 1e6:,.6g} uJ",
        f"EDP      {least:.6g} J*cycle at least; simulated {edp(simulated):.6g}",
        f"DRAM     {size_text(found.metrics['dram bytes'])}",
    ]


def _simulated_costs(simulated: StageResult) -> list[str]:
    return [
        f"cycles   {simulated.cycles.total:,.0f} simulated",
        f"energy   {sum(simulated.energy_pj.values()) / 1e6:,.6g} uJ",
        f"EDP      {edp(simulated):.6g} J*cycle",
        f"DRAM     {size_text(simulated.dram_read_bytes + simulated.dram_write_bytes)}",
    ]


def mapping_document(
    machine: str,
    objective: str,
    algorithm: str,
    dtype: str,
    entries: Sequence[Entry],
    notes: Sequence[str] = (),
) -> MappingDocument:
    """Everything that was found, as plain data (docs/json.md)."""
    return {
        "schema": SCHEMA,
        "machine": machine,
        "objective": objective,
        "algorithm": algorithm,
        "dtype": dtype,
        "mappings": [_document(entry) for entry in entries],
        "notes": list(notes),
    }


def _document(entry: Entry) -> FoundDocument:
    found, simulated = entry.found, entry.simulated
    tiling = found.tiling
    tiles: dict[str, TilesDocument] = {
        dim: {
            "outer": tiling.outer[dim],
            "neighbours": tiling.spread[dim],
            "cell": tiling.cell[dim],
        }
        for dim in found.stage.extents
    }
    resources = {
        key: value for key, value in found.metrics.items() if key not in ("energy", "dram bytes")
    }
    return {
        "layer": entry.name,
        "stage": found.stage.name,
        "dataflow": simulated.dataflow,
        "by": entry.flow or "mapper",
        "nest": simulated.nest,
        "tiles": tiles,
        "cost": found.cost,
        "bound": found.bound,
        "gap": found.gap,
        "optimal": found.optimal,
        "space_size": found.size.mappings,
        "evaluated": found.evaluated,
        "search_seconds": found.seconds,
        "cycles": busiest(found)[1],
        "resource_cycles": resources,
        "energy_pj": found.metrics["energy"],
        "dram_bytes": found.metrics["dram bytes"],
        "edp_j_cycles": found.metrics["energy"] * 1e-12 * busiest(found)[1],
        "simulated": {
            "cycles": simulated.cycles.total,
            "energy_pj": dict(simulated.energy_pj),
            "dram_bytes": simulated.dram_read_bytes + simulated.dram_write_bytes,
            "edp_j_cycles": edp(simulated),
        },
    }
