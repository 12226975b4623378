"""A fused pair of layers: as text of 80 columns, and as plain data."""

from __future__ import annotations

import textwrap
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from hwsim.describe.units import si, size_text
from hwsim.report.text_table import LAST, WIDTH, text_table
from hwsim.results.schemas import BlocksDocument, FusedPairDocument, PairChoiceDocument

if TYPE_CHECKING:
    from hwsim.choose.layer_pairs import Choice, FusedPair

SCHEMA: Final = "hwsim.fused-pair/1"
ROWS = 12  # of the curve, where it has more
BAR = 20
HEAD = ["room", "DRAM", "again", "rows x cols", "channels", "halo", "filters", ""]


def pair_text(fused: FusedPair) -> str:
    """The best way that fits, beside the layers by themselves, and the curve."""
    first, second = fused.names
    by = {"dram": "DRAM traffic", "latency": "time"}[fused.objective]
    title = f"{first} and {second} fused on {fused.machine.name}, for {by}"
    best = fused.best
    parts = [*textwrap.wrap(title, WIDTH), ""]
    if best is None:
        parts += [*textwrap.wrap(f"nothing fits: {fused.lacking}", WIDTH), ""]
    else:
        parts += [*_loops(fused, best), "", *_beside(fused, best), ""]
    parts += _curve(fused)
    if fused.keeper:
        note = (
            f"note: {fused.keeper} keeps maps from layer to layer while they fit; the layers by "
            "themselves then send none through DRAM"
        )
        parts += ["", *textwrap.wrap(note, WIDTH, subsequent_indent="  ")]
    return "\n".join(parts)


def _loops(fused: FusedPair, best: Choice) -> list[str]:
    """The loops of the best choice, each with its number of steps."""
    pair, blocks = fused.pair, best.blocks
    second, names = pair.second, fused.names
    again = "kept" if blocks.keep_between else "computed again"
    loaded = "kept" if blocks.keep_input else "loaded again"
    streams = [
        name
        for name, stays in zip(names, (blocks.first_stays, blocks.second_stays), strict=True)
        if not stays
    ]
    return [
        _loop(0, "n", second.n, blocks.images),
        _loop(1, "p", second.p, blocks.rows),
        _loop(2, "q", second.q, blocks.cols),
        f"      load what is missing of {names[0]}'s input; its halo is {loaded}",
        _loop(3, "k", pair.first.k, blocks.channels),
        *([f"        load the filters of {' and '.join(streams)}"] if streams else []),
        f"        {names[0]} into the chip; its halo is {again}",
        f"        {names[1]} from there, added to its block of outputs",
        "      store the block of outputs",
    ]


def _loop(depth: int, dim: str, bound: int, tile: int) -> str:
    steps = -(-bound // tile)
    return f"{'  ' * depth}for {dim} x{steps} step {tile}"


def _beside(fused: FusedPair, best: Choice) -> list[str]:
    """The pair beside its layers by themselves."""
    head = ["", "DRAM", "cycles at least", "products"]
    needed = fused.pair.first.macs + fused.pair.second.macs
    rows = [["fused", size_text(best.dram_bytes), f"{best.cycles:,.0f}", si(best.products)]]
    rows.append(["  every word once", size_text(fused.fused_least), "", ""])
    if fused.apart is not None:
        moved, cycles = fused.apart
        rows.append(["apart, mapped", size_text(moved), f"{cycles:,.0f} (run)", si(needed)])
    rows.append(["  every word once", size_text(fused.apart_least), "", ""])
    held = ", ".join(f"{HELD_TEXT[what]} {size_text(size)}" for what, size in best.held.items())
    return [
        text_table(head, rows, left=1),
        "",
        *([] if fused.apart is None else [*textwrap.wrap(OF_A_RUN, WIDTH), ""]),
        *textwrap.wrap(f"held: {size_text(best.room)}: {held}", WIDTH, subsequent_indent="  "),
    ]


OF_A_RUN = (
    "(run): simulated, of the mappings of least DRAM traffic, which need not be the quickest; the "
    "fused pair's cycles are a bound, so the two are not to be divided."
)
HELD_TEXT = {
    "input": "input",
    "between": "between",
    "first": "first filters",
    "second": "second filters",
    "output": "output",
}


def _curve(fused: FusedPair) -> list[str]:
    """Choices by the room that they take, on a chip of any size."""
    curve = _some(fused.curve)
    most = max(choice.dram_bytes for choice in curve)
    rows = []
    for choice in curve:
        blocks = choice.blocks
        bar = "#" * max(1, round(BAR * choice.dram_bytes / most))
        rows.append(
            [
                size_text(choice.room),
                size_text(choice.dram_bytes),
                f"{choice.again:.0%}" if choice.again > 0 else "",
                f"{blocks.rows}x{blocks.cols}",
                str(blocks.channels),
                "keep" if blocks.keep_between else "redo",
                {2: "stay", 1: "one stays", 0: "stream"}[blocks.first_stays + blocks.second_stays],
                bar,
            ]
        )
    title = (
        f"DRAM traffic by room on the chip, {len(curve)} of {len(fused.curve)} choices"
        if len(curve) < len(fused.curve)
        else "DRAM traffic by room on the chip"
    )
    return [title, "", text_table(HEAD, rows, left=0, wrapped=LAST)]


def _some(curve: Sequence[Choice]) -> list[Choice]:
    """Evenly by room's logarithm, both ends among them."""
    if len(curve) <= ROWS:
        return list(curve)
    ratio = (curve[-1].room / curve[0].room) ** (1 / (ROWS - 1))
    aims = [curve[0].room * ratio**step for step in range(ROWS)]
    rooms = [choice.room for choice in curve]
    places = [max(bisect_right(rooms, aim) - 1, 0) for aim in aims[:-1]]
    return [curve[place] for place in dict.fromkeys([*places, len(curve) - 1])]


def pair_document(fused: FusedPair) -> FusedPairDocument:
    """The same as plain data (docs/json.md)."""
    return {
        "schema": SCHEMA,
        "machine": fused.machine.name,
        "layers": list(fused.names),
        "objective": fused.objective,
        "dtype": fused.dtype,
        "best": None if fused.best is None else _document(fused.best),
        "lacking": fused.lacking,
        "keeper": fused.keeper,
        "fused_least_dram_bytes": fused.fused_least,
        "apart_least_dram_bytes": fused.apart_least,
        "apart": (
            None
            if fused.apart is None
            else {"dram_bytes": fused.apart[0], "cycles": fused.apart[1]}
        ),
        "curve": [_document(choice) for choice in fused.curve],
    }


def _document(choice: Choice) -> PairChoiceDocument:
    return {
        "blocks": cast(BlocksDocument, choice.blocks._asdict()),
        "dram_bytes": choice.dram_bytes,
        "products": choice.products,
        "cycles_at_least": choice.cycles,
        "room_bytes": choice.room,
        "held_bytes": dict(choice.held),
    }
