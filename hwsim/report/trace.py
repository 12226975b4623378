"""A run as Chrome trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing open: one row
a port, array and stall.

Format: "Trace Event Format", Google, 2016; complete events ("ph": "X"), times in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from hwsim.results.result import LayerResult, Result, StageResult
from hwsim.results.timeline import Timeline

Event = dict[str, Any]
LAYERS, COMPUTE, STALLS = 0, 1, 2  # rows; every port has one after them


def trace_text(result: Result) -> str:
    """The run as one JSON document."""
    rows: dict[str, int] = {"layers": LAYERS, "compute": COMPUTE, "stalls": STALLS}
    events = list(_run_events(result, rows))
    names: list[Event] = [
        {
            "ph": "M",
            "name": "process_name",
            "pid": 1,
            "args": {"name": f"{result.workload} on {result.machine}"},
        }
    ]
    names += [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": {"name": name}}
        for name, row in rows.items()
    ]
    return json.dumps({"traceEvents": [*names, *events], "displayTimeUnit": "ns"})


def _run_events(result: Result, rows: dict[str, int]) -> Iterator[Event]:
    now = 0.0
    for layer in result.layers:
        yield _event(
            layer.name,
            LAYERS,
            now,
            now + layer.seconds * 1e6,
            {"algorithm": layer.algorithm, "shape": layer.shape},
        )
        for stage in layer.online:
            yield from _stage_events(layer, stage, now, rows)
            now += stage.seconds * 1e6


def _stage_events(
    layer: LayerResult, stage: StageResult, start: float, rows: dict[str, int]
) -> Iterator[Event]:
    scale = 1e6 / stage.clock_hz
    name = f"{layer.name}: {stage.name}"
    if stage.timeline is None:
        yield from _summary(name, stage, start, scale)
        return
    for direction, spans in (("in", stage.timeline.loads), ("out", stage.timeline.stores)):
        for tensor, times in spans.items():
            if len(times):
                row = rows.setdefault(f"{stage.dram}: {tensor} {direction}", len(rows))
                yield from (
                    _event(
                        f"{tensor} {direction}",
                        row,
                        start + begin * scale,
                        start + end * scale,
                        {"tile": tile},
                    )
                    for tile, (begin, end) in enumerate(times.tolist())
                )
    yield from (
        _event(name, COMPUTE, start + begin * scale, start + end * scale, {"step": step})
        for step, (begin, end) in enumerate(stage.timeline.steps.tolist())
    )
    yield from _stalls(stage.timeline, stage, start, scale)


def _stalls(timeline: Timeline, stage: StageResult, start: float, scale: float) -> Iterator[Event]:
    """What the array waits for between steps: what was critical meanwhile, and at the end what its
    last results need to leave."""
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
            yield _event(f"wait: {cause}", STALLS, start + since * scale, start + until * scale, {})
            at += 1
    last = max(over, float(ends[-1]))
    if stage.cycles.total > last:
        yield _event(
            "wait: results leave",
            STALLS,
            start + last * scale,
            start + stage.cycles.total * scale,
            {},
        )


def _summary(name: str, stage: StageResult, start: float, scale: float) -> Iterator[Event]:
    """A stage without a timeline of its own: its computing, then its stalls one after another."""
    now = start + stage.cycles.compute * scale
    yield _event(name, COMPUTE, start, now, {"fidelity": stage.fidelity})
    for cause, cycles in stage.cycles.stall.items():
        yield _event(f"wait: {cause}", STALLS, now, now + cycles * scale, {})
        now += cycles * scale


def _event(name: str, row: int, start: float, end: float, args: Event) -> Event:
    return {
        "name": name,
        "ph": "X",
        "pid": 1,
        "tid": row,
        "ts": round(start, 6),
        "dur": round(end - start, 6),
        "args": args,
    }
