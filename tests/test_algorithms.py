"""Every algorithm computes the convolution, and counts what it computes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from hwsim.algorithms import find_algorithm, lower, user_algorithms
from hwsim.algorithms.im2col import matrix_elements
from hwsim.algorithms.winograd import apply_cost, transforms
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.verify import verify_stage
from hwsim.spec.layer import ConvLayer
from hwsim.spec.workload import load_workload

NAMES = [*user_algorithms(), "winograd-f3", "winograd-f6"]


def by_loops(layer: ConvLayer, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Direct convolution, loop by loop, from its definition."""
    out = np.zeros((layer.n, layer.k, layer.p, layer.q))
    per_group, filters = layer.c // layer.groups, layer.k // layer.groups
    for n, k, p, q in np.ndindex(out.shape):
        for c, r, s in np.ndindex(per_group, layer.r, layer.s):
            row, column = p * layer.stride + r * layer.dilation - layer.pad, q * layer.stride + s * layer.dilation - layer.pad
            if 0 <= row < layer.h and 0 <= column < layer.w:
                out[n, k, p, q] += x[n, k // filters * per_group + c, row, column] * w[k, c, r, s]
    return out


@st.composite
def layers(draw: st.DrawFn, plain: bool = False) -> ConvLayer:
    """Ragged sizes, groups, padding; plain: stride and dilation 1 and at least 2 taps, as fast algorithms want."""
    size, step, taps = st.integers(1, 3), st.integers(1, 1 if plain else 2), st.integers(2 if plain else 1, 4)
    groups, r, s = draw(st.integers(1, 2)), draw(taps), draw(taps)
    stride, pad, dilation = draw(step), draw(st.integers(0, 2)), draw(step)
    h = max(1, dilation * (r - 1) + 1 - 2 * pad) + draw(st.integers(0, 7))
    w = max(1, dilation * (s - 1) + 1 - 2 * pad) + draw(st.integers(0, 7))
    return ConvLayer(draw(size), groups * draw(size), h, w, groups * draw(size), r, s, stride, pad, dilation, groups)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_equal_to_direct_convolution(name: str, data: st.DataObject, seed: int) -> None:
    algorithm = find_algorithm(name)
    layer = data.draw(layers(plain=name.startswith("winograd")))
    assert algorithm.refuses(layer) is None
    dice = np.random.default_rng(seed)
    x = dice.standard_normal((layer.n, layer.c, layer.h, layer.w))
    w = dice.standard_normal((layer.k, layer.c // layer.groups, layer.r, layer.s))
    expected = by_loops(layer, x, w)
    assert np.abs(algorithm.compute(layer, x, w) - expected).max() <= 1e-9 * max(1.0, np.abs(expected).max())


@settings(max_examples=60, deadline=None)
@given(layer=layers())
def test_stages_are_well_formed_and_count_by_formula(layer: ConvLayer) -> None:
    direct = layer.n * layer.k * layer.p * layer.q * (layer.c // layer.groups) * layer.r * layer.s
    for name in NAMES:
        plan = lower(layer, name)
        total = sum(verify_stage(stage).operations.multiplies for stage in plan.stages)
        if plan.algorithm.startswith("winograd"):
            m = int(name.removeprefix("winograd-f"))
            tiles = -(-layer.p // m) * -(-layer.q // m)
            assert total == tiles * (m + layer.r - 1) * (m + layer.s - 1) * layer.c // layer.groups * layer.k * layer.n
        else:
            assert total == direct
        assert all(stage.operations.effectual_multiplies <= stage.operations.multiplies for stage in plan.stages)


@settings(max_examples=30, deadline=None)
@given(layer=layers())
def test_effectual_multiplies_leave_padding_out(layer: ConvLayer) -> None:
    """Counted on an image of ones: each output is the number of effectual products behind it."""
    ones = by_loops(layer, np.ones((layer.n, layer.c, layer.h, layer.w)), np.ones((layer.k, layer.c // layer.groups, layer.r, layer.s)))
    assert lower(layer, "direct").stages[0].operations.effectual_multiplies == int(ones.sum())


def test_the_toy_needs_16_multiplications_instead_of_36() -> None:
    """4x4 image, 2x2 filter, F(3x3, 2x2): N^2 / (R^2 (N - R + 1)^2) = 16 / 36."""
    layer = load_workload("toy-4x4").layers["conv"]
    counts = {name: sum(stage.operations.multiplies for stage in lower(layer, name).stages) for name in ("direct", "winograd-f3")}
    assert counts == {"direct": 36, "winograd-f3": 16}
    n, r = 4, 2
    assert Fraction(counts["winograd-f3"], counts["direct"]) == Fraction(n * n, r * r * (n - r + 1) ** 2)


def test_vgg16_multiplications() -> None:
    """15,346,630,656 directly; F(2x2, 3x3) 16/36 of it, as 224, 112, ... are even and no edge tile is cut."""
    convolutions = [layer for layer in load_workload("vgg16").layers.values() if isinstance(layer, ConvLayer)]
    total = {name: sum(stage.operations.multiplies for layer in convolutions for stage in lower(layer, name).stages)
             for name in ("direct", "im2col", "winograd-f2", "winograd-f4")}
    assert total["direct"] == total["im2col"] == 15_346_630_656
    assert total["winograd-f2"] == 15_346_630_656 * 16 // 36 == 6_820_724_736
    # F(4x4, 3x3): 36/144 where 4 divides the map; conv5's 14 x 14 maps take 4 x 4 whole tiles, 256/196 of their area
    conv5 = 3 * 462_422_016
    assert total["winograd-f4"] == (15_346_630_656 - conv5) // 4 + conv5 // 4 * 256 // 196


def test_im2col_matrix_of_conv1_2_is_nine_times_its_input() -> None:
    layer = load_workload("vgg16").layers["conv1_2"]
    assert isinstance(layer, ConvLayer)
    assert matrix_elements(layer) == 64 * 9 * 224 * 224 == 28_901_376
    columns = lower(layer, "im2col").stages[0].output
    assert columns.elements == 28_901_376
    assert columns.elements == 9 * layer.c * layer.h * layer.w


def test_transforms_of_f23_are_lavin_and_grays() -> None:
    """Lavin and Gray 2016, section 4.1, but for the sign of the last row of B^T and column of A^T."""
    half = Fraction(1, 2)
    exact = transforms(2, 3)
    assert exact.b_t == ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))
    assert exact.g == ((1, 0, 0), (half, half, half), (half, -half, half), (0, 0, 1))
    assert exact.a_t == ((1, 1, 1, 0), (0, 1, -1, 1))
    assert (apply_cost(exact.b_t).additions, apply_cost(exact.a_t).additions) == (4, 4)


def test_a_layer_that_winograd_cannot_do_says_why() -> None:
    plan = lower(ConvLayer(1, 3, 9, 9, 4, 3, 3, stride=2), "winograd-f2")
    assert plan.algorithm == "implicit-gemm"
    assert "stride 2" in plan.notes[0]
    assert "1x1" in lower(ConvLayer(1, 3, 9, 9, 4, 1, 1), "winograd-f4").notes[0]


def test_names_out_of_range_and_misspelt() -> None:
    with pytest.raises(HwsimError, match="expected winograd-f2 to"):
        find_algorithm("winograd-f1")
    with pytest.raises(UnknownName, match="did you mean 'im2col'"):
        find_algorithm("im2cool")
