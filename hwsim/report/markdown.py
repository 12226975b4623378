"""The comparison report as Markdown: what the page says, with its pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hwsim.errors import printable
from hwsim.report.answer import Answer, Standing
from hwsim.report.charts import Chart, Shown, title_of
from hwsim.report.counts import COUNTS_HEAD, counts_row
from hwsim.report.tables import (
    COMPARE_HEAD,
    DRAM_REUSE_HEAD,
    LAYER_HEAD,
    comparison_rows,
    dram_reuse_row,
    footnotes,
    layer_row,
)

if TYPE_CHECKING:
    from hwsim.results.comparison import Comparison


def markdown(
    comparison: Comparison,
    drawn: Mapping[str, Chart],
    shown: Shown,
    found: Answer,
    command: str,
) -> str:
    """The report without its pictures inside."""
    lines = [
        f"# {inert(comparison.workload.name)}: {_number(comparison.machines, 'machine')}, "
        f"{_number(shown.variants, 'variant')}",
        "",
        f"**{inert(found.headline)}**",
        "",
    ]
    lines += [f"- {inert(line)}" for line in found.because] + [""]
    lines += _markdown_table(STANDING_HEAD, [standing_row(each) for each in found.standings])
    lines += ["## How far to believe it", "", *(f"- {inert(line)}" for line in found.care), ""]
    lines += ["## All runs", ""]
    lines += _markdown_table(COMPARE_HEAD, comparison_rows(comparison.results))
    lines += [f"- {inert(note)}" for note in footnotes(comparison)] + [""]
    lines += ["## Charts", ""]
    for name, chart in drawn.items():
        title = title_of(chart, shown.best)
        lines += [f"![{inert(title)}]({name}.svg)\n\n{chart.caption}\n"]
    lines += [
        "## Operations",
        "",
        *_markdown_table(COUNTS_HEAD, [counts_row(result) for result in comparison.results]),
    ]
    for result in comparison.results:
        lines += [f"## {inert(result.machine)}, {inert(result.variant)}", ""]
        lines += _markdown_table(LAYER_HEAD, [layer_row(layer) for layer in result.layers])
        lines += _markdown_table(
            DRAM_REUSE_HEAD,
            [dram_reuse_row(layer) for layer in result.layers if layer.operations.multiplies],
        )
    lines += [f"`{printable(command).replace('`', chr(39))}`", ""] if command else []
    return "\n".join(lines) + "\n"


def _number(things: Sequence[object], name: str) -> str:
    """1 machine, 2 machines."""
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"


STANDING_HEAD = [
    "machine",
    "best",
    "type",
    "time an image",
    "images/s",
    "energy",
    "power",
    "of peak multiplications",
    "of DRAM bandwidth",
    "most of its time",
    "would help most",
]


def standing_row(each: Standing) -> list[str]:
    """Cells of STANDING_HEAD."""
    return [
        each.best.machine,
        each.variants,
        each.best.dtype,
        each.time_text,
        each.rate_text,
        each.energy_text,
        f"{each.best.watts:.3g} W",
        f"{each.compute:.0%}",
        f"{each.memory:.0%}",
        each.most_time,
        each.helps_text,
    ]


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        f"| {' | '.join(row)} |"
        for row in (head, ["---"] * len(head), *([inert(cell) for cell in row] for row in rows))
    ] + [""]


MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")


def inert(text: str) -> str:
    """A user's words in Markdown, escaped so that they stand as they are.

    Characters that mean something there are escaped.

    Words of letters, digits, dots and dashes are left alone.
    """
    text = " ".join(printable(text).split())
    if PLAIN_WORDS.fullmatch(text):
        return text
    return (
        MARKDOWN.sub(r"\\\1", text)
        .replace("&", "&amp;")
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
    )


PLAIN_WORDS = re.compile(r"[\w .,:;%/()'=?~-]*")
