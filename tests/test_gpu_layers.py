"""Layers on a GPU as its library runs them: layouts, Winograd's groups of images, the L2 in closed form beside the walk."""

import json
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.choose.kernels import choices
from hwsim.describe.catalog import data_folder
from hwsim.describe.layer import (
    AttentionLayer,
    ConvLayer,
    ConvTransposeLayer,
    ElementwiseLayer,
    GemmLayer,
    PoolLayer,
)
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import find_workload
from hwsim.describe.settings import read_settings
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import LayerResult
from hwsim.rewrite.gpu_library import as_library_runs
from hwsim.rewrite.layout import in_layout
from hwsim.rewrite.residency import Pass
from hwsim.schedule.dataflows.shared_tiled import block_tiles
from hwsim.searches import kernel_choices
from hwsim.timing import layer_caches
from hwsim.timing.caches.traffic import LevelTraffic
from hwsim.timing.cpu.cores import cache_accesses
from hwsim.timing.gpu.kernel_time import Chip
from hwsim.timing.gpu.l2 import L2Buffers
from hwsim.validate import run_check

H100 = load_machine("h100")
PLAIN = ConvLayer(4, 64, 14, 14, 128, 3, 3, pad=1)


def run(
    layer: ConvLayer, algorithm: str = "implicit-gemm", dtype: str = "fp16", **more: bool
) -> LayerResult:
    return hwsim.simulate(layer, H100, algorithm, dtype=dtype, **more).layers[0]  # type: ignore[arg-type]


def online(layer: ConvLayer, dtype: str = "fp16") -> list[str]:
    return [stage.name for stage in run(layer, dtype=dtype).online]


def test_tensor_cores_want_channels_last_and_say_what_the_copies_cost() -> None:
    assert online(PLAIN) == ["ifmap to nhwc", "convolution", "ofmap to nchw"]
    assert online(replace(PLAIN, layout="nhwc")) == ["convolution"]
    assert online(PLAIN, "fp32") == ["convolution"]
    assert any("copied to channels last" in note.text for note in run(PLAIN).notes)
    assert run(PLAIN).seconds > 1.5 * run(replace(PLAIN, layout="nhwc")).seconds


def test_products_and_depthwise_layers_are_not_copied() -> None:
    assert online(replace(PLAIN, r=1, s=1, pad=0)) == ["convolution"]
    assert online(replace(PLAIN, k=64, groups=64)) == ["convolution"]


def test_filters_that_come_anew_are_laid_out_in_the_run() -> None:
    names = online(replace(PLAIN, filters="online"))
    assert names == ["ifmap to nhwc", "filter to nhwc", "convolution", "ofmap to nchw"]
    once, anew = (
        run(replace(PLAIN, filters=when), "winograd-f4") for when in ("offline", "online")
    )
    assert len(anew.online) == len(once.online) + 1


def test_a_copy_moves_a_map_once_in_whole_lines() -> None:
    """64 channels of 32 x 32 in fp16, rows of 64 bytes: every line is read once."""
    copy = run(replace(PLAIN, h=32, w=32)).online[0]
    size = 4 * 64 * 32 * 32 * 2
    assert copy.accesses["l2"]["ifmap"].read_bytes == size
    assert copy.accesses["l2"]["ifmap.nhwc"].write_bytes >= size
    assert copy.operations.multiplies == copy.operations.additions == 0


def test_winograd_takes_sixteen_images_at_a_time_and_its_counts_stay() -> None:
    """cuDNN's workspace for one image is that for sixteen (reference/h100_conv.json)."""
    one, sixteen = (run(replace(PLAIN, n=images), "winograd-f4") for images in (1, 16))
    assert one.online[1].cycles.total == pytest.approx(sixteen.online[1].cycles.total, rel=0.02)
    assert 16 * one.operations.multiplies == sixteen.operations.multiplies
    assert one.operations == lower(replace(PLAIN, n=1), "winograd-f4").operations
    assert "h100's library transforms 16 images at a time: one takes as long as 16" in map(
        str, one.notes
    )
    assert not any("at a time" in note.text for note in sixteen.notes)


def test_winograd_multiplies_in_single_precision_whatever_the_maps() -> None:
    plan = as_library_runs(
        lower(replace(PLAIN, dtype="fp16"), "winograd-f4").with_dtype("fp16"), H100
    )
    products = next(stage for stage in plan.stages if stage.view)
    assert products.dtype == "fp32"
    assert {tensor.width for tensor in products.tensors} == {4}
    transform = next(stage for stage in plan.stages if stage.name == "input-transform")
    assert [tensor.width for tensor in transform.tensors] == [2, 4]


def test_other_machines_run_the_textbook() -> None:
    tpu = load_machine("tpu-v1")
    for algorithm in ("winograd-f4", "im2col", "fft", "implicit-gemm"):
        plan = lower(PLAIN, algorithm)
        assert in_layout(as_library_runs(plan, tpu), PLAIN, tpu) == plan


def test_every_image_of_im2col_and_every_group_of_winograd_is_a_launch() -> None:
    for layer, algorithm, launches in (
        (PLAIN, "im2col", 4),
        (replace(PLAIN, k=64, groups=64), "winograd-f4", 64),
    ):
        stage = as_library_runs(lower(layer, algorithm), H100).stages[
            0 if algorithm == "im2col" else 1
        ]
        assert stage.launches == launches


@pytest.mark.parametrize(
    ("layer", "algorithm", "dtype"),
    [
        (ConvLayer(8, 64, 56, 56, 64, 3, 3, pad=1), "implicit-gemm", "fp32"),
        (ConvLayer(8, 64, 56, 56, 64, 3, 3, pad=1), "implicit-gemm", "fp16"),
        (ConvLayer(16, 128, 28, 28, 128, 3, 3, pad=1), "winograd-f4", "fp32"),
        (ConvLayer(8, 64, 56, 56, 64, 3, 3, pad=1), "im2col", "fp32"),
        (ConvLayer(16, 64, 56, 56, 64, 3, 3, pad=1, groups=64), "implicit-gemm", "fp32"),
    ],
)
def test_the_l2_in_closed_form_is_near_the_walk(
    layer: ConvLayer, algorithm: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_caches, "LINES_WALKED", 0)
    formula = run(layer, algorithm, dtype)
    walked = run(layer, algorithm, dtype, patient=True)
    assert (
        "closed form" in formula.online[0].fidelity and "line by line" in walked.online[0].fidelity
    )
    assert formula.dram_bytes == pytest.approx(walked.dram_bytes, rel=0.15)
    assert formula.seconds == pytest.approx(walked.seconds, rel=0.15)


def test_what_is_still_in_the_l2() -> None:
    l2 = L2Buffers("l2", capacity=100, line=1)
    l2.touched = {"a": Pass(0, 60), "b": Pass(60, 160)}
    assert l2.still_there("c", 160, 200) == 0.0
    assert l2.still_there("b", 160, 260) == 1.0  # 100 bytes lie between, all along
    assert l2.still_there("b", 170, 270) == 0.0  # 110
    assert l2.still_there("a", 60, 120) == 1.0
    # a's word at x was left 100 - 0 + x (10 - 60) ago: all within 100
    assert l2.still_there("a", 100, 110) == 1.0
    # from 120 - 50 x: the last 60%
    assert l2.still_there("a", 120, 130) == pytest.approx(0.6)


def test_the_check_of_convolutions(tmp_path: Path) -> None:
    rows = json.loads((data_folder("reference") / "h100_conv.json").read_text())["rows"]
    wanted = [row for row in rows if (row["N"], row["C"], row["H"]) == (64, 256, 13)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"rows": wanted}))
    report = run_check("h100-conv", path)
    by_algorithm = report.groups["algorithm"]
    assert by_algorithm["implicit_precomp_gemm fp32"]["time"].mean_abs_rel_err < 0.3
    assert by_algorithm["winograd_nonfused fp32"]["time"].mean_abs_rel_err < 0.3
    assert report.metrics["pick_regret"].mean_abs_rel_err < 0.05
    assert any("offset_add" in remark for remark in report.remarks)


def test_gpus_by_their_data_sheets_are_near_what_was_measured() -> None:
    groups = run_check("gemm-silicon").groups["bound by"]
    assert groups["the GPU, a100"]["time"].mean_abs_rel_err < 0.08
    assert groups["the GPU, mi210"]["time"].mean_abs_rel_err < 0.2
    assert groups["the GPU, mi210"]["time"].median_abs_rel_err < 0.12


def test_a_wave_is_as_wide_as_the_machine_says() -> None:
    """A block of 64 threads is one wave of an MI210, on one of four SIMDs, and two warps of an L4."""
    wide, narrow = (Chip.of(load_machine(name)) for name in ("mi210", "l4"))
    family = wide.sm.library.families["mfma-half"]  # type: ignore[union-attr]
    assert wide.reached(family, np.array([64 / wide.sm.warp]))[0] == 0.25
    assert (wide.sm.warp, narrow.sm.warp) == (64, 32)
    assert wide.sm.blocks_held(65, 16, 0, 1 << 30, 1 << 16)["threads"] == 2048 // 128
    assert narrow.sm.blocks_held(65, 16, 0, 1 << 30, 1 << 16)["threads"] == 1536 // 96


@pytest.mark.parametrize("name", ["t4", "l4", "a100", "h100", "mi210", "mi300x"])
def test_integers_run_on_tensor_cores_without_a_library_of_their_own(name: str) -> None:
    """Groups of threads hold several fragments, so that no block has more threads than it may."""
    machine = load_machine(name)
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    for m, n, k in ((1024, 1024, 512), (1023, 1025, 511)):
        layer = GemmLayer(m, n, k, dtype="int8")
        (stage,) = lower(layer, "direct").with_dtype("int8").stages
        for tile in block_tiles(stage, sm, tensor_cores=True):
            groups = ceil(tile.bm / tile.tm) * ceil(tile.bn / tile.tn)
            assert groups * sm.tensor_threads <= 256
        result = hwsim.simulate(layer, machine, "direct", dtype="int8")
        assert result.utilization > 0.02


@pytest.mark.parametrize("name", ["t4", "l4", "a100", "h100", "v100", "p100", "mi210", "mi300x"])
def test_depthwise_layers_run_the_kernel_for_them(name: str) -> None:
    """It reads what it needs itself, so that little shared memory does not rule it out."""
    layer = ConvLayer(8, 32, 56, 56, 32, 3, 3, pad=1, groups=32, dtype="fp32")
    (choice,) = choices([("l", layer, "implicit-gemm")], load_machine(name), "fp32", 1)
    assert choice.kernels[0].kernel.family == "conv-grouped"


def test_one_tap_cuts_no_row_short() -> None:
    """Rows of 28 x 28 pixels are whole loads of 16 bytes: the image lies side by side.

    reference/h100_conv.json: 1 x 1 filters on such maps run the kernels of aligned products.
    """
    layer = ConvLayer(8, 512, 28, 28, 128, 1, 1, dtype="fp16")
    (choice,) = choices([("l", layer, "implicit-gemm")], load_machine("h100"), "fp16", 1)
    assert choice.kernels[0].kernel.family == "wgmma"


def test_maps_of_ragged_rows_are_copied_where_that_is_faster() -> None:
    """reference/h100_conv.json: 64 maps of 7 x 7 are copied to channels last, one is not."""
    for images, copied in ((64, True), (1, False)):
        layer = ConvLayer(images, 512, 7, 7, 2048, 1, 1, dtype="fp16")
        result = hwsim.simulate(layer, "h100", "implicit-gemm", dtype="fp16")
        names = [stage.name for stage in result.layers[0].stages]
        assert any("nhwc" in name for name in names) == copied


def test_a_check_without_data_of_its_own_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(hwsim.HwsimError, match="expected --data FILE"):
        run_check("neusight")
    path = tmp_path / "rows.json"
    row = {
        "device": "Tesla V100-PCIE-32GB",
        "op": "linear",
        "M": 944,
        "N": 2983,
        "K": 41812,
        "us": 19905.88,
    }
    path.write_text(json.dumps({"rows": [row]}))
    assert run_check("neusight", path).metrics["time"].mean_abs_rel_err < 0.15


def test_twice_the_images_are_at_most_twice_the_work() -> None:
    """tests/cases/gpu/batch_cliff.yaml: eight images took 3.2 times as long as four."""
    path = Path(__file__).parent / "cases" / "gpu" / "batch_cliff.yaml"
    times = [
        hwsim.simulate(
            hwsim.load_workload(path, batch), "h200", "implicit-gemm", dtype="fp16"
        ).seconds
        for batch in (4, 8, 16)
    ]
    assert times[1] < 1.5 * times[0] and times[2] < 2 * times[1]


def test_a_comparison_says_what_the_library_does(tmp_path: Path) -> None:
    table = hwsim.compare(replace(PLAIN, n=1), ["h100"], ["winograd-f4", "direct"], dtype="fp16")
    said = " ".join(table.table().split())
    assert "transforms 16 images at a time: one takes as long as 16 (winograd-f4)" in said
    assert (
        "maps are copied to channels last and back; nhwc maps (--layout) are not (direct)" in said
    )
    table.to_html(tmp_path / "report.html")
    assert "transforms 16 images at a time" in (tmp_path / "report.html").read_text()


def test_norms_and_softmax_take_as_long_as_measured() -> None:
    """PyTorch's times on an H100 (reference/h100_transformer.json), to which nothing was fitted."""
    data = json.loads((data_folder("reference") / "h100_transformer.json").read_text())
    operators = {"layer_norm": "layernorm", "rms_norm": "rmsnorm"}
    errors = []
    for row in data["rows"]:
        if row["kind"] in operators and row["dtype"] == "fp16":
            layer = ElementwiseLayer(1, row["cols"], row["rows"], 1, op=operators[row["kind"]])
            result = hwsim.simulate(layer, "h100", dtype="fp16")
            errors.append(abs(result.seconds * 1e6 / row["us_cold"] - 1))
    assert len(errors) == 8
    assert sum(errors) / len(errors) < 0.15


def test_a_long_row_is_read_twice_and_a_short_one_once() -> None:
    """A norm's second reading comes from the DRAM where the rows are more than the L2 holds.

    They are the rows in flight; a warp's softmax keeps its row in registers.
    """
    norm = hwsim.simulate(ElementwiseLayer(1, 16384, 8192, 1, op="layernorm"), "h100")
    words = 16384 * 8192 * 4
    assert norm.layers[0].dram_bytes == pytest.approx(3 * words, rel=0.01)
    short = hwsim.simulate(ElementwiseLayer(1, 1024, 8192, 1, op="softmax"), "h100")
    assert short.layers[0].dram_bytes == pytest.approx(2 * 1024 * 8192 * 4, rel=0.01)


@pytest.mark.parametrize("op", ["softmax", "layernorm", "rmsnorm"])
@pytest.mark.parametrize(("rows", "words"), [(3, 8192), (132, 4096), (4000, 768), (50000, 64)])
@pytest.mark.parametrize(
    "slow",
    [
        "parts.l2.bandwidth=20GB/s",
        "parts.hbm.bandwidth=10GB/s",
        "parts.sms.macs_per_cycle={fp32: 1}",
    ],
)
def test_rows_take_no_less_than_what_they_move_and_compute(
    op: str, rows: int, words: int, slow: str
) -> None:
    """A slower port or slower cores are never quicker, and physics holds (simulate checks it)."""
    layer = ElementwiseLayer(1, words, rows, 1, op=op)
    machine = load_machine("h100", read_settings([slow]))
    assert hwsim.simulate(layer, machine).seconds >= hwsim.simulate(layer, H100).seconds


@pytest.mark.parametrize("slow", ["parts.l2.bandwidth=20GB/s", "parts.hbm.bandwidth=5GB/s"])
def test_fused_attention_takes_no_less_than_what_it_moves(slow: str) -> None:
    layer = AttentionLayer(1, 12, 512, 512, 64)
    machine = load_machine("h100", read_settings([slow]))
    run = hwsim.simulate(layer, machine, "flash-attention", dtype="fp16")
    assert run.seconds > hwsim.simulate(layer, H100, "flash-attention", dtype="fp16").seconds


GPUS = sorted(path.stem for path in (data_folder("configs") / "gpu").glob("*.yaml"))


@pytest.mark.parametrize("name", GPUS)
def test_windows_that_shared_memory_does_not_hold_are_taken_in_parts(name: str) -> None:
    """Averages over whole maps of up to half a megabyte each: all of it is read, and once."""
    for side in (56, 112, 224, 360):
        layer = hwsim.simulate(PoolLayer(1, 8, side, side, side, side), name).layers[0]
        assert layer.dram_read_bytes >= 8 * side * side * 4
        assert layer.dram_read_bytes <= 8 * side * side * 4 * 1.05


@pytest.mark.parametrize("name", GPUS)
def test_windows_with_gaps_of_a_depthwise_layer_fit(name: str) -> None:
    """A block's pixels reach over stride^2 times as many words."""
    for side, taps, stride in ((112, 3, 2), (224, 7, 4), (57, 5, 3)):
        layer = ConvLayer(1, 32, side, side, 32, taps, taps, stride, taps // 2, groups=32)
        assert hwsim.simulate(layer, name, "direct").cycles > 0


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("name", GPUS)
def test_small_networks_run_on_every_gpu(name: str) -> None:
    """With averages over whole maps, depthwise layers, and maps that stay in the L2 in part."""
    for network in ("efficientnet-b0", "mobilenet-v1"):
        assert hwsim.simulate(network, name, "direct").seconds > 0


def test_the_line_at_the_edge_of_what_stays_is_written() -> None:
    """588 lines of 64 bytes, an eighth of them stay: 515 leave, not 514."""
    chain = cache_accesses(H100, {("dram", "ofmap"): LevelTraffic(0, 588 * 0.875, 0, 0)}, 64)
    assert chain[H100.dram_name]["ofmap"].write_bytes == 515 * 64


def test_phases_of_a_transposed_convolution_share_one_copy_of_each_map() -> None:
    """Four phases read the same map, and write one: it is copied once before them, once behind."""
    layer = ConvTransposeLayer(1, 64, 8, 8, 64, 4, 4, 2, 1)
    result = hwsim.simulate(layer, "t4", "direct", dtype="fp16").layers[0]
    names = [stage.name for stage in result.online]
    phases = [name for name in names if name.startswith("convolution")]
    assert names == ["ifmap to nhwc", *phases, "ofmap to nchw"] and len(phases) == 4
    # the phase of one tap is a plain product in any layout, and writes where the others do
    odd = replace(layer, r=3, s=3)
    stages = hwsim.simulate(odd, "t4", "direct", dtype="fp16").layers[0].online
    assert [stage.name for stage in stages][-1] == "ofmap to nchw"
    assert hwsim.simulate("dcgan", "t4", "direct", dtype="fp16").seconds > 0


@pytest.mark.parametrize("machine", ["t4", "h100", "a100", "mi210", "p100"])
@pytest.mark.parametrize("channels", [96, 1024])
def test_depthwise_layers_read_each_line_once_in_both_layouts(machine: str, channels: int) -> None:
    """Blocks of one channel each read every line for each of its channels, 32 times on a T4."""
    dtype = "fp32" if machine == "p100" else "fp16"
    for layout in ("nchw", "nhwc"):
        layer = ConvLayer(
            16, channels, 14, 14, channels, 3, 3, pad=1, groups=channels, layout=layout
        )
        result = hwsim.simulate(layer, machine, "implicit-gemm", dtype=dtype).layers[0]
        assert result.dram_bytes <= 1.1 * result.compulsory_bytes


def test_depthwise_kernels_take_maps_as_they_want_them() -> None:
    """Vectors of channels where they lie side by side; tiled rows of windows one word apart."""
    named = {}
    for layout in ("nchw", "nhwc"):
        for stride in (1, 2):
            layer = ConvLayer(
                32, 64, 56, 56, 64, 3, 3, pad=1, stride=stride, groups=64, layout=layout
            )
            result = hwsim.simulate(layer, "h200", "implicit-gemm", dtype="fp16").layers[0]
            named[layout, stride] = result.stages[-1].fidelity
    assert "conv-depthwise-rows" in named["nchw", 1]
    assert "conv-grouped-half" in named["nchw", 2]
    assert "conv-depthwise-last-half" in named["nhwc", 1]
    assert "conv-depthwise-last-half" in named["nhwc", 2]


def test_depthwise_layers_take_as_long_as_measured() -> None:
    """reference/h200_depthwise.json: 208 calls of PyTorch, 76% off before there were kernels."""
    report = run_check("h200-depthwise")
    assert report.metrics["time"].mean_abs_rel_err < 0.13
    for score in report.groups["layout"].values():
        assert score["time"].mean_abs_rel_err < 0.16


def test_parts_of_a_split_reduction_pass_through_the_l2() -> None:
    """They took time, and moved nothing."""
    result = hwsim.simulate("gemm:64,64,65536", "h100", "implicit-gemm", dtype="fp16")
    (stage,) = result.layers[0].stages
    split = int(stage.fidelity.split("split ")[1].split(")")[0])
    parts = stage.accesses["l2"]["C parts"]
    assert split > 1
    assert parts.read_bytes == parts.write_bytes == split * 64 * 64 * 4
    assert "C parts" not in stage.accesses["hbm"]


def test_kernels_are_ranked_in_the_layout_that_ran() -> None:
    """`--explain` went by the closed form, and a run by the simulation of both layouts."""
    names = ("block13_expand", "block14_project", "block15_project", "block16_project")
    network = find_workload("mobilenet-v2", 16).only(names)
    result = hwsim.simulate(network, "h200", "implicit-gemm", dtype="fp16")
    ran = {
        (layer.name, stage.name): stage.fidelity
        for layer in result.layers
        for stage in layer.online
    }
    for choice in kernel_choices(result, network, "h200", 1):
        assert str(choice.kernels[0].kernel) in ran[choice.layer, choice.stage]


@pytest.mark.parametrize("machine", ["v100", "a100", "l4", "p100", "mi210"])
def test_winograd_of_doubles_is_computed_in_doubles(machine: str) -> None:
    """Its products were timed as singles, faster than the machine multiplies doubles."""
    layer = ConvLayer(1, 64, 56, 56, 64, 3, 3, pad=1)
    ran = hwsim.simulate(layer, machine, "winograd-f4", dtype="fp64")
    assert ran.layers[0].algorithm == "winograd-f4"
    assert ran.seconds > 1.2 * hwsim.simulate(layer, machine, "winograd-f4", dtype="fp32").seconds


@pytest.mark.parametrize("machine", ["v100", "a100"])
def test_auto_tries_every_fused_winograd(machine: str) -> None:
    """cuDNN's fused F(2x2, 3x3) was not among what auto tried: 1.8 times as long on v100."""
    layer = ConvLayer(1, 256, 56, 56, 256, 3, 3, pad=1)
    each = [
        hwsim.simulate(layer, machine, f"winograd-{name}-fused").seconds for name in ("f2", "f4")
    ]
    assert hwsim.simulate(layer, machine, "auto").seconds <= 1.001 * min(each)


@pytest.mark.parametrize("machine", ["h200", "a100", "l4", "t4"])
def test_depthwise_layers_of_bytes_are_no_slower_than_of_halves(machine: str) -> None:
    """They had no kernel: int8 MobileNet took 1.5 to 1.8 times as long as fp16."""
    layer = ConvLayer(8, 256, 28, 28, 256, 3, 3, pad=1, groups=256)
    halves, bytes_ = (
        hwsim.simulate(layer, machine, "implicit-gemm", dtype=dtype).seconds
        for dtype in ("fp16", "int8")
    )
    assert bytes_ <= halves


@pytest.mark.parametrize("machine", ["h200", "a100", "v100", "l4"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_scaling_channels_takes_no_longer_than_windows(machine: str, dtype: str) -> None:
    """One row of a product's tile was used: a depthwise 1 x 1 layer took 3 to 19 times a 3 x 3."""
    one, nine = (
        hwsim.simulate(
            ConvLayer(8, 256, 28, 28, 256, r, r, pad=r // 2, groups=256), machine, dtype=dtype
        )
        for r in (1, 3)
    )
    assert one.seconds <= 1.01 * nine.seconds
