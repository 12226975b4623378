"""Loop orders, tiles, padding and direct convolutions on one Zen 3 core, scalar and vectorised.

What the compiler makes of each loop is part of its schedule: one multiply and one add at -O2 and
vectors along the loop that GCC 12 takes at -O3. Where the source accumulates in memory, -O2 loads
A's word at every step, as a store to C might have changed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import median
from typing import Any

from hwsim.describe.layer import ConvLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.errors import HwsimError
from hwsim.parts.core import with_cores
from hwsim.validate import CHECKS, Pair
from hwsim.validate.cpu_loops import VECTORS, convolution_seconds, product_seconds

SCALAR, VECTOR = "O2-scalar", "O3-native-fast"
SCHEDULES = {
    SCALAR: {
        "ijk": "order=ijk,fused=no",
        "ijk-bt": "order=ijk,fused=no",
        "ikj": "order=ikj,fused=no",
        "kij": "order=kij,fused=no,reloads=1",
        "jki": "order=jki,fused=no,reloads=1",
        "tiled": "order=ikj,tile={t}x{t}x{t},fused=no,reloads=1",
        "reg4x4": "order=kij,tile={n}x4x4,fused=no",
        "conv": "order=kpqcrs,fused=no",
        "conv-rows": "order=kpcrsq,fused=no",
    },
    VECTOR: {
        "ijk": f"order=ijk,vector=k,lanes=4,fused=no,{VECTORS}",
        "ijk-bt": f"order=ijk,vector=k,{VECTORS}",
        "ikj": f"order=ikj,vector=j,{VECTORS}",
        "kij": f"order=kij,vector=j,{VECTORS}",
        "jki": "order=jki",
        "tiled": f"order=ikj,tile={{t}}x{{t}}x{{t}},vector=j,{VECTORS}",
        "reg4x4": "order=ijk,registers=4x4x1,vector=j,lanes=4",
        "conv": "order=kpqcrs",
        "conv-rows": f"order=kpcrsq,vector=q,{VECTORS}",
    },
}
CONVOLUTION = re.compile(r"conv-c(\d+)-k(\d+)-h(\d+)-r(\d+)(-rows)?")
AGAINST = "ikj"  # the order that others are compared with
ORDERS = ("ijk", "ijk-bt", "kij", "jki")


class Zen3Loops:
    """What is scored of the loops.

    time: microseconds, each `opt` after one clock factor, as the clock is not known. order: time
    over that of ikj. padding: ijk's time over that with longer rows. fastest: what the loop that
    the model takes for the fastest of its n takes, against the fastest.
    """

    file = "zen3_loops.json"
    summary = "loop orders, tiles, padding and convolutions on one Zen 3 core"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = with_cores(load_machine("epyc-7763"), 1)
        rows = data["rows"]
        for opt in dict.fromkeys(row["opt"] for row in rows):
            members = [row for row in rows if row["opt"] == opt]
            times = [microseconds(row, machine) for row in members]
            factor = median(row["us"] / time for row, time in zip(members, times, strict=True))
            for row, time in zip(members, times, strict=True):
                groups = {"opt": opt, "loop": row["loop"].partition("-c")[0], "n": str(row["n"])}
                yield Pair(_label(row), "time", row["us"], time * factor, groups)
            yield from _ratios(members, times)
            yield from _fastest(members, times)


def _label(row: dict[str, Any]) -> str:
    tile = f" tile {row['tile']}" if row["tile"] else ""
    return f"{row['opt']} {row['loop']} n {row['n']} ld {row['ld']}{tile}"


def microseconds(row: dict[str, Any], machine: Machine) -> float:
    """What the model takes for a row, with warm caches.

    Raises HwsimError for a loop without a schedule.
    """
    loop, n, ld, tile = row["loop"], row["n"], row["ld"], row["tile"]
    if row["opt"] not in SCHEDULES:
        raise HwsimError(f"opt {row['opt']!r}; expected one of {', '.join(SCHEDULES)}")
    schedules = SCHEDULES[row["opt"]]
    shape = CONVOLUTION.fullmatch(loop)
    if shape:
        c, k, h, r = (int(size) for size in shape.groups()[:4])
        layer = ConvLayer(1, c, h, h, k, r, r)
        loops = schedules["conv-rows" if shape[5] else "conv"]
        return convolution_seconds(machine, loops, layer) * 1e6
    if loop not in schedules:
        raise HwsimError(f"loop {loop!r}; expected one of {', '.join(schedules)}")
    loops = schedules[loop].format(n=n, t=tile)
    return product_seconds(machine, loops, n, ld, tile, loop == "ijk-bt") * 1e6


def _ratios(rows: list[dict[str, Any]], times: list[float]) -> Iterator[Pair]:
    """Orders against ikj, and rows as long as n against longer ones."""
    found = {
        (row["loop"], row["n"], row["ld"]): (row["us"], time)
        for row, time in zip(rows, times, strict=True)
        if not row["tile"]
    }
    for (loop, n, ld), (measured, modelled) in found.items():
        base = found.get((AGAINST, n, ld))
        label = f"{rows[0]['opt']} {loop} n {n} ld {ld}"
        if loop in ORDERS and base:
            yield Pair(f"{label} over ikj", "order", measured / base[0], modelled / base[1])
        longer = [other for other in found if other[:2] == (loop, n) and other[2] > n]
        if loop == "ijk" and ld == n and longer:
            other = found[longer[0]]
            ratio = f"{label} over ld {longer[0][2]}"
            yield Pair(ratio, "padding", measured / other[0], modelled / other[1])


def _fastest(rows: list[dict[str, Any]], times: list[float]) -> Iterator[Pair]:
    for n in dict.fromkeys(row["n"] for row in rows if not row["loop"].startswith("conv-")):
        loops = [
            (time, row["us"])
            for row, time in zip(rows, times, strict=True)
            if row["n"] == n and row["ld"] == n and not row["loop"].startswith("conv-")
        ]
        if loops:
            label = f"{rows[0]['opt']} n {n}"
            yield Pair(label, "fastest", min(measured for _, measured in loops), min(loops)[1])


CHECKS.register("zen3-loops")(Zen3Loops())
