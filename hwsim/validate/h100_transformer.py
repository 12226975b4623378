"""A transformer's operators and whole transformers, timed in PyTorch on an H100.

No constant of the machine or of its kernels follows from these rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwsim.algorithms import AUTO, FLASH
from hwsim.api import simulate
from hwsim.describe.eager import as_hugging_face_runs
from hwsim.describe.layer import AttentionLayer, ElementwiseLayer, GemmLayer, Layer
from hwsim.describe.networks import load_workload
from hwsim.validate import CHECKS, Pair

ROWS = {  # of operators on rows x cols: the kernels that PyTorch runs, with their inputs
    "softmax": (("softmax", 1),),
    "layer_norm": (("layernorm", 1),),
    "rms_norm": (("rmsnorm", 1),),
    "gelu": (("gelu", 1),),
    "add": (("add", 2),),
    "silu_mul": (("silu", 1), ("mul", 2)),
}


class Transformer:
    """Times of operators and of whole transformers.

    Operators are compared with their times on cold caches, as every layer starts cold; networks
    with their captured graph's, which is all that was measured of them.
    """

    file = "h100_transformer.json"
    summary = "an H100's attention, norms, softmax, elementwise operators, and transformers"

    def pairs(self, data: Any) -> Iterator[Pair]:
        for number, row in enumerate(data["rows"]):
            kind, dtype = row["kind"], row["dtype"]
            if kind == "network":
                yield Pair(
                    f"{number} {row['network']} batch {row['B']}, {row['S']} tokens, {dtype}",
                    "time",
                    row["us_warm"],
                    _network_us(row),
                    {"kind": f"network, {dtype}"},
                )
                continue
            algorithm = FLASH if kind in ("flash_attention", "decode_attention") else AUTO
            seconds = sum(
                simulate(layer, "h100", algorithm, dtype=dtype).seconds for layer in _layers(row)
            )
            name = f"{number} {kind} {_size(row)} {dtype}"
            yield Pair(name, "time", row["us_cold"], seconds * 1e6, {"kind": kind})


def _network_us(row: Mapping[str, Any]) -> float:
    size = None if row["network"].startswith("vit") else (row["S"], row["S"])
    workload = load_workload(row["network"], row["B"], size)
    eager = as_hugging_face_runs(workload, row["dtype"])
    return simulate(eager, "h100", dtype=row["dtype"]).seconds * 1e6


def _layers(row: Mapping[str, Any]) -> list[Layer]:
    kind = row["kind"]
    if kind in ROWS:
        return [
            ElementwiseLayer(1, row["cols"], row["rows"], 1, inputs, op)
            for op, inputs in ROWS[kind]
        ]
    b, heads, tokens, width = (row[name] for name in ("B", "H", "S", "D"))
    if kind == "bmm_qk":
        return [GemmLayer(tokens, tokens, width, batch=b * heads, operand="data")]
    if kind == "bmm_av":
        return [GemmLayer(tokens, width, tokens, batch=b * heads, operand="data")]
    asks = 1 if kind == "decode_attention" else tokens
    causal = bool(row.get("causal"))
    return [AttentionLayer(b, heads, asks, tokens, width, row.get("H_kv", heads), causal)]


def _size(row: Mapping[str, Any]) -> str:
    names = ("rows", "cols") if "rows" in row else ("B", "H", "S", "D")
    return "x".join(str(row[name]) for name in names)


CHECKS.register("h100-transformer")(Transformer())
