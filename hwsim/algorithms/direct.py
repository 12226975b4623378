"""Direct convolution: the textbook loops, one filter tap after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm, convolve, unless_product
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, GemmLayer, Layer, LinearLayer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution, conv_stages, gemm_stages
from hwsim.ir.stage import Plan

if TYPE_CHECKING:
    from hwsim.algorithms import Array


class Direct:
    """N K P Q (C/groups) R S multiplications; a matrix unit takes one tap's channels at a time."""

    name = "direct"
    summary = "the textbook loops, tap by tap"

    def refuses(self, layer: Layer) -> str | None:
        return unless_product(layer)

    def lower(self, layer: Layer) -> Plan:
        if isinstance(layer, (LinearLayer, GemmLayer)):
            return Plan(self.name, gemm_stages(layer))
        if isinstance(layer, (ConvLayer, ConvTransposeLayer)):
            return Plan(self.name, conv_stages(layer, reduction=("c",)))
        raise HwsimError(f"direct: {self.refuses(layer)}")

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        return convolve(layer, self.lower(layer), x, w)


ALGORITHMS.register("direct")(_direct := Direct())
_checked: Algorithm = _direct
