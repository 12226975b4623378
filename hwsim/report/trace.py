"""A run as a timeline, for Perfetto (ui.perfetto.dev).

There is a row for each port, the array and what it waits for, and counters of DRAM's rate and of
the tiles in the buffers.

Two formats: Perfetto's own, a protobuf (file .pftrace), and Chrome's trace events (any other name).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwsim.report.trace_formats import Count, Slice, chrome, perfetto
from hwsim.results.result import LayerResult, Result, StageResult
from hwsim.results.timeline import Timeline

LAYERS, COMPUTE, STALLS = "layers", "compute", "stalls"
NATIVE = (".pftrace", ".perfetto-trace")


def trace_content(result: Result, path: Path) -> str | bytes:
    """The run in the format that the file's name asks for."""
    events = [*_run_events(result)]
    name = f"{result.workload} on {result.machine}"
    return perfetto(name, events) if path.suffix in NATIVE else chrome(name, events)


def _run_events(result: Result) -> Iterator[Slice | Count]:
    now = 0.0
    for layer in result.layers:
        about = {"algorithm": layer.algorithm, "shape": layer.shape}
        yield Slice(LAYERS, layer.name, now, now + layer.seconds * 1e6, about)
        for stage in layer.online:
            yield from _stage_events(layer, stage, now)
            now += stage.seconds * 1e6


def _stage_events(layer: LayerResult, stage: StageResult, start: float) -> Iterator[Slice | Count]:
    scale = 1e6 / stage.clock_hz
    name = f"{layer.name}: {stage.name}"
    if stage.timeline is None:
        yield from _summary(name, stage, start, scale)
        return
    for direction, spans in (("in", stage.timeline.loads), ("out", stage.timeline.stores)):
        for tensor, times in spans.items():
            row = f"{stage.dram}: {tensor} {direction}"
            for tile, (begin, end) in enumerate(times.tolist()):
                about = {"tile": tile}
                yield Slice(
                    row, f"{tensor} {direction}", start + begin * scale, start + end * scale, about
                )
    for step, (begin, end) in enumerate(stage.timeline.steps.tolist()):
        yield Slice(COMPUTE, name, start + begin * scale, start + end * scale, {"step": step})
    yield from _stalls(stage.timeline, stage, start, scale)
    yield from _counters(stage.timeline, stage, start, scale)


def _counters(
    timeline: Timeline, stage: StageResult, start: float, scale: float
) -> Iterator[Count]:
    """DRAM's rate while tiles move, and how many tiles of each tensor have room in the buffers."""
    spans = [*timeline.loads.values(), *timeline.stores.values()]
    moved = [*timeline.load_bytes.values(), *timeline.store_bytes.values()]
    rates = [
        bytes_ / np.maximum(times[:, 1] - times[:, 0], 1e-12) * stage.clock_hz / 1e9
        for times, bytes_ in zip(spans, moved, strict=True)
    ]
    both = np.concatenate(spans), np.concatenate(rates)
    yield from _steps(f"{stage.dram} GB/s", "GB/s", *both, start, scale)
    for tensor, times in timeline.held.items():
        ones = np.ones(len(times))
        yield from _steps(f"tiles of {tensor} held", "tiles", times, ones, start, scale)


def _steps(
    row: str,
    unit: str,
    spans: npt.NDArray[np.float64],
    heights: npt.NDArray[np.float64],
    start: float,
    scale: float,
) -> Iterator[Count]:
    """The sum of heights over spans, wherever it changes."""
    times = np.concatenate([spans[:, 0], spans[:, 1]])
    changes = np.concatenate([heights, -heights])
    order = np.argsort(times, kind="stable")
    places, first = np.unique(times[order], return_index=True)
    sums = np.add.reduceat(changes[order], first).cumsum() if len(first) else np.zeros(0)
    for place, value in zip(places.tolist(), sums.tolist(), strict=True):
        yield Count(row, unit, start + place * scale, round(value, 9) + 0.0)


def _stalls(timeline: Timeline, stage: StageResult, start: float, scale: float) -> Iterator[Slice]:
    """What the array waits for between steps: what was critical meanwhile.

    At the end it is what its last results need to leave.
    """
    ends = np.concatenate([[0.0], timeline.steps[:, 1]])
    begins = np.append(timeline.steps[:, 0], stage.cycles.total)
    path = sorted(
        (begin, end, cause)
        for cause, spans in timeline.critical.items()
        for begin, end in spans.tolist()
        if end > begin
    )
    number, over = 0, max((end for _, end, _ in path), default=0.0)
    for begin, end in zip(ends.tolist(), begins.tolist(), strict=True):
        while number < len(path) and path[number][1] <= begin:
            number += 1
        at = number
        while at < len(path) and path[at][0] < end:
            since, until, cause = max(begin, path[at][0]), min(end, path[at][1]), path[at][2]
            yield Slice(STALLS, f"wait: {cause}", start + since * scale, start + until * scale)
            at += 1
    last = max(over, float(ends[-1]))
    if stage.cycles.total > last:
        end = start + stage.cycles.total * scale
        yield Slice(STALLS, "wait: results leave", start + last * scale, end)


def _summary(name: str, stage: StageResult, start: float, scale: float) -> Iterator[Slice]:
    """A stage without a timeline of its own: its computing, then its stalls one after another."""
    now = start + stage.cycles.compute * scale
    yield Slice(COMPUTE, name, start, now, {"fidelity": stage.fidelity})
    for cause, cycles in stage.cycles.stall.items():
        yield Slice(STALLS, f"wait: {cause}", now, now + cycles * scale)
        now += cycles * scale
