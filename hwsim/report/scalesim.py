"""A topology as SCALE-Sim reports it: a table, and a csv with the columns of its COMPUTE_REPORT."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.report.tables import text_table
from hwsim.sim.scalesim import scalesim_counts
from hwsim.spec.layer import DENSE
from hwsim.spec.scalesim import ScaleSimConfig, ScaleSimLayer
from hwsim.units import si

HEAD = ["layer", "cycles", "util", "mapping", "ifmap reads", "filter reads", "ofmap writes"]
CSV_HEAD = "LayerID, Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, Compute Util %,"


def _counts(config: ScaleSimConfig, layer: ScaleSimLayer) -> dict[str, float]:
    """SCALE-Sim's numbers of one layer; util: products over cells and cycles, in percent."""
    counts = scalesim_counts(layer.m, layer.n, layer.k, config.rows, config.columns, config.dataflow)
    util = 100 * layer.m * layer.n * layer.k / (config.rows * config.columns * (counts["cycles"] + 1))
    repeated = {name: value * layer.times for name, value in counts.items() if name != "mapping_efficiency"}
    return {**counts, **repeated, "util": util}


def scalesim_text(config: ScaleSimConfig, layers: Sequence[ScaleSimLayer]) -> str:
    """Every layer and their total, in SCALE-Sim's conventions (hwsim.sim.scalesim)."""
    counts = [_counts(config, layer) for layer in layers]
    rows = [[layer.name, f"{count['cycles']:.0f}", f"{count['util']:.1f}%", f"{count['mapping_efficiency']:.1f}%",
             *(si(count[f"sram_{name}"]) for name in ("ifmap_reads", "filter_reads", "ofmap_writes"))]
            for layer, count in zip(layers, counts, strict=True)]
    total = ["total", f"{sum(count['cycles'] for count in counts):.0f}", "", "",
             *(si(sum(count[f"sram_{name}"] for count in counts)) for name in ("ifmap_reads", "filter_reads", "ofmap_writes"))]
    head = f"{config.name}: {config.rows}x{config.columns}, {config.dataflow}, as SCALE-Sim counts"
    sparse = [layer.name for layer in layers if getattr(layer.layer, "density", DENSE) != DENSE]
    notes = ["folds one after another, no stalls", *([f"sparsity is not counted: {', '.join(sparse)}"] if sparse else [])]
    return f"{head}\n\n{text_table(HEAD, [*rows, total], left=1)}\n\n" + "\n".join(f"note: {note}" for note in notes)


def compute_report(config: ScaleSimConfig, layers: Sequence[ScaleSimLayer]) -> str:
    """The csv, one line a layer; stalls are those of memories that keep up, none."""
    lines = [CSV_HEAD]
    for layer in layers:
        count = _counts(config, layer)
        for _ in range(layer.times):
            lines.append(f"{len(lines) - 1}, {count['cycles'] / layer.times:.0f}, 0, {count['util']}, {count['mapping_efficiency']}, "
                         f"{count['util']},")
    return "\n".join(lines) + "\n"
