"""Implicit GEMM: the im2col product without its matrix; windows are gathered as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm, convolve, unless_product
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, GemmLayer, Layer, LinearLayer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution, conv_stages, gemm_stages
from hwsim.ir.stage import Plan

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class ImplicitGemm:
    """The loops of direct convolution, which a matrix unit sees as one product.

    Its k is C/groups * R * S.
    """

    name = "implicit-gemm"
    summary = "one product of k = C R S, windows gathered on the fly"

    def refuses(self, layer: Layer) -> str | None:
        return unless_product(layer)

    def lower(self, layer: Layer) -> Plan:
        if isinstance(layer, (LinearLayer, GemmLayer)):
            return Plan(self.name, gemm_stages(layer))
        if isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            return Plan(self.name, conv_stages(layer, reduction=("c", "r", "s")))
        raise HwsimError(f"implicit-gemm: {self.refuses(layer)}")

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        return convolve(layer, self.lower(layer), x, w)


ALGORITHMS.register("implicit-gemm")(_implicit := ImplicitGemm())
_checked: Algorithm = _implicit
