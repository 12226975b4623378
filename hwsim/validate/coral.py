"""Coral's published times of whole networks on an Edge TPU beside edge-tpu, one image each.

edge-tpu's start was calibrated on MobileNet v2, which is scored apart from rows that the machine's
file never saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.validate import CHECKS, Pair

MACHINE, ALGORITHM = "edge-tpu", "implicit-gemm"


class Coral:
    """Rows are networks; the columns are the USB Accelerator and the Dev Board."""

    file = "coral.yaml"
    summary = "the Edge TPU: times of five networks, four of them held out"

    def pairs(self, data: Any) -> Iterator[Pair]:
        table = data["times_ms"]
        for values in table["rows"]:
            row = dict(zip(table["columns"], values, strict=True))
            result = simulate(row["network"], MACHINE, ALGORITHM)
            modelled = result.seconds * 1e3
            for link in ("usb", "board"):
                groups = {"link": link, "use": row["use"]}
                yield Pair(row["network"], "time_ms", row[link], round(modelled, 3), groups)


CHECKS.register("coral")(Coral())
