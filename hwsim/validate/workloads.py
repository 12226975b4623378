"""Multiply-accumulates of every listed layer from its shape, and of whole networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.describe.catalog import shipped
from hwsim.describe.layer import ConvLayer, GemmLayer, Layer, LinearLayer
from hwsim.describe.networks import load_workload
from hwsim.validate import CHECKS, Pair

SHIPPED = {
    "alexnet_grouped": "alexnet",
    "vgg19_E": "vgg19",
    "resnet50_v1": "resnet50",
    "mobilenet_v1": "mobilenet-v1",
}


class Workloads:
    """Rows are layers and networks of workloads.yaml, without transposed convolutions."""

    file = "workloads.yaml"
    summary = "published layer lists: multiply-accumulates of layers and networks"

    def pairs(self, data: Any) -> Iterator[Pair]:
        for network, entry in data["nets"].items():
            for row in entry["layers"]:
                layer = _layer(row)
                if layer is not None:
                    yield Pair(
                        f"{network}/{row['name']}",
                        "macs",
                        row["macs"],
                        layer.macs,
                        {"network": network},
                    )
            name = SHIPPED.get(network, network)
            if name in shipped("workloads"):
                workload = load_workload(name)
                yield Pair(
                    network, "total_macs", entry["total_macs"], workload.macs, {"network": network}
                )
                yield Pair(
                    network,
                    "conv_macs",
                    entry["conv_macs"],
                    workload.conv_macs,
                    {"network": network},
                )


def _layer(row: Any) -> Layer | None:
    if row["op"] == "conv":
        return ConvLayer(
            1,
            row["C"],
            row["H"],
            row["W"],
            row["K"],
            row["R"],
            row["S"],
            row["stride"],
            row["pad"],
            row.get("dilation", 1),
            row["groups"],
        )
    if row["op"] == "fc":
        return LinearLayer(1, row["C"], row["K"])
    return GemmLayer(row["M"], row["N"], row["K"]) if row["op"] == "gemm" else None


CHECKS.register("workloads")(Workloads())
