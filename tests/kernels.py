"""Compile what most tests need before they begin: each worker would compile it for itself.

python -m tests.kernels      (make test runs it beside the linters)
"""

from __future__ import annotations

import hwsim
from hwsim.describe.machine import load_machine
from hwsim.timing.explicit import pipeline

LAYER = "conv:16,14,14,16,3,3,1,1"


def main() -> None:
    pipeline._seen[0] = pipeline.COMPILED_FROM  # as after many tiles
    for machine in ("tpu-v1", "toy-8x8", "eyeriss-v1", "xeon-8380", "toy-cpu", "h200", "toy-gpu"):
        hwsim.simulate(LAYER, machine)
    for machine in ("toy-8x8", "tpu-v1"):
        hwsim.map_layers("gemm:8,12,8", machine, seconds=5)
    hwsim.map_layers("gemm:16,16,16", "xeon-8380", seconds=5)
    hwsim.map_layers("conv:4,6,6,4,3,3,1,1", load_machine("eyeriss-v1"), seconds=5)
    for dataflow in ("output-stationary", "input-stationary"):
        hwsim.simulate(LAYER, "tpu-v1", "direct", dataflow=dataflow)
    hwsim.simulate("gemm:24,24,24", "toy-cpu", "direct", dataflow="loops:order=ijk")


if __name__ == "__main__":
    main()
