"""Whole networks that PyTorch ran on an H100, each as one captured graph.

PyTorch runs bias, batch norm and ReLU as kernels of their own. Its cuDNN takes implicit GEMM: among
the launches in reference/h100_network_kernels.json are 850 of products, 59 of Fourier transforms
(fp32, 16 images or more) and none of Winograd's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.networks import load_workload
from hwsim.validate import CHECKS, Pair

ALGORITHM = "implicit-gemm"
CASE = ("network", "dtype", "batch")


class Networks:
    """Networks' times, and what the layout that the model ranks first costs.

    layout_regret: of a network, data type and batch in several layouts, what the one took that the
    model ranks first, beside the fastest that was measured.
    """

    file = "h100_networks.json"
    summary = "VGG-16 and ResNet-50 in PyTorch on an H100, by data type, layout and batch"

    def pairs(self, data: Any) -> Iterator[Pair]:
        layouts: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            network, dtype, layout, batch = (
                row[name] for name in ("network", "dtype", "layout", "batch")
            )
            workload = load_workload(network, batch).with_layout(layout).eager()
            modelled = simulate(workload, "h100", ALGORITHM, dtype=dtype).seconds * 1e6
            said = f"{number} {network} {dtype} {layout} batch {batch}"
            groups = {"network": network, "dtype": f"{dtype} {layout}", "batch": str(batch)}
            yield Pair(said, "time", row["us"], modelled, groups)
            case = tuple(row[name] for name in CASE)
            layouts.setdefault(case, []).append((modelled, row["us"]))
        for case, tried in layouts.items():
            if len(tried) > 1:
                _, took = min(tried)
                best = min(measured for _, measured in tried)
                said = " ".join(map(str, case))
                yield Pair(said, "layout_regret", best, took, {"network": case[0]})


CHECKS.register("h100-networks")(Networks())
