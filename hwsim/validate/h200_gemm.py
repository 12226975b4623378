"""Times of cuBLAS products on an H200, beside the shared-memory tiled model. Nothing in the model
was fitted to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Pair


class Gemm:
    """Rows give M, N, K and a data type; the time with cold caches is compared, as every layer
    starts cold."""

    file = "h200_gemm.json"
    summary = "an H200's cuBLAS products: times with cold caches"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine("h200")
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            result = simulate(
                GemmLayer(row["M"], row["N"], row["K"]), machine, "direct", dtype=row["dtype"]
            )
            size = "x".join(str(row[name]) for name in ("M", "N", "K"))
            yield Pair(
                f"{number} {size} {row['dtype']}",
                "microseconds",
                row["us_cold"],
                result.seconds * 1e6,
                {"dtype": row["dtype"]},
            )


CHECKS.register("h200-gemm")(Gemm())
