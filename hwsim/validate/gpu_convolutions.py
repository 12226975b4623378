"""Convolutions timed on a GPU, algorithm by algorithm, beside hwsim's.

cuDNN and plain PyTorch timed them. Scored is also what the algorithm that hwsim picks really took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hwsim.algorithms import find_algorithm
from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import Pair

ALGORITHMS = {
    "implicit_precomp_gemm": "implicit-gemm",
    "winograd_nonfused": "winograd-f4",
    "fft_tiling": "fft-t32",
    "im2col_explicit": "im2col",
    "offset_add": "offset-add-taps",
}
PICKED = ("implicit_precomp_gemm", "winograd_nonfused", "fft_tiling")  # cuDNN's among them
LARGE = 5  # a filter of so many taps a side: cuDNN's Winograd tile is of 9 x 9 outputs
HOST_WAITED = 0.75  # of a call's time: where kernels and gaps take less, the host was late
CALL_US = 2.4  # between the events around a call, beyond its one kernel (h100_conv.json)
GAP_US = 1.5  # from one kernel of a call to the next
SHAPE = ("N", "C", "H", "W", "K", "R", "S", "pad", "stride", "groups", "dtype")


class Convolutions:
    """Rows give a shape, a library's algorithm and its time with cold caches.

    Filters are transformed anew in every call. Rows that list their kernels tell whether the GPU
    waited for the host, which no model of a GPU knows of: these are groups of their own, and no
    algorithm is picked by them.

    Of a shape with two algorithms or more, the one that is fastest in the model is taken:
    pick_regret is what it took beside the fastest that was measured.
    """

    def __init__(
        self, machine: str, rows: str = "conv", what: str = "by algorithm, and the pick of one"
    ) -> None:
        self.machine = machine
        self.file = f"{machine}_{rows}.json"
        self.summary = f"an {machine.upper()}'s convolutions {what}"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine(self.machine)
        shapes: dict[tuple[Any, ...], dict[str, tuple[float, float]]] = {}
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            algorithm = named(row)
            if algorithm is None or why_not(row) is not None:
                continue
            layer = layer_of(row)
            kind = "depthwise" if layer.groups > 1 else "dense"
            result = simulate(layer, machine, algorithm, dtype=row["dtype"])
            modelled = result.seconds * 1e6
            said = f"{number} {layer.summary} x{layer.n} {row['dtype']} {row['algo']}"
            late = waits_for_host(row)
            name = f"{row['algo']} {row['dtype']}{', host late' if late else ''}"
            groups = {"algorithm": name, "kind": kind}
            yield Pair(said, "time", row["us_cold"], modelled, groups)
            if row["algo"] in PICKED and not late:
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
        left = Counter((row["algo"], why_not(row)) for row in rows)
        for (name, why), number in left.items():
            if why is not None:
                yield f"{number} rows of {name} are left out: {why}"
        yield (
            "im2col_explicit and offset_add are PyTorch's, and not picked from; `host late`: the "
            "GPU waited for its calls"
        )


def named(row: Any) -> str | None:
    """hwsim's name of a row's algorithm, None for those that it does not model."""
    name = row["algo"]
    if name == "winograd_nonfused" and row["R"] >= LARGE:
        return "winograd-f9"
    return ALGORITHMS.get(name)


def why_not(row: Any) -> str | None:
    """Why a row's algorithm is not simulated; None where it is."""
    name = named(row)
    return "not modelled" if name is None else find_algorithm(name).refuses(layer_of(row))


def waits_for_host(row: Any) -> bool:
    """Do a call's kernels take clearly less than the call? False where a row lists none."""
    kernels = row.get("kernels", ())
    busy = CALL_US + sum(kernel["us"] + GAP_US * kernel["times"] for kernel in kernels)
    return bool(kernels) and busy < HOST_WAITED * float(row["us_cold"])


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
        layout=row.get("layout", "nchw"),
        filters="online",
    )
