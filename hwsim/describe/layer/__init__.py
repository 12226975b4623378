"""Layers: the shapes of one operator, with the letters n c h w k r s p q used everywhere."""

from __future__ import annotations

from dataclasses import MISSING, fields

from hwsim.describe.layer.checks import PerAxis
from hwsim.describe.layer.density import DENSE, Density
from hwsim.describe.layer.memory import OPERATIONS, OVER_CHANNELS, ElementwiseLayer, MoveLayer
from hwsim.describe.layer.products import AttentionLayer, GemmLayer, LinearLayer
from hwsim.describe.layer.windows import (
    ConvLayer,
    ConvTransposeLayer,
    PoolLayer,
    all_sides,
    both_axes,
    shortest,
    window_positions,
)

ProductLayer = ConvLayer | ConvTransposeLayer | LinearLayer | GemmLayer  # by one nest of products
MemoryLayer = PoolLayer | ElementwiseLayer | MoveLayer  # without products
Layer = ProductLayer | AttentionLayer | MemoryLayer


def lengths(kind: type[Layer]) -> dict[str, bool]:
    """{field: must it be given} of a kind of layer, the fields that are whole numbers."""
    return {
        spec.name: spec.default is MISSING for spec in fields(kind) if spec.name not in NO_LENGTHS
    }


NO_LENGTHS = ("dtype", "density", "op", "layout", "filters", "operand", "causal", "table")

__all__ = [
    "DENSE",
    "OPERATIONS",
    "OVER_CHANNELS",
    "AttentionLayer",
    "ConvLayer",
    "ConvTransposeLayer",
    "Density",
    "ElementwiseLayer",
    "GemmLayer",
    "Layer",
    "LinearLayer",
    "MemoryLayer",
    "MoveLayer",
    "PerAxis",
    "PoolLayer",
    "ProductLayer",
    "all_sides",
    "both_axes",
    "lengths",
    "shortest",
    "window_positions",
]
