"""The documentation's page of trust: every table of `hwsim validate`, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.validate import CHECKS, Report, Score

OPENING = """# How far to trust it

Every table below is what `hwsim validate NAME` prints: hwsim's number beside one that somebody
else measured, published or counted. *exact* is how many are equal. Errors are relative to the data.
`python benchmarks/trust.py` writes this page and reference/errors.yaml, from which a report states
its error.

What hwsim says of a *count* can be checked to the integer, and is. What it says of *time* is a
model: believe an order that it gives when the lead is larger than the error of that kind of
machine.

## What is not modelled

- **CPUs**: prefetchers, the clock under heat or vectors, other programs.
- **GPUs**: the clock under a power limit, partitions of the L2, stream-K, and what a compiler makes
  of a kernel written by hand.
- **Accelerators**: configuration time, and DRAM turning between reads and writes.
- **Energy**: leakage, clocks, wires and control.
- **Networks**: the host's time between layers, but for the launches that are stated.

[The design](design.md) has each of them with how far off it is.
"""
GLANCE = "| check | number | rows | off |\n|---|---|---|---|"
HEAD = "| metric | group | rows | exact | median | mean | worst |\n|---|---|---|---|---|---|---|"


def trust_page(reports: Sequence[Report]) -> str:
    """Opening, all checks at a glance, what is not modelled, and a table for each check."""
    glance = [row for report in reports for row in _glance(report)]
    parts = [OPENING, "## At a glance\n", GLANCE, *glance, "", *map(_section, reports)]
    return "\n".join(parts)


def _glance(report: Report) -> list[str]:
    """A line for each number that a check is about."""
    lines: list[str] = []
    for metric, score in report.metrics.items():
        off = (
            "all exact"
            if score.exact == score.n
            else f"{score.mean_abs_rel_err:.1%} off on average, {score.max_abs_rel_err:.0%} at most"
        )
        name = f"[{report.name}](#{report.name})" if not lines else ""
        lines.append(f"| {name} | {metric.replace('_', ' ')} | {score.n} | {off} |")
    return lines


def _section(report: Report) -> str:
    check = CHECKS[report.name]
    rows = [_row(metric, "all", score) for metric, score in report.metrics.items()]
    groups = [_row(*scored) for scored in report.grouped()]
    worst = [
        f"- {pair.row}: {pair.metric} {pair.modelled:g}, data {pair.expected:g} "
        f"({pair.error:.1%} off)"
        for pair in report.worst[:3]
        if pair.error
    ]
    folded = [
        '<details markdown="1"><summary>By group</summary>',
        "",
        HEAD,
        *groups,
        "",
        "</details>",
    ]
    furthest = ["", "Furthest off:", "", *worst] if worst else []
    lines = [
        f"## {report.name}",
        "",
        f"{check.summary[0].upper()}{check.summary[1:]}. Data: `reference/{check.file}`.",
        "",
        HEAD,
        *rows,
        *(["", *folded] if groups else []),
        *furthest,
        *[f"\n{remark}" for remark in report.remarks],
        "",
    ]
    return "\n".join(lines)


def _row(metric: str, group: str, score: Score) -> str:
    shares = (score.median_abs_rel_err, score.mean_abs_rel_err, score.max_abs_rel_err)
    cells = [metric.replace("_", " "), group, str(score.n), str(score.exact)]
    return "| " + " | ".join([*cells, *(f"{share:.1%}" for share in shares)]) + " |"
