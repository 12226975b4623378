"""A design's counts in the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from hwsim.foreign.timeloop.design import Design
from hwsim.report.text_table import text_table
from hwsim.results.schemas import TimeloopDocument

THEIRS = ["level", "tensor", "copies", "tile", "reads", "fills", "updates"]
MOVED = ["level", "tensor", "fills", "serves", "updates", "drains"]


def design_text(design: Design) -> str:
    """Cycles, then a line a level and tensor: as Timeloop counts, and as words move."""
    theirs = [
        [
            level,
            tensor,
            f"{own.instances}",
            *(f"{words:,}" for words in (own.tile_size, own.reads, own.fills, own.updates)),
        ]
        for (level, tensor), own in _in_order(design)
    ]
    moved = [
        [
            level,
            tensor,
            *(f"{words:,}" for words in (own.fills, own.serves, own.updates, own.drains)),
        ]
        for (level, tensor), own in ((key, design.exact.of(*key)) for key, _ in _in_order(design))
    ]
    stage = design.nest.stage
    lines = [
        f"{stage.name}: {stage.iterations:,} products, {design.cycles:,} cycles, "
        f"{design.utilization:.1%} of {design.levels[-1].instances} multipliers",
        "",
        "As Timeloop counts, words of one copy:",
        "",
        text_table(THEIRS, theirs),
        "",
        "What moves, words of all copies together:",
        "",
        text_table(MOVED, moved),
    ]
    if design.passed_over:
        lines += ["", f"passed over: {', '.join(design.passed_over)}"]
    return "\n".join(lines)


def _in_order(design: Design) -> list[tuple[tuple[str, str], Any]]:
    order = [level.name for level in design.memories]
    return sorted(design.theirs.items(), key=lambda entry: order.index(entry[0][0]))


def design_document(design: Design) -> TimeloopDocument:
    """Cycles, utilization, and every level's counts."""
    return {
        "schema": "hwsim.timeloop/1",
        "problem": design.nest.stage.name,
        "products": design.nest.stage.iterations,
        "cycles": design.cycles,
        "utilization": design.utilization,
        "multipliers": design.levels[-1].instances,
        "passed_over": list(design.passed_over),
        "levels": [
            {
                "level": level,
                "tensor": tensor,
                "timeloop_per_instance": vars(own),
                "exact_all_instances": vars(design.exact.of(level, tensor)),
            }
            for (level, tensor), own in _in_order(design)
        ],
    }
