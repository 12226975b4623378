"""Next line: a miss brings the line behind it too.

As Smith describes it (Cache Memories, ACM Computing Surveys 14(3), 1982): prefetch on a miss.
"""

from __future__ import annotations

from hwsim.describe.prefetchers import PREFETCHERS, Notes, Prefetcher


def ahead(notes: Notes, first: int, stream: int, line: int, missed: int) -> int:
    return line + 1 if missed else -1


PREFETCHERS.register("next-line")(
    Prefetcher("the line behind one that missed", words=lambda _: 0, ahead=ahead)
)
