"""Zeros: counted exactly on arrays, expected on densities, skipped by the machines that can."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

import hwsim
from hwsim.algorithms import find_algorithm, lower
from hwsim.cli import main
from hwsim.count.effectual import effectual_multiplies
from hwsim.count.operations import Arrays, count_algorithms
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, Density, GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import load_workload
from hwsim.describe.workload import single
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution
from hwsim.ir.evaluate import operands
from hwsim.oracle.operations import execute_plan
from hwsim.rewrite.sparsity import exploit
from tests.layers import data, layers

ROOT = Path(__file__).parent.parent


def pruned(layer: Convolution, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random arrays with zeros at the layer's densities."""
    x, w = data(layer, seed)
    dice = np.random.default_rng(seed + 1)
    return x * (dice.random(x.shape) < layer.density.activations), w * (
        dice.random(w.shape) < layer.density.weights
    )


@pytest.mark.parametrize("name", ["direct", "im2col", "winograd-f2", "winograd-f3", "offset-add"])
@settings(max_examples=12, deadline=None)
@given(layer=layers(largest=5), seed=st.integers(0, 2**31))
def test_counted_on_arrays_is_what_an_execution_tallies(
    name: str, layer: Convolution, seed: int
) -> None:
    if find_algorithm(name).refuses(layer) is not None:
        return
    dice = np.random.default_rng(seed)
    x, w = (values * (dice.random(values.shape) < 0.5) for values in data(layer, seed))
    plan = lower(layer, name)
    _, tallied = execute_plan(plan, operands(layer, x, w))
    assert effectual_multiplies(plan, operands(layer, x, w)) == sum(
        own.effectual_multiplies for own in tallied.values()
    )


@pytest.mark.parametrize("name", ["direct", "im2col", "winograd-f2", "winograd-f4", "offset-add"])
@pytest.mark.parametrize(
    "layer",
    [
        ConvLayer(1, 32, 28, 28, 32, 3, 3, 1, 1, density=Density(0.3, 0.4)),
        ConvLayer(1, 32, 28, 28, 32, 5, 5, 2, 2, density=Density(0.2, 0.6)),
        ConvLayer(1, 32, 28, 28, 32, 3, 3, 1, 2, 2, density=Density(0.5, 0.1)),
        ConvTransposeLayer(1, 32, 14, 14, 32, 4, 4, 2, 1, density=Density(0.3, 0.4)),
    ],
)
def test_expectation_agrees_with_arrays_within_sampling_error(
    name: str, layer: Convolution
) -> None:
    """Some 800,000 products and more of about 30,000 independent zeros each way: within 4%."""
    plan = lower(layer, name)
    expected = sum(stage.operations.effectual_multiplies for stage in plan.stages)
    x, w = pruned(layer, 3)
    assert effectual_multiplies(plan, operands(layer, x, w)) == pytest.approx(expected, rel=0.04)


def test_the_transform_fills_zeros_in_unless_whole_filters_are_zero() -> None:
    """F(2x2, 3x3): of U's 16 points 4 depend on 1 tap, 8 on 3, 4 on 9: at density d, 1 - (1 - d)^taps are not zero."""
    layer = ConvLayer(1, 8, 8, 8, 8, 3, 3, pad=0, density=Density(0.3))
    tiles, d = 9 * 64, 0.3
    products = sum(
        4 * 1 - 4 * (1 - d) ** taps if taps != 3 else 8 - 8 * (1 - d) ** 3 for taps in (1, 3, 9)
    )
    assert lower(layer, "winograd-f2").stages[2].operations.effectual_multiplies == round(
        products * tiles
    )
    blocks = ConvLayer(1, 8, 8, 8, 8, 3, 3, pad=0, density=Density(0.25, structure="4x4"))
    assert lower(blocks, "winograd-f2").stages[2].operations.effectual_multiplies == 16 * tiles // 4


@pytest.mark.parametrize(
    ("network", "weights", "activations"),
    [
        ("cifar10_vgg_nagadomi", 0.4, 0.540865),
        ("cifar100_convpool_cnn_c", 0.6, 0.551471),
        ("imagenet_resnet18_variant", 0.35, 0.595238),
    ],
)
def test_published_reductions_of_winograd_relu(
    network: str, weights: float, activations: float
) -> None:
    """Liu et al. 2018: 10.4, 6.8 and 10.8 times.

    A reduction of x is 2.25 / (weights activations); the paper gives densities by layer that are
    not public, so these are of its pruning schedule (weights) and what the reduction then implies.
    """
    published = yaml.safe_load((ROOT / "reference" / "sparse_winograd.yaml").read_text())[
        "abstract_numbers"
    ]["multiply_reduction"]
    density = Density(weights, activations)
    layer = ConvLayer(1, 64, 32, 32, 64, 3, 3, pad=1, density=density)
    (row,) = count_algorithms(single(layer), ["winograd-f2-relu"])
    assert row.reduction == pytest.approx(published[network], rel=1e-3)
    assert row.reduction == pytest.approx(2.25 / (weights * activations), rel=1e-4)


def test_winograd_relu_counts_its_own_arrays() -> None:
    layer = ConvLayer(1, 4, 8, 8, 4, 3, 3, pad=1)
    x, w = data(layer, 1)
    dice = np.random.default_rng(0)
    u = dice.standard_normal((16, 4, 4)) * (dice.random((16, 4, 4)) < 0.5)
    (row,) = count_algorithms(single(layer), ["winograd-f2-relu"], {"layer": Arrays(x, w, u)})
    padded, b_t = (
        np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))),
        np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]),
    )
    total = 0
    for y, z in np.ndindex(4, 4):
        v = np.einsum(
            "ai,cij,bj->abc", b_t, padded[0, :, 2 * y : 2 * y + 4, 2 * z : 2 * z + 4], b_t
        ).reshape(16, 4)
        total += int(((v > 0)[:, None, :] & (u != 0)).sum())
    assert row.operations.effectual_multiplies == total


def time_of(
    machine: str, dtype: str, density: Density, algorithm: str = "implicit-gemm"
) -> hwsim.Result:
    return hwsim.simulate(
        ConvLayer(32 if machine == "h200" else 1, 256, 28, 28, 256, 3, 3, pad=1, density=density),
        machine,
        algorithm,
        dtype=dtype,
    )


def test_which_machines_gain_from_which_zeros() -> None:
    """2:4 on tensor cores, blocks where they fill what is multiplied at a time, channels everywhere, single zeros nowhere."""
    gains = {
        (machine, structure): structure_gain(machine, dtype, structure)
        for machine, dtype in (("h200", "fp16"), ("xeon-8380", "fp32"), ("tpu-v1", "int8"))
        for structure in ("unstructured", "2:4", "16x16", "256x256", "channels")
    }
    for machine in ("h200", "xeon-8380", "tpu-v1"):
        assert gains[machine, "unstructured"] == 1.0
        assert gains[machine, "channels"] > 1.3
        assert gains[machine, "256x256"] > 1.1
    assert gains["h200", "2:4"] > 1.3 and gains["xeon-8380", "2:4"] == gains["tpu-v1", "2:4"] == 1.0
    assert (
        gains["h200", "16x16"] > 1.3
        and gains["xeon-8380", "16x16"] > 1.3
        and gains["tpu-v1", "16x16"] == 1.0
    )


def structure_gain(machine: str, dtype: str, structure: str) -> float:
    return (
        time_of(machine, dtype, Density()).seconds
        / time_of(machine, dtype, Density(0.5, structure=structure)).seconds
    )


def test_gated_zeros_save_energy_in_the_pes_and_no_time_there() -> None:
    dense, sparse = (
        time_of("eyeriss-v1", "int16", Density(1.0, share)).layers[0].online[0]
        for share in (1.0, 0.5)
    )
    assert dense.cycles.compute == sparse.cycles.compute
    for part in ("pes", "filter_spad"):
        assert sparse.energy_pj[part] < dense.energy_pj[part]
    assert sparse.energy_pj["psum_spad"] == dense.energy_pj["psum_spad"]


@pytest.mark.parametrize(
    ("layer", "machine", "dtype", "algorithm"),
    [
        (  # factors are dense
            ConvLayer(1, 256, 14, 14, 256, 3, 3, pad=1, density=Density(0.5, structure="256x256")),
            "tpu-v1",
            "int8",
            "svd-r64",
        ),
        (  # 4 filters: no tensor cores
            ConvLayer(1, 256, 28, 28, 4, 3, 3, pad=1, density=Density(structure="2:4")),
            "h200",
            "fp16",
            "implicit-gemm",
        ),
        (  # 1 channel a group
            ConvLayer(1, 64, 14, 14, 64, 3, 3, pad=1, groups=64, density=Density(structure="2:4")),
            "h200",
            "fp16",
            "im2col",
        ),
        (  # smaller than a block
            ConvLayer(1, 64, 28, 28, 64, 3, 3, pad=1, density=Density(0.5, structure="256x256")),
            "tpu-v1",
            "int8",
            "direct",
        ),
    ],
)
def test_zeros_that_no_unit_skips_are_multiplied(
    layer: ConvLayer, machine: str, dtype: str, algorithm: str
) -> None:
    dense = hwsim.simulate(replace(layer, density=Density()), machine, algorithm, dtype=dtype)
    sparse = hwsim.simulate(layer, machine, algorithm, dtype=dtype)
    assert sparse.counts.multiplies == dense.counts.multiplies and sparse.cycles == dense.cycles
    assert any("multiplies zeros" in note for note in sparse.notes)


def test_pruned_channels_of_a_product() -> None:
    counts = hwsim.simulate(
        hwsim.GemmLayer(64, 64, 64, density=Density(0.5, structure="channels")), "tpu-v1", "direct"
    ).counts
    assert counts.multiplies == counts.effectual_multiplies == 64 * 64 * 32


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": 0.0}, "above 0 and up to 1"),
        ({"weights": True}, "above 0 and up to 1"),
        ({"structure": "4:4"}, "1 to 3 of 4"),
        ({"structure": "2:0"}, "in 2:4"),
        ({"weights": 0.4, "structure": "2:4"}, "2:4 keeps 0.5"),
        ({"structure": "diagonal"}, "expected unstructured, channels, N:M"),
    ],
)
def test_densities_that_make_no_sense(fields: dict, message: str) -> None:
    with pytest.raises(HwsimError, match=message):
        Density(**fields)


WORKLOAD = """name: small
source: test
input: {c: 4, h: 8, w: 8}
layers:
  - {name: conv, op: conv, k: 4, r: 3, pad: 1, density: {weights: 0.5, activations: 0.5}}
  - {name: up, op: convtranspose, k: 2, r: 4, stride: 2, pad: 1, density: {structure: "2:4"}, out: {c: 2, h: 16, w: 16}}
"""


def test_a_workload_states_densities(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(WORKLOAD)
    layers_ = load_workload(path).layers
    assert [getattr(layer, "density", None) for layer in layers_.values()] == [
        Density(0.5, 0.5),
        Density(0.5, structure="2:4"),
    ]
    path.write_text(WORKLOAD.replace("weights: 0.5", "weights: 1.5"))
    ran = CliRunner().invoke(main, ["count", str(path)])
    assert ran.exit_code == 2 and "small.yaml:5:" in ran.stderr and "up to 1" in ran.stderr


def test_count_reads_arrays_and_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    layer = load_workload("toy-4x4").layers["conv"]
    assert isinstance(layer, ConvLayer)
    x, w = data(layer, 1)
    x[0, 0, 0] = 0
    path = tmp_path / "arrays.npz"
    np.savez(path, **{"conv.activations": x, "conv.weights": w})
    words = [
        "count",
        "toy-4x4",
        "--arrays",
        str(path),
        "--json",
        "-",
        "-a",
        "direct,winograd-f3-relu",
    ]
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 0, ran.stderr
    # the first row's three windows lose two taps each
    assert '"effectual_multiplies": 30' in ran.stdout
    for entries, message in (
        ({"conv.weights": w}, "no entry conv.activations"),
        ({"cnv.weights": w}, "did you mean 'conv'"),
        ({"conv.weights": w, "conv.activations": x[0]}, "expected (1, 1, 4, 4)"),
    ):
        np.savez(path, **entries)
        ran = CliRunner().invoke(main, words)
        assert ran.exit_code == 2 and message in ran.stderr
    for entries, message in (
        ({}, "no arrays"),
        ({"conv.weights": w * np.nan, "conv.activations": x}, "no finite real numbers"),
        ({"conv.bias": w}, "expected conv.weights"),
        ({"conv.weights": w, "conv.activations": x, "conv.U": w}, "U has 4 elements"),
    ):
        np.savez(path, **entries)
        ran = CliRunner().invoke(main, words)
        assert ran.exit_code == 2 and message in ran.stderr, ran.stderr
    np.save(path.with_suffix(".npy"), w)
    assert CliRunner().invoke(main, [*words[:3], str(path.with_suffix(".npy"))]).exit_code == 2
    path.write_text("no archive")
    assert "cannot be read" in CliRunner().invoke(main, words).stderr


@pytest.mark.slow
def test_the_digits_demonstration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, pruned and counted for real: accuracy holds, the transform fills zeros in, Winograd-ReLU needs least."""
    spec = importlib.util.spec_from_file_location("digits", ROOT / "demos" / "digits.py")
    assert spec is not None and spec.loader is not None
    digits = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "digits", digits)
    spec.loader.exec_module(digits)
    monkeypatch.setattr(digits, "EPOCHS", 6)  # half of the demonstration's
    monkeypatch.setattr(digits, "RETRAIN", 4)
    direct, winograd, pruned_direct, pruned_winograd, relu = digits.forms(0.25)
    assert min(form.accuracy for form in (direct, pruned_direct, relu)) > 0.95
    assert (
        relu.effectual
        < pruned_direct.effectual
        < pruned_winograd.effectual
        < winograd.effectual
        < direct.effectual
    )
    assert pruned_direct.weights == pytest.approx(0.25, abs=0.01) and pruned_winograd.weights > 0.5
    for form in (winograd, pruned_direct, pruned_winograd, relu):
        assert form.effectual == pytest.approx(form.expected, rel=0.05)


@pytest.mark.parametrize("machine", ["h100", "a100", "l4"])
@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_products_that_select_run_the_kernels_of_products(machine: str, dtype: str) -> None:
    """They ran those of convolutions: three times as long as dense ones, or did not fit."""
    pruned_layer = GemmLayer(4096, 4096, 4096, density=Density(weights=0.5, structure="2:4"))
    sparse, dense = (
        hwsim.simulate(layer, machine, "direct", dtype=dtype).seconds
        for layer in (pruned_layer, GemmLayer(4096, 4096, 4096))
    )
    assert 0.45 * dense < sparse < 0.75 * dense


@pytest.mark.parametrize("machine", ["a100", "h100"])
def test_fewer_blocks_are_never_slower(machine: str) -> None:
    """Of shares that are no whole parts products chose from words behind the map, and took longer."""
    times = [blocks(machine, "16x16", share) for share in (0.2, 0.25, 0.4, 0.5, 0.75, 0.9, 1.0)]
    assert all(fewer <= 1.02 * more for fewer, more in itertools.pairwise(times)), times


@pytest.mark.parametrize("machine", ["graviton2", "graviton3"])
@pytest.mark.parametrize("share", [0.25, 0.75])
def test_cores_have_registers_for_what_blocks_choose_from(machine: str, share: float) -> None:
    """graviton3 refused such layers."""
    assert blocks(machine, "8x1", share) < 0.95 * blocks(machine, "8x1", 1.0)


def blocks(machine: str, structure: str, share: float) -> float:
    """Seconds of a convolution whose weights have so large a share of blocks left."""
    density = Density(share, structure=structure)
    layer = ConvLayer(1, 250, 14, 14, 64, 3, 3, pad=1, density=density)
    return hwsim.simulate(layer, machine, "direct").seconds


@pytest.mark.parametrize("share", [0.3, 0.4, 0.5, 0.75, 0.9])
def test_what_blocks_choose_from_lies_in_the_map(share: float) -> None:
    layer = GemmLayer(8, 64, 100, density=Density(share, structure="8x1"))
    plan, _ = exploit(lower(layer, "direct"), layer, load_machine("graviton2"))
    (stage,) = plan.stages
    read = next(tensor for tensor in stage.inputs if tensor.role == "activation")
    (axis,) = (axis for axis in read.axes if "k" in axis.dims)
    assert axis.size == 100
    assert axis.terms[0][1] * (stage.extents["k"] - 1) + axis.extent <= 100
