"""Half-precision products that LLMCompass' authors measured on an A100 and an MI210.

Zhang et al., "LLMCompass: Enabling Efficient Hardware Design for Large Language Model Inference",
ISCA 2024, figure 5. No constant of the model was fitted to either GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Pair

GPUS = {"A100": "a100", "MI210": "mi210"}
HOST_BOUND_MS = 0.05  # PyTorch's own call, which is longer than the kernel of such a product


class GemmSilicon:
    """Rows of each GPU are M, K, N, milliseconds, TFLOPS."""

    file = "gemm_silicon.yaml"
    summary = "half-precision products on an A100 and an MI210"

    def pairs(self, data: Any) -> Iterator[Pair]:
        measured = data["llmcompass_matmul"]
        for gpu, name in GPUS.items():
            machine = load_machine(name)
            for number, (m, k, n, ms, _) in enumerate(measured.get(gpu, ())):
                result = simulate(GemmLayer(m, n, k, dtype="fp16"), machine, "direct", dtype="fp16")
                bound = "the host's call" if ms < HOST_BOUND_MS else "the GPU"
                groups = {"machine": name, "bound by": f"{bound}, {name}"}
                row = f"{number} {m}x{n}x{k} {gpu}"
                yield Pair(row, "time", ms * 1e3, result.seconds * 1e6, groups)


CHECKS.register("gemm-silicon")(GemmSilicon())
