"""Every algorithm computes the convolution, and counts what it computes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hwsim.algorithms import find_algorithm, lower, user_algorithms
from hwsim.algorithms.fft import complex_program, inverse_program, real_program
from hwsim.algorithms.im2col import matrix_elements
from hwsim.algorithms.low_rank import LowRank
from hwsim.algorithms.winograd import transforms
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer
from hwsim.describe.networks import load_workload
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.convolution import Convolution
from hwsim.ir.evaluate import operands
from hwsim.ir.program import program_of, transposed
from hwsim.ir.verify import verify_stage
from hwsim.oracle.operations import counted, execute_plan
from tests.layers import by_loops, data, layers

CONVOLUTION = ConvLayer(1, 8, 8, 8, 8, 3, 3)
NAMES = [
    *(name for name in user_algorithms() if find_algorithm(name).refuses(CONVOLUTION) is None),
    "winograd-f2-relu",
    "winograd-f3",
    "winograd-f6",
    "winograd-f2x4",
    "winograd-f3@0:1/2:-1/2:2:-2:1",
    "fft-t8",
    "fft-t16-3m",
]
COUNTED = [
    "direct",
    "im2col",
    "implicit-gemm",
    "winograd-f2",
    "winograd-f3",
    "winograd-f4",
    "offset-add",
    "fft-t8",
    "fft-t8-3m",
]
GENEROUS = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("name", NAMES)
@GENEROUS
@given(layer=layers(), seed=st.integers(0, 2**32 - 1))
def test_equal_to_direct_convolution(name: str, layer: Convolution, seed: int) -> None:
    algorithm = find_algorithm(name)
    if algorithm.refuses(layer) is not None:
        return
    x, w = data(layer, seed)
    expected = by_loops(layer, x, w)
    assert np.abs(algorithm.compute(layer, x, w) - expected).max() <= 1e-9 * max(
        1.0, np.abs(expected).max()
    )


@pytest.mark.slow(keep=6)
@pytest.mark.parametrize("name", COUNTED)
@settings(parent=GENEROUS, max_examples=25)
@given(layer=layers(largest=6), seed=st.integers(0, 2**32 - 1))
def test_counts_are_what_an_execution_tallies(name: str, layer: Convolution, seed: int) -> None:
    """Number by number: every multiplication, constant multiplication, shift and addition of every stage; zeros in padding too.

    Of a spectrum's zeros (imaginary parts of a few points) effectual multiplications do not know.
    """
    small = replace(layer, n=1)
    algorithm = find_algorithm(name)
    if algorithm.refuses(small) is not None:
        return
    x, w = data(small, seed)
    plan = algorithm.lower(small)
    values, tallied = execute_plan(plan, operands(small, x, w))
    expected = by_loops(small, x, w)
    assert np.allclose(
        values["ofmap"].reshape(expected.shape),
        expected,
        atol=1e-9 * max(1.0, np.abs(expected).max()),
    )
    for stage in plan.stages:
        own, seen = counted(stage.operations), tallied[stage.name]
        if name.startswith("fft") and stage.view is not None:
            assert seen.effectual_multiplies <= own.effectual_multiplies
            own, seen = replace(own, effectual_multiplies=0), replace(seen, effectual_multiplies=0)
        assert own == seen, (stage.name, layer)


@GENEROUS
@given(layer=layers(), name=st.sampled_from(NAMES))
def test_stages_are_well_formed_and_touch_what_they_say(layer: Convolution, name: str) -> None:
    plan = lower(layer, name)
    written = {stage.output.name for stage in plan.stages}
    for stage in plan.stages:
        verify_stage(stage)
        assert stage.operations.effectual_multiplies <= stage.operations.multiplies
    assert set(plan.temporaries) <= written and "ofmap" in written


@GENEROUS
@given(layer=layers(transposed=False))
def test_multiplications_by_formula(layer: Convolution) -> None:
    """N K P Q (C/groups) R S; offset-add N K H W (C/groups) R S; Winograd (stride 1) tiles (m+r-1)(m+s-1) N K C/groups."""
    total = {
        name: sum(stage.operations.multiplies for stage in lower(layer, name).stages)
        for name in COUNTED
    }
    per_position = layer.n * layer.k * (layer.c // layer.groups) * layer.r * layer.s
    assert (
        total["direct"]
        == total["im2col"]
        == total["implicit-gemm"]
        == layer.macs
        == per_position * layer.p * layer.q
    )
    if layer.r > 1 or layer.s > 1:
        assert total["offset-add"] == per_position * layer.h * layer.w
    if layer.stride == layer.dilation == 1 and layer.r > 1 and layer.s > 1:
        for m in (2, 3, 4):
            tiles = -(-layer.p // m) * -(-layer.q // m)
            assert (
                total[f"winograd-f{m}"]
                == tiles
                * (m + layer.r - 1)
                * (m + layer.s - 1)
                * layer.c
                // layer.groups
                * layer.k
                * layer.n
            )


def test_strided_layers_split_into_phases() -> None:
    """3 taps at stride 2 are 2 even and 1 odd: F(4, 2) and F(4, 1) take 5 + 4 products a side for 4 outputs, 12 directly."""
    layer = ConvLayer(1, 1, 17, 17, 1, 3, 3, stride=2)
    total = {
        name: sum(stage.operations.multiplies for stage in lower(layer, name).stages)
        for name in ("direct", "winograd-f4")
    }
    assert (layer.p, layer.q) == (8, 8)
    assert total == {"direct": 64 * 9, "winograd-f4": 4 * 9 * 9}


def test_transposed_layers_split_into_phases() -> None:
    """4 taps at stride 2 are four filters of 2 x 2: F(2, 2) takes 9 products for 4 outputs that take 16 directly."""
    layer = ConvTransposeLayer(1, 1, 8, 8, 1, 4, 4, stride=2, pad=1)
    total = {
        name: sum(stage.operations.multiplies for stage in lower(layer, name).stages)
        for name in ("direct", "offset-add", "winograd-f2")
    }
    assert (layer.p, layer.q) == (16, 16)
    assert total == {"direct": 256 * 4, "offset-add": 64 * 16, "winograd-f2": 4 * 16 * 9}


def test_the_toy_needs_16_multiplications_instead_of_36() -> None:
    """4x4 image, 2x2 filter, F(3x3, 2x2): N^2 / (R^2 (N - R + 1)^2) = 16 / 36, and the same answer."""
    layer = load_workload("toy-4x4").layers["conv"]
    assert isinstance(layer, ConvLayer)
    counts = {
        name: sum(stage.operations.multiplies for stage in lower(layer, name).stages)
        for name in ("direct", "winograd-f3")
    }
    assert counts == {"direct": 36, "winograd-f3": 16}
    n, r = 4, 2
    assert Fraction(counts["winograd-f3"], counts["direct"]) == Fraction(
        n * n, r * r * (n - r + 1) ** 2
    )
    x, w = data(layer, 1)
    assert np.allclose(find_algorithm("winograd-f3").compute(layer, x, w), by_loops(layer, x, w))


def test_the_toys_transforms() -> None:
    """F(3, 2) from the points 0, 1, -1: the lecture's matrices, row for row."""
    half = Fraction(1, 2)
    exact = transforms(3, 2)
    assert exact.b_t == ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))
    assert exact.g == ((1, 0), (half, half), (half, -half), (0, 1))
    assert exact.a_t == ((1, 1, 1, 0), (0, 1, -1, 0), (0, 1, 1, 1))


def test_vgg16_multiplications() -> None:
    """15,346,630,656 directly; F(2x2, 3x3) 16/36 of it, as 224, 112, ... are even and no edge tile is cut."""
    convolutions = [
        layer for layer in load_workload("vgg16").layers.values() if isinstance(layer, ConvLayer)
    ]
    total = {
        name: sum(
            stage.operations.multiplies
            for layer in convolutions
            for stage in lower(layer, name).stages
        )
        for name in ("direct", "im2col", "winograd-f2", "winograd-f4")
    }
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
    assert [
        program_of(matrix).operations.vector_operations
        for matrix in (exact.b_t, exact.g, exact.a_t)
    ] == [4, 4, 4]


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_programs_multiply_by_their_matrix(rows: int, columns: int, seed: int) -> None:
    """Also transposed; and sharing never costs more than term by term."""
    dice = np.random.default_rng(seed)
    exact = tuple(
        tuple(Fraction(int(dice.integers(-3, 4)), int(dice.integers(1, 4))) for _ in range(columns))
        for _ in range(rows)
    )
    values, back = dice.standard_normal(columns), dice.standard_normal(rows)
    program, plain = program_of(exact), np.array(exact, dtype=np.float64)
    assert np.allclose(
        [0.0 if value is None else value for value in program.run(list(values))], plain @ values
    )
    assert np.allclose(
        [0.0 if value is None else value for value in transposed(program).run(list(back))],
        plain.T @ back,
    )
    terms = sum(max(0, sum(value != 0 for value in row) - 1) for row in exact)
    assert program.operations.additions <= terms


@pytest.mark.parametrize("t", [4, 8, 16, 32])
def test_fourier_programs(t: int) -> None:
    """Values against NumPy; operations against Sorensen et al.: 2 t log2 t - 4 t + 6 real, 4 t log2 t - 6 t + 8 complex."""
    dice, power = np.random.default_rng(t), t.bit_length() - 1
    x, z = dice.standard_normal(t), dice.standard_normal(2 * t)
    spectrum, whole = np.fft.rfft(x), np.fft.fft(z[:t] + 1j * z[t:])
    assert np.allclose(real_program(t).run(list(x)), np.r_[spectrum.real, spectrum.imag[1:-1]])
    assert np.allclose(complex_program(t).run(list(z)), np.r_[whole.real, whole.imag])
    flops = [
        program(t).operations.additions + program(t).operations.constant_multiplies
        for program in (real_program, inverse_program, complex_program)
    ]
    assert flops == [
        2 * t * power - 4 * t + 6,
        2 * t * power - 4 * t + 6,
        4 * t * power - 6 * t + 8,
    ]


@GENEROUS
@given(layer=layers(transposed=False), seed=st.integers(0, 2**32 - 1))
def test_low_rank_is_exact_at_full_rank_and_its_factors_convolution_below(
    layer: ConvLayer, seed: int
) -> None:
    x, w = data(layer, seed)
    c, k = layer.c // layer.groups, layer.k // layer.groups
    full = min(k, c * layer.r * layer.s)
    for name in (f"svd-r{full}", f"tucker-r{c}x{k}"):
        assert np.allclose(
            find_algorithm(name).compute(layer, x, w), by_loops(layer, x, w), atol=1e-8
        )
    for name in ("svd-r1", "tucker-r1x1"):
        algorithm = find_algorithm(name)
        assert isinstance(algorithm, LowRank)
        assert np.allclose(
            algorithm.compute(layer, x, w),
            by_loops(layer, x, algorithm.rebuilt(layer, w)),
            atol=1e-8,
        )
        assert algorithm.reconstruction_error(layer, w) <= 1.0


def test_what_does_not_apply_says_why() -> None:
    assert "shares nothing" in lower(ConvLayer(1, 3, 9, 9, 4, 1, 1), "winograd-f4").notes[0].text
    assert (
        "phase of one tap"
        in lower(ConvLayer(1, 3, 8, 8, 4, 2, 2, stride=2), "winograd-f4").notes[0].text
    )
    assert (
        "expected a tile of at most"
        in lower(ConvLayer(1, 3, 20, 20, 4, 11, 11), "winograd-f8").notes[0].text
    )
    assert (
        "filters of at most 8 taps"
        in lower(ConvLayer(1, 3, 20, 20, 4, 11, 11), "fft-t8").notes[0].text
    )
    assert "expected 1 to 4" in lower(ConvLayer(1, 3, 9, 9, 4, 3, 3), "svd-r5").notes[0].text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("winograd-f1", "expected winograd-f2 to"),
        ("winograd-f2x99", "expected winograd-f2 to"),
        ("winograd-f2@0:1:1", "all different"),
        ("winograd-f2@0:x", "fractions separated by colons"),
        ("fft-t12", "expected one of 4, 8, 16"),
        ("svd-r0", "rank 0; expected at least 1"),
        ("svd-r2x3", "two ranks"),
        ("im2cool", "did you mean 'im2col'"),
    ],
)
def test_names_out_of_range_and_misspelt(name: str, message: str) -> None:
    with pytest.raises((HwsimError, UnknownName), match=message):
        find_algorithm(name)
