"""Half-precision products that LLMCompass' authors measured on an A100.

Zhang et al., "LLMCompass: Enabling Efficient Hardware Design for Large Language Model Inference",
ISCA 2024, figure 5. No constant of the model was fitted to an A100.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hwsim.api import simulate
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Pair

HOST_BOUND_MS = 0.05  # PyTorch's own call, which is longer than the kernel of such a product


class GemmSilicon:
    """Rows are M, K, N, milliseconds, TFLOPS; a MI210 is not described here."""

    file = "gemm_silicon.yaml"
    summary = "an A100's half-precision products"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine("a100")
        for number, (m, k, n, ms, _) in enumerate(data["llmcompass_matmul"]["A100"]):
            result = simulate(GemmLayer(m, n, k, dtype="fp16"), machine, "direct", dtype="fp16")
            bound = "the host's call" if ms < HOST_BOUND_MS else "the GPU"
            name = f"{number} {m}x{n}x{k}"
            yield Pair(name, "time", ms * 1e3, result.seconds * 1e6, {"bound by": bound})


CHECKS.register("gemm-silicon")(GemmSilicon())
