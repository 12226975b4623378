"""The comparison report: one self-contained page, a Markdown twin, tables and plots."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.describe.units import seconds_text, si, size_text
from hwsim.errors import printable
from hwsim.report.files import write_file
from hwsim.report.style import stylesheet
from hwsim.report.tables import (
    COMPARE_HEAD,
    DRAM_REUSE_HEAD,
    LAYER_HEAD,
    comparison_rows,
    dram_reuse_row,
    fallback_notes,
    layer_row,
    library_notes,
)
from hwsim.results.document import comparison_document
from hwsim.results.result import Result

if TYPE_CHECKING:
    from hwsim.results.comparison import Comparison

CAPTIONS = {
    "time": "Whole network, layer after layer; every layer starts with its data in DRAM, or where "
    "the chip keeps it.",
    "multiplications": "Data times data only. Constants of the transforms, shifts and additions "
    "are in the table of counts.",
    "layers": "Winograd's tiles share products between outputs; where a map is no multiple of the "
    "tile, edge tiles are computed whole.",
    "dram": "1 means that every input, weight and output crossed the DRAM pins exactly once.",
    "footprint": "Peak of one instance of each explicit memory, double buffers included.",
    "roofline": "A point is a layer. On the slope it waits for DRAM, under the flat part for "
    "something else.",
}


def report_files(comparison: Comparison, command: str) -> dict[str, str | bytes]:
    """{file name: content} of a report folder."""
    from hwsim.report import plots

    figures = plots.plots(comparison.results)
    try:
        drawings = {name: plots.svg(figure) for name, figure in figures.items()}
        files: dict[str, str | bytes] = {
            f"{name}.svg": '<?xml version="1.0" encoding="utf-8"?>\n' + text
            for name, text in drawings.items()
        }
        files.update({f"{name}.png": plots.png(figure) for name, figure in figures.items()})
    finally:
        plots.close(figures)
    files["report.html"] = render(comparison, drawings, command)
    files["report.md"] = markdown(comparison, command)
    files["results.csv"] = csv_text(comparison.results)
    files["results.json"] = json.dumps(comparison_document(comparison.results), indent=1) + "\n"
    return files


def write_html(comparison: Comparison, path: Path) -> None:
    """The page alone."""
    content = report_files(comparison, "")["report.html"]
    write_file(path, content)


def render(comparison: Comparison, drawings: dict[str, str], command: str) -> str:
    """Fill the page's template."""
    import jinja2

    template = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        comparison=comparison,
        drawings=[(name, text, CAPTIONS[name]) for name, text in drawings.items()],
        command=command,
        style=stylesheet(),
        head=COMPARE_HEAD,
        rows=comparison_rows(comparison.results),
        layer_head=LAYER_HEAD,
        layer_row=layer_row,
        reuse_head=DRAM_REUSE_HEAD,
        reuse_row=dram_reuse_row,
        counts_head=COUNTS_HEAD,
        counts=[counts_row(result) for result in comparison.results],
        findings=[*findings(comparison.results), *_beside(comparison.results)],
        size_text=size_text,
    )


COUNTS_HEAD = ["machine", "algorithm", "multiplies", "constant", "shifts", "additions", "effectual"]


def _beside(results: tuple[Result, ...]) -> list[str]:
    """What has to be said beside the findings."""
    return [*library_notes(results), *fallback_notes(results)]


def counts_row(result: Result) -> list[str]:
    counts = result.counts
    numbers = (
        counts.multiplies,
        counts.constant_multiplies,
        counts.shifts,
        counts.additions,
        counts.effectual_multiplies,
    )
    return [result.machine, result.algorithm, *(si(number) for number in numbers)]


def findings(results: tuple[Result, ...]) -> list[str]:
    """The comparison in sentences: the fastest on each machine, and what the rest pay."""
    lines = []
    for machine in dict.fromkeys(result.machine for result in results):
        own = sorted(
            (result for result in results if result.machine == machine),
            key=lambda result: result.seconds,
        )
        best, worst = own[0], own[-1]
        text = f"{machine}: {best.algorithm} is fastest, {seconds_text(best.seconds)}"
        if worst.seconds > 1.005 * best.seconds:
            text += f"; {worst.algorithm} takes {worst.seconds / best.seconds:.2f} times as long"
        least = min(own, key=lambda result: result.dram_bytes)
        text += f"; {least.algorithm} moves the least DRAM data, {size_text(least.dram_bytes)}."
        lines.append(text)
    return lines


def markdown(comparison: Comparison, command: str) -> str:
    """The report without its pictures inside."""
    lines = [
        f"# {inert(comparison.workload.name)}: {len(comparison.machines)} machines, "
        f"{len(comparison.algorithms)} algorithms",
        "",
    ]
    lines += [f"`{printable(command).replace('`', chr(39))}`", ""] if command else []
    lines += [
        f"- {inert(finding)}"
        for finding in (*findings(comparison.results), *_beside(comparison.results))
    ] + [""]
    lines += _markdown_table(COMPARE_HEAD, comparison_rows(comparison.results))
    lines += [f"![{name}]({name}.svg)\n\n{caption}\n" for name, caption in CAPTIONS.items()]
    lines += [
        "## Counts",
        "",
        *_markdown_table(COUNTS_HEAD, [counts_row(result) for result in comparison.results]),
    ]
    for result in comparison.results:
        lines += [f"## {inert(result.machine)}, {inert(result.algorithm)}", ""]
        lines += _markdown_table(LAYER_HEAD, [layer_row(layer) for layer in result.layers])
        lines += _markdown_table(
            DRAM_REUSE_HEAD,
            [dram_reuse_row(layer) for layer in result.layers if layer.operations.multiplies],
        )
    return "\n".join(lines) + "\n"


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        f"| {' | '.join(row)} |"
        for row in (head, ["---"] * len(head), *([inert(cell) for cell in row] for row in rows))
    ] + [""]


MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def inert(text: str) -> str:
    """A user's words in Markdown: characters that mean something there are escaped, so that they
    stand as they are.

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


PLAIN_WORDS = re.compile(r"[\w .,:;%/()~-]*")


def _cell(value: object) -> object:
    """A csv's cell that no spreadsheet takes for a formula; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


CSV_HEAD = [
    "machine",
    "workload",
    "algorithm",
    "dtype",
    "layer",
    "used_algorithm",
    "cycles",
    "seconds",
    "multiplies",
    "constant_multiplies",
    "shifts",
    "additions",
    "effectual_multiplies",
    "dram_read_bytes",
    "dram_write_bytes",
    "compulsory_bytes",
    "utilization",
    "energy_pj",
    "notes",
]


def csv_text(results: tuple[Result, ...]) -> str:
    """One line a layer."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for result in results:
        for layer in result.layers:
            counts = layer.operations
            words = [
                result.machine,
                result.workload,
                result.algorithm,
                result.dtype,
                layer.name,
                layer.algorithm,
            ]
            numbers = [
                round(layer.cycles.total, 3),
                f"{layer.seconds:.9g}",
                counts.multiplies,
                counts.constant_multiplies,
                counts.shifts,
                counts.additions,
                counts.effectual_multiplies,
                layer.dram_read_bytes,
                layer.dram_write_bytes,
                layer.compulsory_bytes,
                f"{layer.utilization:.6g}",
                f"{sum(layer.energy_pj.values()):.9g}",
            ]
            writer.writerow(
                [*(_cell(word) for word in words), *numbers, _cell("; ".join(layer.notes))]
            )
    return buffer.getvalue()
