"""The report's plots: the only place that draws."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hwsim.report.roofline import Roof, roofs
from hwsim.results.result import Result

WIDTH_INCHES = 4.9  # narrow enough that text stays readable on a phone
COLORS = ("#3366aa", "#ee7733", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#777777", "#000000")
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.fonttype": "none",
    "svg.hashsalt": "hwsim",
    "legend.frameon": False,
    "figure.dpi": 100,
    "font.family": "sans-serif",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
}


def plots(results: Sequence[Result]) -> dict[str, Figure]:
    """{name: figure} of a comparison: time, multiplications (all, by layer), DRAM, footprint,
    roofline."""
    with plt.rc_context(STYLE):
        return {
            "time": _bars(
                results, "Time for the whole network", "milliseconds", lambda r: r.seconds * 1e3
            ),
            "multiplications": _bars(
                _once(results),
                "General multiplications",
                "billions",
                lambda r: r.counts.multiplies / 1e9,
            ),
            "layers": _layers(_once(results)),
            "dram": _bars(
                results,
                "DRAM traffic against the least possible",
                "multiples of compulsory bytes",
                lambda r: r.dram_ratio,
            ),
            "footprint": _footprints(results),
            "roofline": _rooflines(results),
        }


def svg(figure: Figure) -> str:
    """The figure as SVG text without its XML prologue, fit to stand inside a page."""
    buffer = io.StringIO()
    with plt.rc_context(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
    return buffer.getvalue()


def close(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        plt.close(figure)


def _once(results: Sequence[Result]) -> list[Result]:
    """One result an algorithm: multiplications do not depend on the machine."""
    return list({result.algorithm: result for result in reversed(results)}.values())[::-1]


def _bars(
    results: Sequence[Result], title: str, unit: str, value: Callable[[Result], float]
) -> Figure:
    """Horizontal bars grouped by machine, a color an algorithm, each labelled with its value."""
    one = len({result.machine for result in results}) == 1 or len(results) == len(
        {r.algorithm for r in results}
    )
    groups = (
        {}
        if one
        else {
            result.machine: [r for r in results if r.machine == result.machine]
            for result in results
        }
    )
    groups = groups or {"": list(results)}
    algorithms = list(dict.fromkeys(result.algorithm for result in results))
    height = 1.1 + 0.27 * len(results) + 0.3 * len(groups)
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")
    place, ticks = 0.0, []
    for machine, members in groups.items():
        start = place
        for result in members:
            size = value(result)
            axes.barh(place, size, height=0.82, color=_color(algorithms, result.algorithm))
            axes.annotate(
                f"{result.algorithm}  {size:.3g}",
                (size, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
            place += 1
        ticks.append(((start + place - 1) / 2, machine))
        place += 0.9
    axes.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set_xlim(0, max(value(result) for result in results) * 1.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit)
    axes.set_title(title)
    return figure


def _layers(results: Sequence[Result]) -> Figure:
    """Multiplications of every layer that multiplies, algorithms side by side; those with equal
    counts share a bar."""
    names = [layer.name for layer in results[0].layers if layer.macs]
    bars: dict[tuple[float, ...], list[str]] = {}
    for result in results:
        bars.setdefault(
            tuple(layer.operations.multiplies / 1e6 for layer in result.layers if layer.macs), []
        ).append(result.algorithm)
    algorithms = [result.algorithm for result in results]
    thick = 0.84 / len(bars)
    figure, axes = plt.subplots(
        figsize=(WIDTH_INCHES, 1.1 + len(names) * (0.11 * len(bars) + 0.08)), layout="constrained"
    )
    for number, (counts, members) in enumerate(bars.items()):
        places = [place + (number - (len(bars) - 1) / 2) * thick for place in range(len(names))]
        axes.barh(
            places,
            counts,
            height=thick,
            color=_color(algorithms, members[0]),
            label=", ".join(members),
        )
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("millions")
    axes.set_title("General multiplications, layer by layer")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8.5)
    return figure


def _color(algorithms: list[str], name: str) -> str:
    return COLORS[algorithms.index(name) % len(COLORS)]


def _footprints(results: Sequence[Result]) -> Figure:
    """The largest share of each on-chip memory that any layer uses, algorithm by algorithm."""
    rows = [
        (f"{result.machine}  {part}", result.algorithm, size / result.capacities[part])
        for result in results
        for part, size in result.footprint_bytes.items()
    ]
    names = list(dict.fromkeys(name for name, _, _ in rows))
    algorithms = list(dict.fromkeys(result.algorithm for result in results))
    figure, axes = plt.subplots(
        figsize=(WIDTH_INCHES, 1.4 + 0.42 * len(names)), layout="constrained"
    )
    for name, algorithm, share in rows:
        offset = (algorithms.index(algorithm) - (len(algorithms) - 1) / 2) * 0.16
        axes.plot(
            share * 100,
            names.index(name) + offset,
            "o",
            markersize=6,
            color=_color(algorithms, algorithm),
        )
    for algorithm in algorithms:
        axes.plot([], [], "o", color=_color(algorithms, algorithm), label=algorithm)
    axes.axvline(100, color="#444444", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 108)
    axes.set_xlabel("% of capacity, in the layer that needs most")
    axes.set_title("Footprint against capacity")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.4, -0.16 - 0.3 / max(len(names), 1)),
        ncols=2,
        fontsize=8.5,
    )
    return figure


def _rooflines(results: Sequence[Result]) -> Figure:
    """One panel a machine: its roof, and every layer of every algorithm on or below it."""
    machines = list(dict.fromkeys(result.machine for result in results))
    algorithms = list(dict.fromkeys(result.algorithm for result in results))
    figure, grid = plt.subplots(
        len(machines),
        1,
        figsize=(WIDTH_INCHES, 2.9 * len(machines)),
        layout="constrained",
        squeeze=False,
    )
    for axes, machine in zip(grid[:, 0], machines, strict=True):
        _roofline(
            axes,
            roofs([result for result in results if result.machine == machine]),
            machine,
            algorithms,
        )
    grid[-1, 0].set_xlabel("multiplications per byte of DRAM traffic")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=_color(algorithms, name), label=name)
        for name in algorithms
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(3, len(algorithms)), fontsize=8.5
    )
    return figure


def _roofline(axes: Axes, roof: Roof, machine: str, algorithms: list[str]) -> None:
    low, high = roof.span
    corner = roof.peak / roof.bandwidth
    axes.loglog(
        [low, corner, max(high, corner * 2)],
        [low * roof.bandwidth / 1e9, roof.peak / 1e9, roof.peak / 1e9],
        color="#444444",
        linewidth=1.4,
    )
    for point in roof.points:
        axes.plot(
            point.intensity,
            point.rate / 1e9,
            "o",
            markersize=5,
            alpha=0.75,
            markeredgewidth=0,
            color=_color(algorithms, point.algorithm),
        )
    axes.annotate(
        f"peak {roof.peak / 1e12:.3g} T/s",
        (max(high, corner * 2), roof.peak / 1e9),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color="#444444",
    )
    axes.set_title(f"{machine}: every layer under its roof")
    axes.set_ylabel("G multiplications/s")


def tiling_plot(
    footprints: Sequence[int],
    accesses: Sequence[int],
    front: Sequence[tuple[int, int]],
    title: str,
    budget: tuple[str, int] | None = None,
) -> Figure:
    """Footprint against DRAM accesses of tiled products, with the Pareto front and a memory's
    capacity in words."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH_INCHES, 3.4))
        axes.scatter(footprints, accesses, s=9, color="#b8c4d6", label="tiles tried", linewidths=0)
        axes.step(
            [x for x, _ in front],
            [y for _, y in front],
            where="post",
            color=COLORS[0],
            marker="o",
            markersize=3.5,
            label="Pareto front",
        )
        if budget is not None:
            axes.axvline(
                budget[1],
                color=COLORS[1],
                linestyle="--",
                label=f"{budget[0]}, {budget[1]:,} words",
            )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="footprint: words of A, B and C tiles",
            ylabel="DRAM accesses, words",
            title=title,
        )
        axes.legend(loc="lower left", fontsize=8)
        return figure
