"""Direct convolution: the textbook loops, one filter tap after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm, unless_product
from hwsim.errors import HwsimError
from hwsim.ir.conv import conv_stage, gemm_stage
from hwsim.ir.stage import Plan
from hwsim.spec.layer import ConvLayer, GemmLayer, Layer, LinearLayer

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class Direct:
    """N K P Q (C/groups) R S multiplications; a matrix unit takes the channels of one tap at a time."""

    name = "direct"
    summary = "the textbook loops, tap by tap"

    def refuses(self, layer: Layer) -> str | None:
        return unless_product(layer)

    def lower(self, layer: Layer) -> Plan:
        if isinstance(layer, (LinearLayer, GemmLayer)):
            return Plan(self.name, (gemm_stage(layer),))
        if isinstance(layer, ConvLayer):
            return Plan(self.name, (conv_stage(layer, reduction=("c",)),))
        raise HwsimError(f"direct: {self.refuses(layer)}")

    def compute(self, layer: ConvLayer, x: Array, w: Array) -> Array:
        import numpy as np

        pad, u, d = layer.pad, layer.stride, layer.dilation
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        padded = padded.reshape(layer.n, layer.groups, -1, *padded.shape[2:])
        filters = w.reshape(layer.groups, -1, *w.shape[1:])
        out = np.zeros((layer.n, layer.groups, filters.shape[1], layer.p, layer.q))
        for r in range(layer.r):
            for s in range(layer.s):
                window = padded[:, :, :, r * d: r * d + (layer.p - 1) * u + 1: u, s * d: s * d + (layer.q - 1) * u + 1: u]
                out += np.einsum("ngcpq,gkc->ngkpq", window, filters[..., r, s], optimize=True)
        return out.reshape(layer.n, layer.k, layer.p, layer.q)


ALGORITHMS.register("direct")(_direct := Direct())
_checked: Algorithm = _direct
