"""A validation report as text, 80 columns wide."""

from __future__ import annotations

import textwrap

from hwsim.report.text_table import WIDTH, text_table
from hwsim.validate import Report, Score

HEAD = ["metric", "group", "rows", "exact", "mean", "median", "largest"]


def validation_text(report: Report) -> str:
    """Scores by metric, then by group, then the worst rows."""
    rows = [_row(metric, "all", score) for metric, score in report.metrics.items()]
    rows += [_row(*scored) for scored in report.grouped()]
    lines = [f"{report.name}: {report.rows} rows", text_table(HEAD, rows, wrapped=1)]
    said = [
        f"worst: {pair.row}: {pair.metric} {pair.modelled:g}, data {pair.expected:g} "
        f"({pair.error:.1%} off)"
        for pair in report.worst
    ]
    for text in (*said, *report.remarks):
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def _row(metric: str, group: str, score: Score) -> list[str]:
    return [
        metric,
        group,
        str(score.n),
        str(score.exact),
        f"{score.mean_abs_rel_err:.2%}",
        f"{score.median_abs_rel_err:.2%}",
        f"{score.max_abs_rel_err:.2%}",
    ]
