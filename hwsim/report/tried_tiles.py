"""Tiles of several sizes, simulated, as a table: hwsim tile --search."""

from __future__ import annotations

import textwrap

from hwsim.choose.tiled import Tried
from hwsim.describe.units import si
from hwsim.report.text_table import WIDTH, text_table
from hwsim.report.tiling import cores_text, served, units_text


def tried_text(tried: Tried) -> str:
    """A row for each size; what is the least of its column, but not in all rows, has a star."""
    done = [tried.values(run) for _, run in tried.runs if not isinstance(run, str)]
    columns = list(zip(*done, strict=True))
    rows, notes = [], []
    for tiled, run in tried.runs:
        size = f"{tiled.v1},{tiled.v2},{tiled.v3}"
        fits = "yes" if tiled.footprint <= tried.words else "no"
        nearest, *texts = served(run, tried.levels)
        if isinstance(run, str):
            notes.append(f"{size}: {run}")
        else:
            stars = [
                "*" if value == min(column) < max(column) else ""
                for value, column in zip(tried.values(run), columns, strict=True)
            ]
            texts = [text + star for text, star in zip(texts, stars, strict=True)]
        rows.append([size, fits, si(sum(tiled.loads)), nearest, *texts])
    head = ["v1,v2,v3", "fits", "words in", tried.levels[0], *tried.columns]
    what = (
        f"tiles of other sizes, simulated{cores_text(tried.machine)}; fits: into {tried.memory}, "
        f"else words are loaded one by one; a star: the least of its column. "
        f"{units_text(tried.machine, tried.levels)}"
    )
    lines = [line for note in (what, *notes) for line in textwrap.wrap(note, WIDTH)]
    return "\n".join(["", *lines, "", text_table(head, rows, left=1)])
