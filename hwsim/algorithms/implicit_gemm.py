"""Implicit GEMM: the im2col product without its matrix; windows are gathered as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm, unless_product
from hwsim.errors import HwsimError
from hwsim.ir.conv import conv_stage, gemm_stage
from hwsim.ir.stage import Plan
from hwsim.spec.layer import ConvLayer, GemmLayer, Layer, LinearLayer

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class ImplicitGemm:
    """The loops of direct convolution, seen by a matrix unit as one product with k = C/groups * R * S."""

    name = "implicit-gemm"
    summary = "one product of k = C R S, windows gathered on the fly"

    def refuses(self, layer: Layer) -> str | None:
        return unless_product(layer)

    def lower(self, layer: Layer) -> Plan:
        if isinstance(layer, (LinearLayer, GemmLayer)):
            return Plan(self.name, (gemm_stage(layer),))
        if isinstance(layer, ConvLayer):
            return Plan(self.name, (conv_stage(layer, reduction=("c", "r", "s")),))
        raise HwsimError(f"implicit-gemm: {self.refuses(layer)}")

    def compute(self, layer: ConvLayer, x: Array, w: Array) -> Array:
        import numpy as np
        from numpy.lib.stride_tricks import sliding_window_view

        pad, u, d = layer.pad, layer.stride, layer.dilation
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))).reshape(
            layer.n, layer.groups, -1, layer.h + 2 * pad, layer.w + 2 * pad)
        reach = (d * (layer.r - 1) + 1, d * (layer.s - 1) + 1)
        windows = sliding_window_view(padded, reach, axis=(3, 4))[:, :, :, ::u, ::u, ::d, ::d]
        filters = w.reshape(layer.groups, -1, *w.shape[1:])
        out: Array = np.einsum("ngcpqrs,gkcrs->ngkpq", windows, filters, optimize=True)
        return out.reshape(layer.n, layer.k, layer.p, layer.q)


ALGORITHMS.register("implicit-gemm")(_implicit := ImplicitGemm())
_checked: Algorithm = _implicit
