"""Random layers and the definition of convolution, for the tests of algorithms."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, LinearLayer, PoolLayer
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution


def small_network() -> Workload:
    """Two convolutions, a pooling and a dense layer, in milliseconds on any machine."""
    return Workload(
        "small",
        {
            "conv3": ConvLayer(1, 16, 14, 14, 32, 3, 3, pad=1),
            "conv5": ConvLayer(1, 32, 14, 14, 16, 3, 3, pad=1),
            "pool5": PoolLayer(1, 16, 14, 14, 2, 2, stride=2),
            "fc7": LinearLayer(1, 784, 64),
        },
    )


def by_loops(layer: Convolution, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The convolution, loop by loop, from its definition; transposed, every input spreads its filters."""
    out = np.zeros((layer.n, layer.k, layer.p, layer.q))
    c, k = layer.c // layer.groups, layer.k // layer.groups
    (down, across), (apart, aside) = layer.strides, layer.dilations
    for g, r, s in np.ndindex(layer.groups, layer.r, layer.s):
        channels, filters = slice(g * c, g * c + c), slice(g * k, g * k + k)
        if isinstance(layer, ConvTransposeLayer):
            for h, v in np.ndindex(layer.h, layer.w):
                p, q = (
                    h * down + r * apart - layer.pads[0][0],
                    v * across + s * aside - layer.pads[1][0],
                )
                if 0 <= p < layer.p and 0 <= q < layer.q:
                    out[:, filters, p, q] += x[:, channels, h, v] @ w[channels, :, r, s]
        else:
            for p, q in np.ndindex(layer.p, layer.q):
                h, v = (
                    p * down + r * apart - layer.pads[0][0],
                    q * across + s * aside - layer.pads[1][0],
                )
                if 0 <= h < layer.h and 0 <= v < layer.w:
                    out[:, filters, p, q] += x[:, channels, h, v] @ w[filters, :, r, s].T
    return out


def data(layer: Convolution, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random x and w in the shapes that Algorithm.compute takes."""
    dice = np.random.default_rng(seed)
    transposed = isinstance(layer, ConvTransposeLayer)
    filters = (
        (layer.c, layer.k // layer.groups) if transposed else (layer.k, layer.c // layer.groups)
    )
    return dice.standard_normal((layer.n, layer.c, layer.h, layer.w)), dice.standard_normal(
        (*filters, layer.r, layer.s)
    )


@st.composite
def layers(draw: st.DrawFn, largest: int = 9, transposed: bool | None = None) -> Convolution:
    """Ragged sizes, groups, padding, strides and dilations that share factors or do not, plain and transposed."""
    while True:
        groups, step = draw(st.integers(1, 2)), st.integers(1, 4)
        size, length, taps = st.integers(1, 3), st.integers(1, largest), st.integers(1, 5)
        turned = draw(st.booleans()) if transposed is None else transposed
        pads = st.integers(0, 3)
        steps = st.one_of(step, st.tuples(step, step))
        fields = (
            draw(size),
            groups * draw(size),
            draw(length),
            draw(length),
            groups * draw(size),
            draw(taps),
            draw(taps),
            draw(steps),
            draw(st.one_of(pads, st.tuples(pads, pads), st.tuples(pads, pads, pads, pads))),
            draw(steps),
            groups,
        )
        try:
            return (
                ConvTransposeLayer(*fields, draw(st.integers(0, 1)))
                if turned
                else ConvLayer(*fields)
            )
        except HwsimError:
            continue
