"""Plain-text tables of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 80
LEAST_WORDS = 12  # columns of a column of words
LAST = -1
Rows = list[list[str]]


def text_table(
    head: Sequence[str], rows: Rows, left: int = 2, wrapped: int | None = None, gap: int = 2
) -> str:
    """Aligned columns; the first `left` to the left, numbers to the right; cut at WIDTH.

    wrapped: the number of a column of words, LAST for the last, which is wrapped so that none is
    cut.
    """
    widths = [max(len(row[column]) for row in [list(head), *rows]) for column in range(len(head))]
    words = None if wrapped is None else range(len(head))[wrapped]
    if words is not None:
        others = sum(widths) - widths[words] + gap * (len(widths) - 1)
        widths[words] = min(widths[words], max(LEAST_WORDS, WIDTH - others))
    lines = []
    rule = ["-" * width for width in widths]
    for row in [list(head), rule, *rows]:
        cells = [[cell] for cell in row]
        if words is not None:
            cells[words] = textwrap.wrap(row[words], widths[words]) or [""]
        for number in range(max(len(pieces) for pieces in cells)):
            line = (
                (" " * gap)
                .join(
                    piece.ljust(width) if column < left or column == words else piece.rjust(width)
                    for column, (piece, width) in enumerate(
                        zip([_at(pieces, number) for pieces in cells], widths, strict=True)
                    )
                )
                .rstrip()
            )
            lines.append(
                line if len(line) <= WIDTH or row is rule else f"{line[: WIDTH - 1]}\u2026"
            )
    return "\n".join(line[:WIDTH] for line in lines)


def _at(pieces: Sequence[str], number: int) -> str:
    return pieces[number] if number < len(pieces) else ""
