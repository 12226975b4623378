"""Kernels on feature maps, and networks as one captured graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.algorithms import lower
from hwsim.cli import main
from hwsim.describe.catalog import data_folder
from hwsim.describe.layer import ConvLayer, ElementwiseLayer, GemmLayer, PoolLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.map_kernels import load_map_library
from hwsim.describe.networks import load_workload
from hwsim.describe.settings import read_settings
from hwsim.describe.workload import Workload
from hwsim.errors import ConfigError
from hwsim.timing.gpu.maps import map_kernel
from hwsim.validate import run_check

H100 = load_machine("h100")
FAMILIES = load_map_library("pytorch-maps").families
GAP_US, CAPTURED_US = 2.4, 0.33  # before a kernel that is called, and in a captured graph


def test_grids_are_those_that_were_launched() -> None:
    """Beside grids in reference/h100_maps.json, of 16 maps of 256 channels, 56 x 56."""
    sizes = {"n": 16, "c": 256, "rows": 56, "columns": 56}
    pooled = {**sizes, "rows": 28, "columns": 28}
    assert FAMILIES["vectors-half"].grid(sizes)[0] == 12544
    assert FAMILIES["bias-half"].grid(sizes)[0] == 25088
    assert FAMILIES["bias"].grid(sizes)[0] == 50176
    assert FAMILIES["norm-half-nchw"].grid(sizes) == (256 * 16, 7)
    assert FAMILIES["norm-half-nhwc"].grid(sizes) == (8 * 128, 25)
    assert FAMILIES["max-nchw"].grid(pooled)[0] == 12544
    assert FAMILIES["max-nhwc"].grid(pooled)[0] == 32 * 7


@pytest.mark.parametrize(
    ("op", "dtype", "layout", "most"),
    [
        ("relu", "fp32", "nchw", 0.06),
        ("relu", "fp16", "nhwc", 0.15),
        ("bias", "fp16", "nhwc", 0.1),
        ("batchnorm", "fp32", "nchw", 0.15),
        ("batchnorm", "fp16", "nhwc", 0.15),
        ("maxpool3", "fp32", "nchw", 0.1),
        ("maxpool3", "fp16", "nhwc", 0.25),
    ],
)
def test_maps_take_as_long_as_measured(op: str, dtype: str, layout: str, most: float) -> None:
    rows = json.loads((data_folder("reference") / "h100_maps.json").read_text())["rows"]
    wanted = [
        row
        for row in rows
        if (row["op"], row["dtype"], row["layout"]) == (op, dtype, layout) and row["n"] in (4, 64)
    ]
    errors = []
    for row in wanted:
        n, c, h = row["n"], row["c"], row["h"]
        layer = (
            PoolLayer(n, c, h, h, 3, 3, stride=2, pad=1, layout=row["layout"])
            if op == "maxpool3"
            else ElementwiseLayer(n, c, h, h, op=op, layout=row["layout"])
        )
        modelled = hwsim.simulate(layer, H100, dtype=dtype).seconds * 1e6
        errors.append(abs(modelled / row["us_cold"] - 1))
    assert sum(errors) / len(errors) < most


@pytest.mark.parametrize("op", ["relu", "batchnorm", "max"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    "slow",
    [
        "parts.l2.bandwidth=20GB/s",
        "parts.hbm.bandwidth=10GB/s",
        "parts.sms.macs_per_cycle={fp32: 1, fp16: 1}",
        "parts.sms.sms=3",
    ],
)
def test_maps_take_no_less_than_what_they_move_and_compute(op: str, layout: str, slow: str) -> None:
    """A slower port or slower cores are never quicker, and physics holds (simulate checks it)."""
    machine = load_machine("h100", read_settings([slow]))
    for n, c, h in ((1, 8, 300), (7, 513, 7), (16, 64, 56)):
        layer = (
            PoolLayer(n, c, h, h, 3, 3, stride=2, layout=layout)
            if op == "max"
            else ElementwiseLayer(n, c, h, h, op=op, layout=layout)
        )
        for dtype in ("fp16", "fp32"):
            quick = hwsim.simulate(layer, H100, dtype=dtype)
            assert hwsim.simulate(layer, machine, dtype=dtype).seconds >= quick.seconds


def test_a_whole_maps_average_is_no_small_window() -> None:
    """The families of average pooling are measured on small windows."""
    for window, found in ((3, True), (56, False)):
        (stage,) = lower(PoolLayer(2, 8, 56, 56, window, window, op="avg"), "memory-bound").stages
        assert (map_kernel(stage, H100) is not None) == found


def test_eager_has_a_layer_for_what_rides_along() -> None:
    workload = load_workload("resnet18", 2)
    eager = workload.eager()
    assert eager.inputs["conv2_1a"] == ("pool1",)
    assert eager.inputs["pool1"] == ("conv1.relu",)
    assert eager.inputs["add2_1"] == ("conv2_1b.batchnorm", "pool1")
    assert eager.inputs["conv2_2a"] == ("add2_1.relu",)
    assert eager.layers["conv1.batchnorm"] == ElementwiseLayer(2, 64, 112, 112, op="batchnorm")
    assert eager.macs == workload.macs
    assert eager.eager() == eager
    convolutions = sum(isinstance(layer, ConvLayer) for layer in workload.layers.values())
    steps = len(eager.layers) - len(workload.layers)
    assert steps == 2 * convolutions + 8 - 8 - 3  # relu after sums, none before them


def test_eager_keeps_images_and_layouts() -> None:
    product = GemmLayer(5, 7, 3, batch=4)
    layers = {"a": product, "b": ConvLayer(2, 3, 8, 8, 4, 3, 3, layout="nhwc")}
    riding = {"a": ("gelu",), "b": ("relu",)}
    eager = Workload("two", layers, {"a": (), "b": ()}, riding=riding).eager()
    assert eager.layers["a.gelu"] == ElementwiseLayer(4, 7, 5, 1, op="gelu")
    assert eager.layers["b.relu"] == ElementwiseLayer(2, 4, 6, 6, op="relu", layout="nhwc")


def test_kernels_of_a_network_follow_without_calls() -> None:
    """A layer of a network takes the call less, every kernel of its own."""
    layer = ElementwiseLayer(4, 64, 56, 56, op="relu")
    alone = hwsim.simulate(layer, H100)
    both = Workload("two", {"a": layer, "b": layer}, {"a": (), "b": ()})
    network = hwsim.simulate(both, H100)
    saved = 2 * (GAP_US - CAPTURED_US) * 1e-6
    assert network.seconds == pytest.approx(2 * alone.seconds - saved, rel=1e-9)
    stated = load_machine("h100", read_settings(["parts.sms.captured=2400ns"]))
    assert hwsim.simulate(both, stated).seconds == pytest.approx(2 * alone.seconds, rel=1e-9)


def test_networks_are_near_what_was_measured(tmp_path: Path) -> None:
    rows = json.loads((data_folder("reference") / "h100_networks.json").read_text())["rows"]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"rows": [row for row in rows if row["batch"] == 1]}))
    report = run_check("h100-networks", path)
    assert report.metrics["time"].mean_abs_rel_err < 0.1
    regret = report.groups["network"]["resnet50"]["layout_regret"]
    assert regret.mean_abs_rel_err == 0


def test_what_rides_along_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "name: net\nsource: none\ninput: {c: 1, h: 4, w: 4}\nthen: {konv: [relu], conv: [rely]}\n"
        "layers:\n  - {name: a, op: conv, k: 1, r: 1, then: [softmax]}\n"
    )
    with pytest.raises(ConfigError, match="'softmax'; expected some of bias"):
        load_workload(path)
    path.write_text(path.read_text().replace(", then: [softmax]", ""))
    with pytest.raises(ConfigError) as caught:
        load_workload(path)
    said = str(caught.value)
    assert "then.konv: no operator" in said
    assert "did you mean 'conv'" in said
    assert "'rely'; expected some of bias" in said


def test_eager_on_the_command_line() -> None:
    ran = CliRunner().invoke(
        main, ["run", "h100", "alexnet", "--eager", "-l", "conv1", "--json", "-"]
    )
    assert ran.exit_code == 0, ran.output
    names = [layer["name"] for layer in json.loads(ran.stdout)["layers"]]
    assert names == ["conv1", "conv1.bias", "conv1.relu"]
    refused = CliRunner().invoke(main, ["run", "--nest", "x.yaml", "--eager"])
    assert refused.exit_code == 2
    assert "--eager" in refused.output


def test_a_family_states_axes_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "maps.yaml"
    path.write_text(
        "name: mine\ndescription: mine\nfamilies:\n  a:\n    operators: [relu]\n"
        "    tile: {wrds: 4, plane: 2, rows: 3}\n    most: {c: 1}\n    threads: 32\n"
        "    registers: 8\n    step: 10 cycles\n    block: 10 cycles\n    dtypes: [fp17]\n"
        "    layouts: [hwc]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_map_library(path)
    said = str(caught.value)
    for part in ("tile.wrds", "cuts an axis twice", "most.c", "'fp17'", "'hwc'"):
        assert part in said
