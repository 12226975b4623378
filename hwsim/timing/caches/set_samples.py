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
ASKED = slice(READS, WRITES + 1)
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

    def estimated(self, stats: Ints) -> tuple[Floats, Floats]:
        """(lines [level, tensor, kind] of all sets, lines [level] that its figures may be off).

        stats [1 + groups, level, tensor, kind]: first the look-ups of the first level, in all sets;
        then what was counted in each group, the look-ups of all of them in the first. The second
        leaves UNSEEN lines out.
        """
        walked, whole = self.lines[:, :-1], self.lines[:, -1]
        per_line = stats[1:].sum(axis=0) / np.maximum(walked.sum(axis=1), 1)[None, :, None]
        lines = per_line * whole[None, :, None]
        off = self._off(stats, lines, stats[1:] - per_line * walked.T[:, None, :, None])
        lines[0, :, ASKED] = stats[0, 0, :, ASKED]
        return lines, off

    def _off(self, stats: Ints, lines: Floats, over: Floats) -> Floats:
        """over: counts of each group, beyond what its lines are expected to have."""
        spread = over[:, :, :, ASKED].std(axis=0, ddof=1).sum(axis=1)  # [level, READS or WRITES]
        error = RESIDUES * np.sqrt((1 - self.share) / self.count) * spread.max(axis=1)
        return np.asarray(STANDARD_ERRORS * error + _uneven(stats, lines))


def _uneven(stats: Ints, lines: Floats) -> Floats:
    """Lines [level] that come of arrays whose look-ups are not spread over sets as their lines are.

    How many look-ups each array has is known. Of those that are as many within two times, misses
    are as far off; of the others each look-up that the sample does not have may be a miss.
    """
    known = stats[0, 0, :, ASKED].sum(axis=1)
    found = lines[0, :, ASKED].sum(axis=1)
    alike = (found <= 2 * known) & (known <= 2 * found)
    share = np.abs(found - known) / np.maximum(known, 1)
    off = lines[:, :, ASKED].sum(axis=2) * np.where(alike, share, 0.0)
    return np.asarray(off.sum(axis=1) + np.where(alike, 0, np.maximum(known - found, 0)).sum())


def can_be_sampled(caches: Sequence[tuple[str, Cache]], by_kind: bool) -> bool:
    """Do lines stay within their residue's sets at every level?

    by_kind: misses are told apart by a cache of one set, so that they do not.
    """
    return not by_kind and why_not_sampled(caches) is None


def why_not_sampled(caches: Sequence[tuple[str, Cache]]) -> str | None:
    """Why no sample of the sets of some caches shows what all of them do; None where it does.

    How soon sets miss again, which a cache with `set_busy` asks, does not show in some of them.
    """
    for name, cache in caches:
        if cache.sets % RESIDUES:
            return f"{name} has {cache.sets} sets, not a multiple of {RESIDUES}"
        if cache.prefetcher != NONE:
            return f"{name} prefetches lines of other sets"
        if cache.set_busy:
            return f"{name} waits for sets that miss again soon (set_busy)"
    return None


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
