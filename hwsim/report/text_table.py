"""Plain-text tables of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 80
LEAST_WORDS = 12  # columns of a last column of words
Rows = list[list[str]]


def text_table(
    head: Sequence[str], rows: Rows, left: int = 2, words_last: bool = False, gap: int = 2
) -> str:
    """Aligned columns; the first `left` to the left, numbers to the right; cut at WIDTH.

    A last column of words is wrapped, never cut.
    """
    widths = [max(len(row[column]) for row in [list(head), *rows]) for column in range(len(head))]
    if words_last:
        before = sum(widths[:-1]) + gap * len(widths[:-1])
        widths[-1] = min(widths[-1], max(LEAST_WORDS, WIDTH - before))
    between = " " * gap
    lines = []
    rule = ["-" * width for width in widths]
    for row in [list(head), rule, *rows]:
        *cells, last = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if not words_last:
            line = between.join([*cells, last]).rstrip()
            lines.append(
                line[:WIDTH] if row is rule or len(line) <= WIDTH else f"{line[: WIDTH - 1]}\u2026"
            )
            continue
        first, *more = textwrap.wrap(row[-1], widths[-1]) or [""]
        lines.append(between.join([*cells, first]).rstrip())
        lines += [" " * (sum(widths[:-1]) + gap * len(cells)) + piece for piece in more]
    return "\n".join(lines)
