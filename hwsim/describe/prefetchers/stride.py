"""Stride: a stream that stepped twice by the same number of lines goes on so.

As the reference prediction table of Chen and Baer (IEEE Transactions on Computers 44(5), 1995),
with a row for each stream. Two words each: the last line, and twice the step to it, which no word
is before the first step.
"""

from __future__ import annotations

from hwsim.describe.prefetchers import PREFETCHERS, Notes, Prefetcher

ROW = 2


def ahead(notes: Notes, first: int, stream: int, line: int, missed: int) -> int:
    row = first + ROW * stream
    before, twice = notes[row], notes[row + 1]
    if line == before:
        return -1
    notes[row] = line
    if before < 0:
        return -1
    step = line - before
    notes[row + 1] = 2 * step
    return int(line + step) if 2 * step == twice else -1


PREFETCHERS.register("stride")(
    Prefetcher("where a stream that steps evenly goes next", lambda streams: ROW * streams, ahead)
)
