"""A split in the terminal and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from hwsim.chips.split import Option, Split, chips_text
from hwsim.describe.units import seconds_text, size_text
from hwsim.report.text_table import LAST, WIDTH, text_table
from hwsim.results.schemas import SplitDocument, SplitOptionDocument

HEAD = ["tensor", "pipe", "data", "micro", "time", "of 1", "memory", "waits for"]


def split_text(found: Split, most: int) -> str:
    """The quickest options, and what the best one does."""
    lines = [piece for line in _summary(found) for piece in textwrap.wrap(line, WIDTH)]
    shown = found.options[:most]
    more = len(found.options) - len(shown)
    rest = f"\nand {more} more, see --top" if more else ""
    table = text_table(HEAD, [_row(found, option) for option in shown], left=0, wrapped=LAST)
    notes = [piece for line in _notes() for piece in textwrap.wrap(line, WIDTH)]
    return "\n".join([*lines, "", table + rest, "", *notes])


def layers_text(option: Option) -> str:
    """How every layer of the best option is split, alike neighbours on one line."""
    rows: list[list[str]] = []
    for number, stage in enumerate(option.stages, 1):
        for one in stage.layers:
            moves = one.way.collective or ("all-gather" if one.moving else "")
            name = one.name.partition(" (")[0]
            row = [
                *([f"{number}"] if len(option.stages) > 1 else []),
                name,
                one.way.name,
                seconds_text(one.computing),
                seconds_text(one.moving) if one.moving else "",
                moves,
                one.way.layer.summary,
            ]
            if row not in rows:
                rows.append(row)
    head = ["layer", "split by", "time", "moving", "by", "a chip's part"]
    if len(option.stages) > 1:
        head.insert(0, "stage")
    return text_table(head, rows, left=len(head) - 4, wrapped=LAST)


def _summary(found: Split) -> Iterator[str]:
    system, best = found.system, found.best
    yield (
        f"{found.workload.name} on {system.name}: {chips_text(system)} {system.chip}, "
        f"{system.topology}, {found.dtype}, batch {found.workload.batch}"
    )
    if not best.fits:
        yield (
            f"Nothing fits: a chip has {size_text(best.capacity)}, the least that is needed is "
            f"{size_text(min(option.memory for option in found.options))}."
        )
        return
    alone = f"one chip would take {seconds_text(found.alone.seconds)}"
    fits = (
        ""
        if found.alone.fits
        else f", if its {size_text(found.alone.capacity)} held {size_text(found.alone.memory)}"
    )
    yield (
        f"Quickest: {_name(best)}: {seconds_text(best.seconds)}, "
        f"{found.speedup(best):.3g} times as quick as one chip ({alone}{fits})."
    )


def _name(option: Option) -> str:
    parts = {"tensor": option.tensor, "pipeline": option.pipeline, "data": option.data}
    named = [f"{name} {number}" for name, number in parts.items() if number > 1]
    if option.pipeline > 1:
        named.append(f"{option.microbatches} microbatches")
    return ", ".join(named) or "one chip"


def _row(found: Split, option: Option) -> list[str]:
    shares = {name: share for name, share in option.shares.items() if share >= 0.005}
    waits = ", ".join(f"{share:.0%} {name}" for name, share in shares.items())
    return [
        f"{option.tensor}",
        f"{option.pipeline}",
        f"{option.data}",
        f"{option.microbatches}",
        seconds_text(option.seconds),
        f"{found.speedup(option):.2f}x",
        size_text(option.memory),
        waits if option.fits else f"does not fit: {waits}",
    ]


def _notes() -> Iterator[str]:
    yield (
        "time: of the whole batch. memory: weights, keys and values of the chip with most. waits "
        "for: shares of the time, of the slowest stage's chips."
    )
    yield "Collectives are not hidden behind layers. --layers shows how each layer is split."


def split_document(found: Split) -> SplitDocument:
    """Every option, quickest first, and the layers of the best."""
    return {
        "schema": "hwsim.split/1",
        "system": found.system.name,
        "chip": found.system.chip,
        "chips": found.system.chips,
        "topology": found.system.topology,
        "workload": found.workload.name,
        "dtype": found.dtype,
        "batch": found.workload.batch,
        "one_chip_seconds": found.alone.seconds,
        "options": [_option(found, option) for option in found.options],
        "best_stages": [
            [
                {
                    "layer": one.name,
                    "split_by": one.way.name,
                    "gives": one.way.gives,
                    "collective": one.way.collective,
                    "computing_seconds": one.computing,
                    "moving_seconds": one.moving,
                }
                for one in stage.layers
            ]
            for stage in found.best.stages
        ],
    }


def _option(found: Split, option: Option) -> SplitOptionDocument:
    return {
        "tensor": option.tensor,
        "pipeline": option.pipeline,
        "data": option.data,
        "microbatches": option.microbatches,
        "seconds": option.seconds,
        "speedup": found.speedup(option),
        "memory_bytes": option.memory,
        "fits": option.fits,
        "shares": option.shares,
    }
