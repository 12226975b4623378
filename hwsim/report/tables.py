"""A run or a comparison in plain text of at most 80 columns, and as HTML for notebooks."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from html import escape

from hwsim.algorithms import family_of
from hwsim.choose.kernels import KernelChoice
from hwsim.describe.units import seconds_text, si, size_text
from hwsim.ir.note import About, Note
from hwsim.report.sampled import fidelity_word, sampled_lines
from hwsim.report.text_table import LAST, WIDTH, Rows, text_table
from hwsim.results.comparison import Comparison
from hwsim.results.result import LayerResult, Result, resource_of
from hwsim.results.reuse import Reuse

TRANSFORMED = ("winograd", "fft")
MOST_CHOICES = 3  # of auto, with what each beat; more are said together
ONE_TENSOR = 0.8  # of a resource's stall: from this share on, the tensor is named

LAYER_HEAD = ["layer", "algorithm", "time", "util", "mult", "DRAM", "xmin", "waits for"]
COMPARE_HEAD = [
    "machine",
    "algorithm",
    "time",
    "util",
    "multiplies",
    "additions",
    "DRAM",
    "xmin",
    "workspace",
    "energy",
]
TERMINAL_HEAD = ["algorithm", "time", "multiply", "add", "DRAM", "workspace", "energy"]


def run_table(result: Result) -> str:
    """A run, layer by layer, equal ones on one line, with its total and its notes."""
    rows = [_group_row(layers) for layers in alike(result.layers)]
    if result.start_seconds:
        rows.insert(0, ["start", "", seconds_text(result.start_seconds), *[""] * 5])
    total = [
        "total",
        "",
        seconds_text(result.seconds),
        f"{result.utilization:.0%}",
        si(result.counts.multiplies),
        size_text(result.dram_bytes),
        f"{result.dram_ratio:.2f}",
        "",
    ]
    head = (
        f"{result.workload} on {result.machine}, {result.algorithm}, {result.dtype}, "
        f"{fidelity_word(result)}"
    )
    return "\n".join(
        [
            head,
            "",
            text_table(LAYER_HEAD, [_tight(row) for row in [*rows, total]], wrapped=LAST, gap=1),
            "",
            footprint_lines(result),
            energy_line(result),
            *pipeline_lines(result),
            *note_lines(result),
        ]
    )


def pipeline_lines(result: Result) -> list[str]:
    """What a pipeline over the layers makes of the times."""
    side = result.pipelined
    if side is None:
        return []
    return _wrap(
        f"pipelined over layers: an image every {seconds_text(side.interval)}, through in "
        f"{seconds_text(side.latency)}; "
        f"{min(side.units)} to {max(side.units)} units a layer"
    )


LEGEND = """time: from the first byte to the last result. conv2 x4 is four layers alike,
  their sum.
util: multiplications per cycle, as a share of the machine's peak.
mult: general multiplications, data times data.
DRAM: bytes read and written.
xmin: DRAM bytes as a multiple of the least possible: every input, weight and
  output once, but for maps that a buffer keeps from layer to layer (`keeps` of
  the machine).
waits for: what most of the time beyond computing is lost to, and its share of
  all time. On a GPU `waves of blocks` is what no resource is to blame for
  alone: barriers, results that leave, and SMs that idle behind the last wave.
exact, sampled: every step was counted, or a sample of them (the share that
  was)."""


def alike(layers: Sequence[LayerResult]) -> list[list[LayerResult]]:
    """Layers that are equal in all but their names, together, in the order of the first."""
    groups: dict[object, list[LayerResult]] = {}
    for layer in layers:
        key = (layer.shape, layer.algorithm, layer.seconds, layer.dram_bytes, layer.operations)
        groups.setdefault(key, []).append(layer)
    return list(groups.values())


def _group_row(layers: list[LayerResult]) -> list[str]:
    """Cells of LAYER_HEAD for layers alike: sums, and what they have in common."""
    first, times = layers[0], len(layers)
    row = layer_row(first)
    if times > 1:
        row[0] = f"{first.name} x{times}"
        row[2] = seconds_text(first.seconds * times)
        row[4] = si(first.operations.multiplies * times)
        row[5] = size_text(first.dram_bytes * times)
    return row


def _tight(row: list[str]) -> list[str]:
    """Numbers without the space before their unit: the last column's words need the room."""
    return [*row[:2], *(cell.replace(" ", "") for cell in row[2:-1]), row[-1]]


def layer_row(layer: LayerResult) -> list[str]:
    ratio = layer.dram_ratio
    return [
        layer.name,
        layer.algorithm,
        seconds_text(layer.seconds),
        f"{layer.utilization:.0%}",
        si(layer.operations.multiplies),
        size_text(layer.dram_bytes),
        f"{ratio:.2f}",
        main_stall(layer),
    ]


def main_stall(layer: LayerResult) -> str:
    """The resource that most of the time beyond computing is lost to, and its share.

    The share is of all time; a tensor is named if it is one.
    """
    total = layer.cycles.total
    if not total or not layer.cycles.stall:
        return "-"
    resource, lost = max(layer.cycles.by_resource.items(), key=lambda item: item[1])
    cause, most = max(
        layer.cycles.stall.items(), key=lambda item: (resource_of(item[0]) == resource, item[1])
    )
    return (
        f"{lost / total:.0%} {cause if most > ONE_TENSOR * lost else resource}"
        if lost > 0.02 * total
        else "-"
    )


def footprint_lines(result: Result) -> str:
    """Peak use of every on-chip part against its capacity."""
    lines = ["peak footprint, of one instance of each part:"]
    for part, size in result.footprint_bytes.items():
        capacity = result.capacities[part]
        lines.append(
            f"  {part:<16} {size_text(size):>10} of {size_text(capacity):>8} "
            f"({size / capacity:.0%})"
        )
    return "\n".join(lines)


def energy_line(result: Result) -> str:
    """Energy, what most of it goes to, and the energy-delay product."""
    total = sum(result.energy_pj.values())
    parts = sorted(result.energy_pj.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{name} {energy / total:.0%}" for name, energy in parts) if total else ""
    return f"energy: {energy_text(total)}: {shares}\nenergy x delay: {result.edp_js:.3g} Js"


def narrow_notes(results: Sequence[Result]) -> list[str]:
    """What rounding would do is not in a time."""
    narrow = {
        result.dtype
        for result in results
        for layer in result.layers
        if family_of(layer.algorithm) in TRANSFORMED and result.dtype.startswith(("int", "fp8"))
    }
    return [
        f"Winograd and FFT in {dtype} are timed as if their values fitted: transforms need more "
        f"bits (hwsim error)."
        for dtype in sorted(narrow)
    ]


def note_lines(result: Result) -> list[str]:
    """Notes, equal ones once with the layers they are about, and how the run was simulated.

    Many choices of auto are said together.
    """
    layers: dict[Note, list[str]] = {}
    for layer in result.layers:
        for note in layer.notes:
            layers.setdefault(note, []).append(layer.name)
    choices = [note for note in layers if note.about is About.CHOICE]
    together = choices if len(choices) > MOST_CHOICES else []
    lines = [
        f"note: {note} ({_some(names)})" for note, names in layers.items() if note not in together
    ]
    if together:
        lines.append(_chosen(result, {name for note in together for name in layers[note]}))
    kinds = dict.fromkeys(stage.fidelity for layer in result.layers for stage in layer.online)
    short = list(kinds)[:1] + ([f"and {len(kinds) - 1} more, see --json"] if len(kinds) > 1 else [])
    lines.append(f"fidelity: {'; '.join(short)}")
    lines += narrow_notes([result])
    lines += sampled_lines(result)
    lines += (
        [f"{result.machine}: {result.machine_fidelity.strip()}"] if result.machine_fidelity else []
    )
    return [piece for line in lines for piece in _wrap(line)]


def _chosen(result: Result, names: Collection[str]) -> str:
    """How many of these layers auto runs by each algorithm, and where it is said why."""
    taken = Counter(layer.algorithm for layer in result.layers if layer.name in names)
    by_algorithm = ", ".join(f"{name} for {many}" for name, many in taken.most_common())
    return (
        f"note: auto: of several that apply, {by_algorithm} of {sum(taken.values())} layers; "
        f"-l LAYER and --json say what each beat"
    )


def _some(names: list[str]) -> str:
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


def _wrap(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ")


def nest_text(result: Result) -> str:
    """Every stage's loop nest."""
    parts = []
    for layer in result.layers:
        for stage in layer.online:
            parts.append(f"\n{layer.name}: {stage.name}, {stage.dataflow}\n{stage.nest}")
    return "\n".join(parts)


KERNEL_HEAD = ["kernel", "time", "blocks", "at a time", "waits for"]


def kernels_text(found: Sequence[KernelChoice]) -> str:
    """Every product's fastest kernels by the closed form, and what a step of each waits for."""
    parts = []
    for choice in found:
        rows = [
            [
                str(timed.kernel),
                seconds_text(timed.cycles / choice.clock_hz),
                f"{timed.blocks:,}",
                f"{timed.at_a_time:,}",
                timed.waits_for,
            ]
            for timed in choice.kernels
        ]
        name = choice.layer if choice.layer == choice.stage else f"{choice.layer}: {choice.stage}"
        table = text_table(KERNEL_HEAD, rows, left=1, wrapped=LAST)
        calls = f", called {choice.calls} times" if choice.calls > 1 else ""
        parts.append(f"\n{name}{calls}, kernels M x N x K x stages, the fastest first\n\n{table}")
    return "\n".join(parts) or "\nno product here runs a kernel of a library"


REUSE_HEAD = ["layer", "tensor", "level", "total", "conv", "fmap", "filter", "accum"]


def reuse_text(result: Result) -> str:
    """Uses of a word for each time it comes into a level, beside the most that the layer allows."""
    rows = []
    for layer in result.layers:
        for stage in layer.online:
            for tensor, reuse in stage.reuse.items():
                if stage.operations.multiplies:
                    rows.append([layer.name, tensor, "ideal", *_factors(reuse.ideal)])
                    rows += [
                        ["", "", level, *_factors(factors)]
                        for level, factors in reuse.achieved.items()
                    ]
    title = "reuse: multiplications for each word that comes into a level"
    return "\n".join(["", title, "", text_table(REUSE_HEAD, rows, left=3)])


DRAM_REUSE_HEAD = ["reuse at DRAM", "activations", "weights", "outputs"]


def dram_reuse_row(layer: LayerResult) -> list[str]:
    """Uses of a word each time it crosses the DRAM pins.

    They are of the layer's stage that multiplies most.
    """
    stage = max(layer.online, key=lambda stage: stage.operations.multiplies)
    cells = []
    for tensor, reuse in stage.reuse.items():
        reached = reuse.achieved.get(stage.dram)
        cells.append(
            f"{tensor} {'on chip' if reached is None else f'{reached.total:,.0f}'} of "
            f"{reuse.ideal.total:,.0f}"
        )
    return [layer.name, *(cells + [""] * 3)[:3]]


def _factors(reuse: Reuse) -> list[str]:
    return [
        "-" if value is None else f"{value:,.4g}" if value < 1e4 else si(value)
        for value in (
            reuse.total,
            reuse.convolutional,
            reuse.fmap,
            reuse.filter,
            reuse.accumulation,
        )
    ]


ENERGIES = (("J", 1e12), ("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3), ("pJ", 1.0))


def energy_text(pj: float) -> str:
    """Picojoules in the unit in which they are a number of one to three digits."""
    unit, size = next((pair for pair in ENERGIES if pj >= pair[1]), ENERGIES[-1])
    return f"{pj / size:.3g} {unit}"


def comparison_rows(results: Sequence[Result]) -> Rows:
    """Cells of COMPARE_HEAD."""
    return [
        [
            result.machine,
            result.variant,
            seconds_text(result.seconds),
            f"{result.utilization:.0%}",
            si(result.counts.multiplies),
            si(result.counts.additions),
            size_text(result.dram_bytes),
            f"{result.dram_ratio:.2f}",
            size_text(result.workspace_bytes),
            energy_text(sum(result.energy_pj.values())),
        ]
        for result in results
    ]


def comparison_table(comparison: Comparison) -> str:
    """One line a variant under each machine, then the answer and what did not apply."""
    from hwsim.report.answer import answer

    rows: Rows = []
    for cells in comparison_rows(comparison.results):
        machine, variant, time, _, multiplies, additions, moved, _, workspace, energy = cells
        if all(row[0] != machine for row in rows):
            rows.append([machine, *[""] * (len(TERMINAL_HEAD) - 1)])
        rows.append([f"  {variant}", time, multiplies, additions, moved, workspace, energy])
    found = answer(comparison)
    lines = [piece for line in found.sentences for piece in _wrap(line)]
    notes = [piece for note in footnotes(comparison) for piece in _wrap(f"note: {note}")]
    return "\n".join(
        [text_table(TERMINAL_HEAD, rows, left=1), "", *lines, *(["", *notes] if notes else [])]
    )


def footnotes(comparison: Comparison) -> list[str]:
    """What did not apply, and what libraries do otherwise."""
    results = comparison.results
    sampled = [
        f"{result.machine} with {result.variant}, {line}"
        for result in results
        for line in sampled_lines(result)
    ]
    return [
        *comparison.left_out,
        *sampled,
        *library_notes(results),
        *dataflow_notes(results),
        *fallback_notes(results),
    ]


def dataflow_notes(results: Sequence[Result]) -> list[str]:
    """Which dataflows that were asked for do not schedule which layers, machine by machine."""
    layers: dict[tuple[str, str], dict[str, None]] = {}
    for result in results:
        for layer, note in _notes([result], About.DATAFLOW):
            layers.setdefault((result.machine, str(note)), {})[layer.name] = None
    return [f"{machine}: {note} ({_some(list(own))})" for (machine, note), own in layers.items()]


def fallback_notes(results: Sequence[Result]) -> list[str]:
    """Why algorithms did not apply, each reason once.

    It comes with the algorithms and the layers it is about.
    """
    layers: dict[tuple[str, str], dict[str, None]] = {}
    for layer, note in _notes(results, About.FALLBACK):
        layers.setdefault((note.algorithm, note.text), {})[layer.name] = None
    names: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (name, reason), own in layers.items():
        names.setdefault((reason, tuple(own)), []).append(name)
    return [
        f"{', '.join(algorithms)} {'does' if len(algorithms) == 1 else 'do'} not apply: {reason} "
        f"({_some(list(own))})"
        for (reason, own), algorithms in names.items()
    ]


def library_notes(results: Sequence[Result]) -> list[str]:
    """What a GPU's library does otherwise than the textbook, each once.

    It comes with the algorithms it is about.
    """
    found: dict[str, dict[str, None]] = {}
    for layer, note in _notes(results, About.LIBRARY):
        found.setdefault(str(note), {})[layer.algorithm] = None
    return [f"{note} ({', '.join(algorithms)})" for note, algorithms in found.items()]


def _notes(results: Sequence[Result], about: About) -> Iterator[tuple[LayerResult, Note]]:
    """The notes of a kind, each with its layer."""
    for result in results:
        for layer in result.layers:
            for note in layer.notes:
                if note.about is about:
                    yield layer, note


def html_table(results: Sequence[Result]) -> str:
    """The comparison as an HTML table."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in COMPARE_HEAD)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in comparison_rows(results)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
