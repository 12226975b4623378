"""A topology as SCALE-Sim reports it: a table, and a csv with the columns of its COMPUTE_REPORT."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from hwsim.describe.units import si
from hwsim.foreign.scalesim.config import ScaleSimConfig
from hwsim.foreign.scalesim.counts import scalesim_counts
from hwsim.foreign.scalesim.topology import ScaleSimLayer, topology_notes
from hwsim.report.text_table import text_table
from hwsim.results.schemas import ScaleSimDocument, ScaleSimLayerDocument

HEAD = ["layer", "cycles", "util", "mapping", "ifmap reads", "filter reads", "ofmap writes"]
CSV_HEAD = (
    "LayerID, Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, Compute Util %,"
)


def _counts(config: ScaleSimConfig, layer: ScaleSimLayer) -> dict[str, float]:
    """SCALE-Sim's numbers of one layer; util: products over cells and cycles, in percent."""
    k = (
        layer.k
        if layer.sparsity is None or not config.sparse
        else ceil(layer.k * layer.sparsity[0] / layer.sparsity[1])
    )
    counts = scalesim_counts(layer.m, layer.n, k, config.rows, config.columns, config.dataflow)
    counts = {
        name: value if name == "mapping_efficiency" else value * layer.batch
        for name, value in counts.items()
    }
    counts["cycles"] += layer.batch - 1  # the index of the last cycle, of all products in a row
    util = (
        100
        * layer.batch
        * layer.m
        * layer.n
        * k
        / (config.rows * config.columns * (counts["cycles"] + 1))
    )
    repeated = {
        name: value * layer.times for name, value in counts.items() if name != "mapping_efficiency"
    }
    return {**counts, **repeated, "util": util}


def scalesim_text(config: ScaleSimConfig, layers: Sequence[ScaleSimLayer]) -> str:
    """Every layer and their total, in SCALE-Sim's conventions (hwsim.foreign.scalesim.counts)."""
    counts = [_counts(config, layer) for layer in layers]
    rows = [
        [
            layer.name,
            f"{count['cycles']:.0f}",
            f"{count['util']:.1f}%",
            f"{count['mapping_efficiency']:.1f}%",
            *(
                si(count[f"sram_{name}"])
                for name in ("ifmap_reads", "filter_reads", "ofmap_writes")
            ),
        ]
        for layer, count in zip(layers, counts, strict=True)
    ]
    total = [
        "total",
        f"{sum(count['cycles'] for count in counts):.0f}",
        "",
        "",
        *(
            si(sum(count[f"sram_{name}"] for count in counts))
            for name in ("ifmap_reads", "filter_reads", "ofmap_writes")
        ),
    ]
    head = f"{config.name}: {config.rows}x{config.columns}, {config.dataflow}, as SCALE-Sim counts"
    notes = ["folds one after another, no stalls", *topology_notes(config, layers)]
    return f"{head}\n\n{text_table(HEAD, [*rows, total], left=1)}\n\n" + "\n".join(
        f"note: {note}" for note in notes
    )


def scalesim_document(config: ScaleSimConfig, layers: Sequence[ScaleSimLayer]) -> ScaleSimDocument:
    """The same for --json: every layer's counts, as SCALE-Sim makes them (docs/json.md)."""
    found: list[ScaleSimLayerDocument] = []
    for layer in layers:
        counts = _counts(config, layer)
        found.append(
            {
                "name": layer.name,
                "m": layer.m,
                "n": layer.n,
                "k": layer.k,
                "times": layer.times,
                "batch": layer.batch,
                "cycles": int(counts["cycles"]),
                "util": counts["util"],
                "mapping_efficiency": counts["mapping_efficiency"],
                "sram_ifmap_reads": int(counts["sram_ifmap_reads"]),
                "sram_filter_reads": int(counts["sram_filter_reads"]),
                "sram_ofmap_writes": int(counts["sram_ofmap_writes"]),
            }
        )
    return {
        "schema": "hwsim.scalesim/1",
        "machine": config.name,
        "rows": config.rows,
        "columns": config.columns,
        "dataflow": config.dataflow,
        "notes": topology_notes(config, layers),
        "cycles": sum(row["cycles"] for row in found),
        "layers": found,
    }


def compute_report(config: ScaleSimConfig, layers: Sequence[ScaleSimLayer]) -> str:
    """The csv, one line a layer; stalls are those of memories that keep up, none."""
    lines = [CSV_HEAD]
    for layer in layers:
        count = _counts(config, layer)
        for _ in range(layer.times):
            lines.append(
                f"{len(lines) - 1}, {count['cycles'] / layer.times:.0f}, 0, {count['util']}, "
                f"{count['mapping_efficiency']}, "
                f"{count['util']},"
            )
    return "\n".join(lines) + "\n"
