"""Stride: a stream that stepped twice by the same number of lines goes on so.

As the reference prediction table of Chen and Baer (IEEE Transactions on Computers 44(5), 1995),
with a row for each stream. Two words each: the last line, and the step to it.
"""

from __future__ import annotations

from hwsim.describe.prefetchers import PREFETCHERS, Notes, Prefetcher

ROW = 2


def ahead(notes: Notes, first: int, stream: int, line: int, missed: int) -> int:
    row = first + ROW * stream
    before, step = notes[row], notes[row + 1]
    if line == before:
        return -1
    notes[row] = line
    notes[row + 1] = line - before
    return int(line + step) if before >= 0 and line - before == step else -1


PREFETCHERS.register("stride")(
    Prefetcher("where a stream that steps evenly goes next", lambda streams: ROW * streams, ahead)
)
