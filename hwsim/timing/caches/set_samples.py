"""A sample of the sets of all caches, walked in place of all sets.

    line % 64    0 1 2 3 4 5 6 7 | 8 9 ...     two residues of each eight are walked; look-ups of
                 x     x         |             the other lines are counted, and no more

Every cache has a multiple of 64 sets, so that all lines of a set have one residue, and a line has
it at every level. What a set holds depends on the lines of its own residue alone. The sets that
are walked are therefore exact, and stand for the others: of each buffer the lines that are walked
for all its lines. That is a ratio estimate, whose standard error is Cochran's (Sampling Techniques,
1977, chapter 6). Sampling of sets is Kessler's, Hill's and Wood's (IEEE Transactions on Computers,
1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.describe.prefetchers import NONE
from hwsim.parts.cache import Cache
from hwsim.timing.caches.look_ups import READS, WRITES, Ints

RESIDUES = 64
# two of each eight, at every place in an eight twice; one of each was not enough, as the sets of a
# small first cache may be of few kinds
WALKED = (0, 3, 12, 15, 18, 21, 25, 30, 33, 36, 40, 45, 51, 54, 58, 63)
STANDARD_ERRORS = 8.0  # that a figure may be off
UNSEEN = 2 * RESIDUES  # lines that it may be off besides
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class SetSample:
    """groups[residue]: its group, from 1 on; 0 where it is not walked.

    lines[buffer, group]: lines of each buffer that are walked in a group; last all of them.
    """

    groups: Ints
    lines: Ints

    @property
    def count(self) -> int:
        """Groups."""
        return int(self.groups.max())

    @property
    def share(self) -> float:
        """Of all sets that are walked."""
        return self.count / RESIDUES

    def estimated(self, stats: Ints) -> tuple[Floats, float]:
        """(lines [level, tensor, kind] of all sets, how far any level's figure may be off).

        stats [1 + groups, level, tensor, kind]: first the look-ups of the first level, in all sets;
        then what was counted in each group, the look-ups of all of them in the first. The second is
        relative to the lines that a level is asked for and given, and leaves UNSEEN of them out.
        """
        walked, whole = self.lines[:, :-1], self.lines[:, -1]
        per_line = stats[1:].sum(axis=0) / np.maximum(walked.sum(axis=1), 1)[None, :, None]
        lines = per_line * whole[None, :, None]
        error = self._error(stats, lines, stats[1:] - per_line * walked.T[:, None, :, None])
        lines[0, :, : WRITES + 1] = stats[0, 0, :, : WRITES + 1]
        return lines, error

    def _error(self, stats: Ints, lines: Floats, over: Floats) -> float:
        """over: counts of each group, beyond what its lines are expected to have."""
        asked = slice(READS, WRITES + 1)
        spread = over[:, :, :, asked].std(axis=0, ddof=1).sum(axis=1)  # [level, READS or WRITES]
        error = RESIDUES * np.sqrt((1 - self.share) / self.count) * spread
        moved = lines[:, :, asked].sum(axis=(1, 2))
        looked_up = max(int(stats[0, 0, :, asked].sum()), 1)
        uneven = abs(moved[0] / looked_up - 1)
        relative = error.max(axis=1)[1:] / np.maximum(moved[1:], 1)
        return float(STANDARD_ERRORS * relative.max() + uneven)


def can_be_sampled(caches: Sequence[tuple[str, Cache]], by_kind: bool) -> bool:
    """Do lines stay within their residue's sets at every level?

    by_kind: misses are told apart by a cache of one set, so that they do not.
    """
    return not by_kind and all(
        cache.sets % RESIDUES == 0 and cache.prefetcher == NONE for _, cache in caches
    )


def set_sample(buffers: Sequence[tuple[int, int]]) -> SetSample:
    """The sample for buffers of lines: (first line, lines)."""
    rows = [
        [*(_lines_of(residue, first, count) for residue in WALKED), count]
        for first, count in buffers
    ]
    groups = np.zeros(RESIDUES, np.int64)
    groups[list(WALKED)] = np.arange(1, len(WALKED) + 1)
    return SetSample(groups, np.array(rows, np.int64))


def _lines_of(residue: int, first: int, count: int) -> int:
    """Lines of [first, first + count) of one residue."""

    def before(line: int) -> int:
        return (line - residue + RESIDUES - 1) // RESIDUES

    return before(first + count) - before(first)
