"""A comparison as flat tables, {name: rows}: what the report's charts and tables are drawn from.

A row is a dict. `run` is a machine and a variant together; times are milliseconds, energies
millijoules and traffic MiB (1,048,576 bytes), all for one image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hwsim.describe.machine import Machine, Memory
from hwsim.describe.units import seconds_text, size_text
from hwsim.report.tables import energy_text
from hwsim.results.comparison import Comparison
from hwsim.results.result import COMPUTING, LayerResult, Result

Row = dict[str, Any]
Tables = dict[str, list[Row]]
MIB = 2**20
MOST_LAYERS = 200  # of a run that are drawn one by one


def tables(comparison: Comparison) -> Tables:
    """Every table."""
    machines = {machine.name: machine for machine in comparison.machines}
    found: Tables = {name: [] for name in TABLES}
    base = _baselines(comparison)
    for result in comparison.results:
        machine = machines[result.machine]
        name = {"machine": result.machine, "variant": result.variant, "run": run_name(result)}
        run = _Run(result, machine, name, base[result.machine])
        for table, rows in TABLES.items():
            found[table] += [{**name, **row} for row in rows(run)]
    for table, field in STACKED.items():
        words = list(dict.fromkeys(row[field] for row in found[table]))
        for row in found[table]:
            row["place"] = words.index(row[field])
    found["what_if"] = [
        {
            "machine": each.machine,
            "run": f"{each.machine} {each.variant}",
            "change": each.change,
            "gain": round(each.gain, 4),
        }
        for each in comparison.what_if
    ]
    return found


def run_name(result: Result) -> str:
    return f"{result.machine} {result.variant}"


@dataclass(frozen=True)
class _Run:
    """One result, its machine, its names, and the seconds an image of the run it is set against."""

    result: Result
    machine: Machine
    names: Mapping[str, str]
    base: float

    @property
    def layers(self) -> tuple[LayerResult, ...]:
        return self.result.layers[:MOST_LAYERS]

    def an_image(self, value: float) -> float:
        """Its part of a batch: a count exactly, where it is one, else a number of six digits."""
        if isinstance(value, int) and value % self.result.batch == 0:
            return value // self.result.batch
        return short(value / self.result.batch)


def short(value: float) -> float:
    """Six digits: more say nothing in a chart."""
    return float(f"{value:.6g}")


def _baselines(comparison: Comparison) -> dict[str, float]:
    """Seconds an image of each machine's first run."""
    first: dict[str, float] = {}
    for result in comparison.results:
        first.setdefault(result.machine, result.seconds_an_image)
    return first


def _runs(run: _Run) -> Iterator[Row]:
    result = run.result
    seconds = result.seconds_an_image
    yield {
        "algorithm": result.algorithm,
        "dtype": result.dtype,
        "batch": result.batch,
        "ms": short(seconds * 1e3),
        "images": short(result.images_per_second),
        "speedup": short(run.base / seconds) if seconds else 1.0,
        "ms_text": seconds_text(seconds),
        "mj": short(result.pj_an_image / 1e9),
        "mj_text": energy_text(result.pj_an_image),
        "watts": short(result.watts),
        "multiplies": run.an_image(result.counts.multiplies),
        "dram_mib": run.an_image(result.dram_bytes / MIB),
        "dram_mib_text": size_text(result.dram_bytes / result.batch),
        "least_mib": run.an_image(result.compulsory_bytes / MIB),
        "compute": short(result.utilization * 100),
        "memory": short(memory_share(result) * 100),
    }


def memory_share(result: Result) -> float:
    """Of what DRAM can move in the time, the share that moves."""
    able = result.dram_bytes_per_second * result.seconds
    return result.dram_bytes / able if able else 0.0


def _operations(run: _Run) -> Iterator[Row]:
    counts = run.result.counts
    for kind, count in (
        ("general multiplications", counts.multiplies),
        ("multiplications by constants", counts.constant_multiplies),
        ("additions", counts.additions),
        ("shifts", counts.shifts),
    ):
        if count:
            yield {"kind": kind, "count": run.an_image(count)}


def _layers(run: _Run) -> Iterator[Row]:
    for layer in run.layers:
        yield {
            "layer": layer.name,
            "used": layer.algorithm,
            "shape": layer.shape,
            "ms": run.an_image(layer.seconds * 1e3),
            "util": short(layer.utilization * 100),
            "multiplies": run.an_image(layer.operations.multiplies),
            "dram_mib": run.an_image(layer.dram_bytes / MIB),
            "least_mib": run.an_image(layer.compulsory_bytes / MIB),
            "mj": run.an_image(sum(layer.energy_pj.values()) / 1e9),
            "how": max(layer.online, key=lambda stage: stage.operations.multiplies).fidelity,
        }


def _causes(run: _Run) -> Iterator[Row]:
    for layer in run.layers:
        cycles = {COMPUTING: layer.cycles.compute, **layer.cycles.by_resource}
        for cause, count in cycles.items():
            if count > 1e-4 * layer.cycles.total:
                ms = run.an_image(count / run.result.clock_hz * 1e3)
                yield {"layer": layer.name, "cause": cause, "ms": ms}


def _energy(run: _Run) -> Iterator[Row]:
    for layer in run.layers:
        for part, energy in layer.energy_pj.items():
            yield {"layer": layer.name, "part": part, "mj": run.an_image(energy / 1e9)}


def _tensors(run: _Run) -> Iterator[Row]:
    """What each tensor moves; of a layer whose tensors all stay on the chip, that one moves 0."""
    dram = run.machine.dram_name
    for layer in run.layers:
        moved = {
            tensor: access.read_bytes + access.write_bytes
            for tensor, access in layer.accesses.get(dram, {}).items()
        }
        none = () if any(moved.values()) else list(moved)[:1]
        for tensor, size in moved.items():
            if size or tensor in none:
                yield {"layer": layer.name, "tensor": tensor, "mib": run.an_image(size / MIB)}


def _footprints(run: _Run) -> Iterator[Row]:
    """The layer that needs most of each memory on the chip."""
    for part, size in run.result.footprint_bytes.items():
        most = max(run.result.layers, key=lambda layer: layer.footprint_bytes.get(part, 0))
        capacity = run.result.capacities[part]
        yield {
            "part": part,
            "layer": most.name,
            "kib": short(size / 1024),
            "of_kib": short(capacity / 1024),
            "share": short(size / capacity * 100),
        }


def _reuse(run: _Run) -> Iterator[Row]:
    """Uses of a word each time it crosses the DRAM pins, of the stage that multiplies most."""
    for layer in run.layers:
        stage = max(layer.online, key=lambda stage: stage.operations.multiplies)
        for tensor, reuse in stage.reuse.items() if stage.operations.multiplies else ():
            reached = reuse.achieved.get(stage.dram)
            row = {"layer": layer.name, "tensor": tensor}
            yield {**row, "kind": "ideal", "uses": short(reuse.ideal.total)}
            if reached is not None:
                yield {**row, "kind": "achieved", "uses": short(reached.total)}


def _levels(run: _Run) -> Iterator[Row]:
    """A point of the roofline for each layer and each memory that has a port."""
    roofs = port_rates(run.machine, run.result)
    for layer in run.layers:
        macs = layer.operations.multiplies
        for level, tensors in layer.accesses.items():
            moved = sum(access.read_bytes + access.write_bytes for access in tensors.values())
            if macs and moved and level in roofs:
                yield {
                    "layer": layer.name,
                    "level": level,
                    "dram": level == run.machine.dram_name,
                    "intensity": short(macs / moved),
                    "rate": short(macs / layer.seconds / 1e9),
                    "ms": run.an_image(layer.seconds * 1e3),
                }


def _roofs(run: _Run) -> Iterator[Row]:
    """Two or three points of the roof that each level's port makes: its slope, then the peak."""
    points = [row["intensity"] for row in _levels(run)]
    if not points:
        return
    result = run.result
    peak = result.peak_macs_per_cycle * result.clock_hz
    low, high = min(points) / 2, max(points) * 2
    for level, rate in port_rates(run.machine, result).items():
        ridge = peak / rate
        places = {low, min(max(ridge, low), high), high}
        for intensity in sorted(places):
            yield {
                "level": level,
                "intensity": short(intensity),
                "rate": short(min(peak, intensity * rate) / 1e9),
            }


def port_rates(machine: Machine, result: Result) -> dict[str, float]:
    """Bytes a second of DRAM and of every memory whose port is stated, all its copies together."""
    rates = {}
    for name, part in machine.memories.items():
        if part.bandwidth is not None:
            copies = machine.compute.units if part.per != "chip" else 1
            each = part.bandwidth.bytes_per_cycle(result.clock_hz) * result.clock_hz
            rates[name] = each * copies
    return rates


def _memory(run: _Run) -> Iterator[Row]:
    """What crosses each link between two memories, both ways.

    It also says how much of what the inner one gives it had already.
    """
    depth = depths(run.machine)
    crossed: dict[tuple[str, str], list[int]] = {}
    served: dict[str, int] = {}
    for layer in run.result.layers:
        for outer, inner, tensor in _links(layer, depth):
            access = layer.accesses[outer][tensor]
            own = crossed.setdefault((outer, inner), [0, 0])
            own[0] += access.read_bytes
            own[1] += access.write_bytes
        for part, tensors in layer.accesses.items():
            served[part] = served.get(part, 0) + sum(a.read_bytes for a in tensors.values())
    for (outer, inner), (inward, outward) in sorted(crossed.items(), key=lambda i: depth[i[0][1]]):
        read = served.get(inner, 0)
        yield {
            "outer": outer,
            "inner": inner,
            "in_mib": run.an_image(inward / MIB),
            "out_mib": run.an_image(outward / MIB),
            "hit": short((1 - inward / read) * 100) if read else None,
            "cache": run.machine.memories[inner].management == "implicit",
        }


def _links(layer: LayerResult, depth: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """(outer memory, inner memory, tensor) for all that a tensor passes on its way in."""
    tensors = {tensor for part in layer.accesses.values() for tensor in part}
    for tensor in sorted(tensors):
        parts = [part for part, own in layer.accesses.items() if tensor in own and part in depth]
        parts.sort(key=depth.__getitem__)
        yield from ((outer, inner, tensor) for outer, inner in pairwise(parts))


def depths(machine: Machine) -> dict[str, int]:
    """How many links lie between each memory and DRAM."""
    import networkx

    far = networkx.single_source_shortest_path_length(
        machine.graph.to_undirected(), machine.dram_name
    )
    return {name: far[name] for name in machine.memories if name in far}


def _parts(run: _Run) -> Iterator[Row]:
    """The memories as boxes."""
    depth = depths(run.machine)
    peak = run.result.footprint_bytes
    for name in sorted(depth, key=lambda name: depth[name]):
        part: Memory = run.machine.memories[name]
        size = peak.get(name)
        yield {
            "part": name,
            "depth": depth[name],
            "per": part.per,
            "kib": None if size is None else short(size / 1024),
            "of_kib": short(part.capacity / 1024),
        }


STACKED = {  # what bars are stacked by, in the order in which it comes
    "operations": "kind",
    "causes": "cause",
    "energy": "part",
    "tensors": "tensor",
}
TABLES = {
    "runs": _runs,
    "operations": _operations,
    "layers": _layers,
    "causes": _causes,
    "energy": _energy,
    "tensors": _tensors,
    "footprints": _footprints,
    "reuse": _reuse,
    "levels": _levels,
    "roofs": _roofs,
    "memory": _memory,
    "parts": _parts,
}
