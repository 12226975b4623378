"""Stages one after another on one machine, with what comes from DRAM fetched ahead.

It is fetched across the stages' borders (decoupled access and execute).

stage 0:  load load load          stage 1:  load load
          work work work                    work work

                     ->           load load load load load
                                       work work work work work
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwsim.timing.explicit.pipeline import Stream, Work


def chained(works: Sequence[Work], ends: Sequence[float]) -> Work:
    """One pipeline of all the stages' steps.

    The tiles of a memory and role follow each other through its buffers.

    ends: cycles after each stage's last step until its results are there, which the next stage
    waits for; a step of its own.
    """
    begin = np.cumsum([0, *(len(work.cycles) + 1 for work in works)])
    lanes: dict[str, list[Stream]] = {}
    for work, offset in zip(works, begin.tolist(), strict=False):
        for number, stream in enumerate(work.streams):
            lane = stream.lane or stream.tensor
            lane += (
                f" {number}"
                if lane in {other.lane or other.tensor for other in work.streams[:number]}
                else ""
            )
            later = replace(stream, first=stream.first + offset, last=stream.last + offset)
            lanes.setdefault(lane, []).append(later)
    cycles = np.concatenate(
        [np.append(work.cycles, end) for work, end in zip(works, ends, strict=True)]
    )
    gaps = np.concatenate([np.append(work.gaps, 0.0) for work in works])
    streams = [_joined(name, each) for name, each in lanes.items()]
    return Work(streams, cycles, gaps, works[0].port, max(work.results for work in works))


def _together(last: npt.NDArray[np.int64]) -> int:
    """The most tiles that are freed at one step: parts of one tile, which lie side by side."""
    return int(np.unique(last, return_counts=True)[1].max(initial=1))


def _joined(name: str, streams: Sequence[Stream]) -> Stream:
    first, last, bytes_in, bytes_out, settling = (
        np.concatenate([getattr(stream, field) for stream in streams])
        for field in ("first", "last", "bytes_in", "bytes_out", "settling")
    )
    return Stream(
        name,
        max(min(stream.buffers for stream in streams), _together(last)),
        first,
        last,
        bytes_in,
        bytes_out,
        settling,
        name,
    )
