"""Convolutions timed on a GPU, algorithm by algorithm, beside hwsim's.

cuDNN and plain PyTorch timed them. Scored is also what the algorithm that hwsim picks really took.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import Pair

ALGORITHMS = {
    "implicit_precomp_gemm": "implicit-gemm",
    "winograd_nonfused": "winograd-f4",
    "fft_tiling": "fft-t32",
    "im2col_explicit": "im2col",
    "offset_add": "offset-add",
}
PICKED = ("implicit_precomp_gemm", "winograd_nonfused", "fft_tiling")  # cuDNN's among them
LARGE = 5  # a filter of so many taps a side: cuDNN's Winograd tile is of 9 x 9 outputs
SHAPE = ("N", "C", "H", "W", "K", "R", "S", "pad", "stride", "groups", "dtype")


class Convolutions:
    """Rows give a shape, a library's algorithm and its time with cold caches.

    Filters are transformed anew in every call.

    Of a shape with two algorithms or more, the one that is fastest in the model is taken:
    pick_regret is what it took beside the fastest that was measured.
    """

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.file = f"{machine}_conv.json"
        self.summary = f"an {machine.upper()}'s convolutions by algorithm, and the pick of one"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine(self.machine)
        shapes: dict[tuple[Any, ...], dict[str, tuple[float, float]]] = {}
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            algorithm = named(row)
            if algorithm is None:
                continue
            layer = layer_of(row)
            kind = "depthwise" if layer.groups > 1 else "dense"
            result = simulate(layer, machine, algorithm, dtype=row["dtype"])
            modelled = result.seconds * 1e6
            said = f"{number} {layer.summary} x{layer.n} {row['dtype']} {row['algo']}"
            groups = {"algorithm": f"{row['algo']} {row['dtype']}", "kind": kind}
            yield Pair(said, "time", row["us_cold"], modelled, groups)
            if row["algo"] in PICKED:
                shape = tuple(row[name] for name in SHAPE)
                shapes.setdefault(shape, {})[row["algo"]] = (modelled, row["us_cold"])
        for shape, tried in shapes.items():
            if len(tried) > 1:
                _, took = min(tried.values())
                best = min(measured for _, measured in tried.values())
                said = " ".join(str(value) for value in shape)
                yield Pair(said, "pick_regret", best, took, {"dtype": shape[-1]})

    def remarks(self, data: Any) -> Iterator[str]:
        rows = data["rows"] if isinstance(data, dict) else data
        left = [row["algo"] for row in rows if named(row) is None]
        for name in dict.fromkeys(left):
            yield f"{left.count(name)} rows of {name} are left out: not modelled as cuDNN runs it"
        yield (
            "offset_add adds R S maps one by one in the data, in one stage in the model; "
            "im2col_explicit and offset_add are PyTorch's, and not picked from"
        )


def named(row: Any) -> str | None:
    """hwsim's name of a row's algorithm, None for those that it does not model."""
    name = row["algo"]
    if name == "winograd_nonfused" and row["R"] >= LARGE:
        return "winograd-f9"
    return ALGORITHMS.get(name)


def layer_of(row: Any) -> ConvLayer:
    """The layer of a row, its filters transformed in every call."""
    return ConvLayer(
        row["N"],
        row["C"],
        row["H"],
        row["W"],
        row["K"],
        row["R"],
        row["S"],
        stride=row["stride"],
        pad=row["pad"],
        groups=row["groups"],
        filters="online",
    )
