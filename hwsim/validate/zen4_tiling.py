"""What tiling does for a product on one Zen 4 core, where it pays and where it loses.

`ijk` keeps a sum in a register, `ikj` sums in memory, `nt` reads B by rows; `tijk` and `tikj` are
the same loops in tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.describe.machine import Machine, load_machine
from hwsim.errors import HwsimError
from hwsim.parts.core import with_cores
from hwsim.validate import CHECKS, Pair
from hwsim.validate.cpu_loops import VECTORS, product_seconds

SCHEDULES = {
    "tile_O2": {
        "ijk": "order=ijk,fused=no",
        "nt": "order=ijk,fused=no",
        "ikj": "order=ikj,fused=no",
        "tijk": "order=ijk,tile={t}x{t}x{t},fused=no",
        "tikj": "order=ikj,tile={t}x{t}x{t},fused=no,reloads=1",
    },
    "tile_O3n": {
        "ijk": f"order=ijk,vector=k,lanes=4,fused=no,{VECTORS}",
        "nt": f"order=ijk,vector=k,{VECTORS}",
        "ikj": f"order=ikj,vector=j,{VECTORS}",
        "tijk": f"order=ijk,tile={{t}}x{{t}}x{{t}},vector=k,lanes=4,fused=no,{VECTORS}",
        "tikj": f"order=ikj,tile={{t}}x{{t}}x{{t}},vector=j,{VECTORS}",
    },
}
UNTILED = {"tijk": "ijk", "tikj": "ikj"}


class Zen4Tiling:
    """What is scored of tiling.

    speedup: of the tiled loop over the same order untiled. best_tile: the tile that is fastest of a
    variant and n where tiling pays, measured beside modelled.
    """

    file = "zen4_tiling.json"
    summary = "speed-ups and slow-downs by tiling on one Zen 4 core"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = with_cores(load_machine("epyc-9654"), 1)
        rows = [row for row in data["rows"] if _schedule(row)]
        seconds: dict[tuple[str, str, int, int], tuple[float, float]] = {}
        for row in sorted(rows, key=lambda row: bool(row["tile"])):
            key = row["build"], row["variant"], row["n"], row["tile"]
            seconds[key] = row["min_s"], _seconds(row, machine)
            plain = (key[0], UNTILED.get(key[1], ""), key[2], 0)
            if row["tile"] and plain in seconds:
                (before, model_before), (after, model_after) = seconds[plain], seconds[key]
                label = f"{row['build']} {row['variant']} n {row['n']} tile {row['tile']}"
                groups = {"build": row["build"], "variant": row["variant"], "n": str(row["n"])}
                speedup = model_before / model_after
                yield Pair(label, "speedup", before / after, speedup, groups)
        yield from _best_tiles(seconds)


def _schedule(row: dict[str, Any]) -> str:
    if row["build"] not in SCHEDULES:
        raise HwsimError(f"build {row['build']!r}; expected one of {', '.join(SCHEDULES)}")
    variants = SCHEDULES[row["build"]]
    if row["variant"] not in variants:
        raise HwsimError(f"variant {row['variant']!r}; expected one of {', '.join(variants)}")
    return variants[row["variant"]].format(t=row["tile"])


def _seconds(row: dict[str, Any], machine: Machine) -> float:
    n, tile = row["n"], row["tile"]
    return product_seconds(machine, _schedule(row), n, n, tile, row["variant"] == "nt")


def _best_tiles(seconds: dict[tuple[str, str, int, int], tuple[float, float]]) -> Iterator[Pair]:
    for build, variant, n in dict.fromkeys(key[:3] for key in seconds if key[1] in UNTILED):
        tiles = {
            key[3]: found
            for key, found in seconds.items()
            if key[:3] == (build, variant, n) and key[3]
        }
        measured, modelled = (min(tiles, key=lambda tile: tiles[tile][which]) for which in (0, 1))
        plain = seconds.get((build, UNTILED[variant], n, 0))
        if plain and tiles[measured][0] < plain[0]:
            label = f"{build} {variant} n {n}"
            yield Pair(label, "best_tile", measured, modelled, {"build": build})


CHECKS.register("zen4-tiling")(Zen4Tiling())
