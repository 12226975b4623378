"""Loads that leave an SM: hardware counters of CUDA kernels with stated tiles, beside the closed
form of their nests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.count.closed_form import count
from hwsim.describe.layer import GemmLayer
from hwsim.ir.convolution import gemm_stage
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.transform import drop_idle
from hwsim.ir.verify import verify_nest
from hwsim.validate import CHECKS, Pair

SECTOR_BYTES = 32


class TiledGemm:
    """Rows are kernels; those that copy tiles to shared memory count. One sector is 32 bytes, eight
    fp32 words."""

    file = "h200_tiled_gemm.json"
    summary = "an H200's counters: loads leaving the SM of tiled CUDA products"

    def pairs(self, data: Any) -> Iterator[Pair]:
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            if row["kernel"] != "tiled":
                continue
            size = tuple(row[name] for name in ("M", "N", "K"))
            tile = tuple(row[name] for name in ("BM", "BN", "BK"))
            name = f"{number} {'x'.join(map(str, size))} by {'x'.join(map(str, tile))}"
            groups = {"tile": "x".join(map(str, tile))}
            yield Pair(
                name,
                "sm_loads",
                row["l1_global_load_sectors"],
                sm_load_sectors(GemmLayer(*size), *tile),
                groups,
            )


def sm_load_sectors(layer: GemmLayer, bm: int, bn: int, bk: int) -> float:
    """Sectors that blocks of bm x bn outputs load, bk of the reduction at a time: M N K (1/bm +
    1/bn) words for whole tiles."""
    stage = gemm_stage(layer)
    shared = Hold("shared", ("A", "B"), multicast=False)
    items = (
        Hold("dram", ("A", "B", "C")),
        Loop("m", min(bm, layer.m), "block"),
        Loop("n", min(bn, layer.n), "block"),
        Loop("k", min(bk, layer.k)),
        shared,
        Loop("m", 1),
        Loop("n", 1),
        Loop("k", 1),
    )
    counts = count(verify_nest(Nest(stage, drop_idle(stage, items))))
    return (
        sum(counts.of("dram", name).serves for name in ("A", "B"))
        * stage.output.width
        / SECTOR_BYTES
    )


CHECKS.register("h200-tiled-gemm")(TiledGemm())
