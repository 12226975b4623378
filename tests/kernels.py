"""Compile what most tests need before they begin: each worker would compile it for itself.

python -m tests.kernels [arrays | caches]      (make test runs both beside the linters)
"""

from __future__ import annotations

import sys

import hwsim
from hwsim.describe.machine import load_machine
from hwsim.timing.caches.traces import Hierarchy
from hwsim.timing.explicit import pipeline

LAYER = "conv:16,14,14,16,3,3,1,1"


def arrays() -> None:
    """Folds, events and the mapper's searches."""
    pipeline._seen[0] = pipeline.COMPILED_FROM  # as after many tiles
    for machine in ("tpu-v1", "toy-8x8", "eyeriss-v1"):
        hwsim.simulate(LAYER, machine)
    for machine in ("toy-8x8", "tpu-v1"):
        hwsim.map_layers("gemm:8,12,8", machine, seconds=5)
    hwsim.map_layers("conv:4,6,6,4,3,3,1,1", load_machine("eyeriss-v1"), seconds=5)
    for dataflow in ("output-stationary", "input-stationary"):
        hwsim.simulate(LAYER, "tpu-v1", "direct", dataflow=dataflow)


def caches() -> None:
    """Lines through caches, of nests and of traces."""
    for machine in ("xeon-8380", "toy-cpu", "h200", "toy-gpu"):
        hwsim.simulate(LAYER, machine)
    hwsim.map_layers("gemm:16,16,16", "xeon-8380", seconds=5)
    hwsim.simulate("gemm:24,24,24", "toy-cpu", "direct", dataflow="loops:order=ijk")
    first = load_machine("toy-cpu").memories["cache"]
    for by_kind in (False, True):
        Hierarchy([first], by_kind).replay([0, 64], [4, 4], [0, 1])  # type: ignore[list-item]


if __name__ == "__main__":
    for name in sys.argv[1:] or ("arrays", "caches"):
        {"arrays": arrays, "caches": caches}[name]()
