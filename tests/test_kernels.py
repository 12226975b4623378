"""Kernels of a GPU's library: their times beside measured calls, which one is taken, and what a user may say of them."""

import json
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.choose.kernels import best_kernels
from hwsim.cli import main
from hwsim.describe.catalog import data_folder
from hwsim.describe.kernels import find_kernel, load_library
from hwsim.describe.layer import ConvLayer, GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.units import Bandwidth
from hwsim.errors import HwsimError
from hwsim.ir.stage import Stage
from hwsim.rewrite.gpu_library import as_library_runs
from hwsim.searches import kernel_choices
from hwsim.timing.gpu.kernel_time import Chip, product_of, time_of
from hwsim.validate import CHECKS, run_check
from hwsim.validate.gpu_products import kernel_of, launched, product_stage

H100, H200 = load_machine("h100"), load_machine("h200")


def stage_of(m: int, n: int, k: int, dtype: str) -> Stage:
    (stage,) = lower(GemmLayer(m, n, k, dtype=dtype), "direct").with_dtype(dtype).stages
    return stage


def picked_us(machine: Machine, m: int, n: int, k: int, dtype: str) -> float:
    (best,) = best_kernels(stage_of(m, n, k, dtype), machine)
    return best.cycles / machine.clock_hz * 1e6


def rows(name: str) -> list[dict]:
    return json.loads((data_folder("reference") / name).read_text())["rows"]


def test_no_constant_was_fitted_to_an_h200_and_its_products_come_out() -> None:
    """Issue 15: the rule-made tile was 39% off at the median, 300% on average."""
    errors = [
        abs(picked_us(H200, row["M"], row["N"], row["K"], row["dtype"]) / row["us_cold"] - 1)
        for row in rows("h200_gemm.json")
    ]
    assert fmean(errors) < 0.13 and median(errors) < 0.08


def test_kernels_that_were_launched_take_what_was_measured() -> None:
    errors = []
    for row in rows("h100_gemm.json"):
        layer = GemmLayer(row["M"], row["N"], row["K"], dtype=row["dtype"])
        given = launched(row["kernels"], layer, product_stage(layer, row["dtype"]), H100)
        errors += [] if given is None else [abs(given / row["us_cold"] - 1)]
    assert len(errors) == 336
    assert fmean(errors) < 0.075 and median(errors) < 0.05


def test_products_of_eight_bits_take_what_was_measured() -> None:
    """int8 runs Ampere's instructions on an H100, at half of what its data sheet says; fp8 does not."""
    pairs = list(CHECKS["h100-narrow"].pairs({"rows": rows("h100_narrow.json")}))
    for dtype in ("int8", "fp8"):
        for metric in ("time", "time_given_kernel"):
            errors = [
                abs(pair.modelled / pair.expected - 1)
                for pair in pairs
                if (pair.metric, pair.groups["dtype"]) == (metric, dtype)
            ]
            assert len(errors) == 66
            assert fmean(errors) < 0.11 and median(errors) < 0.08, (dtype, metric)


def test_doubles_and_unaligned_words_take_what_was_measured() -> None:
    """reference/h200_doubles.json: before there were kernels for them, a rule-made tile ran them."""
    report = run_check("h200-doubles")
    assert report.groups["dtype"]["fp64"]["time"].mean_abs_rel_err < 0.12
    assert report.groups["dtype"]["int8"]["time"].mean_abs_rel_err < 0.11
    assert report.metrics["convolution_time"].mean_abs_rel_err < 0.13


def test_types_that_only_other_units_multiply_have_their_kernels() -> None:
    """Products of fp16 on a P100 and tf32 on an MI300X took up to nine times as long as fp32's."""
    for machine, narrow, wide in (("p100", "fp16", "fp32"), ("mi300x", "tf32", "fp32")):
        for shape in ("gemm:1,4096,4096", "gemm:64,512,4096"):
            taken = [
                hwsim.simulate(shape, machine, "direct", dtype=dtype).seconds
                for dtype in (narrow, wide)
            ]
            assert taken[0] <= 1.02 * taken[1]
    without = hwsim.simulate("gemm:512,512,512", "l4", "direct", dtype="fp64").layers[0]
    assert "dfma" in without.stages[0].fidelity  # an L4's tensor cores multiply no fp64


@pytest.mark.parametrize("dtype", ["fp16", "fp32", "tf32"])
def test_a_long_reduction_is_split(dtype: str) -> None:
    """64 x 64 x 65536 is one tile of most kernels: without a split one SM would work and 131 idle."""
    (best,) = best_kernels(stage_of(64, 64, 65536, dtype), H200)
    assert best.kernel.split > 8
    whole = time_of(
        product_of(stage_of(64, 64, 65536, dtype)),
        dtype,
        replace(best.kernel, split=1),
        Chip.of(H200),
    )
    assert best.cycles < float(whole.call[0]) / 5


@pytest.mark.parametrize("seed", range(12))
def test_more_of_anything_is_never_slower(seed: int) -> None:
    rng = random.Random(seed)
    m, n, k = (rng.randint(1, 5000) for _ in range(3))
    dtype = rng.choice(["fp16", "fp32", "tf32", "bf16"])
    base = picked_us(H100, m, n, k, dtype)
    for part, factor in (("hbm", 2), ("l2", 2), ("shared", 2)):
        memory = H100.parts[part]
        faster = Bandwidth(memory.bandwidth.value * factor, memory.bandwidth.per_cycle)  # type: ignore[attr-defined]
        other = replace(
            H100,
            parts={**H100.parts, part: replace(memory, bandwidth=faster)},  # type: ignore[type-var]
        )
        assert picked_us(other, m, n, k, dtype) <= base * (1 + 1e-9), part
    wide = replace(H100.parts["sms"], sms=264)  # type: ignore[type-var]
    assert (
        picked_us(replace(H100, parts={**H100.parts, "sms": wide}), m, n, k, dtype) <= base * 1.02
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_one_taken_is_the_fastest_of_those_that_can_be_named(seed: int) -> None:
    rng = random.Random(seed)
    m, n, k = (8 * rng.randint(1, 500) for _ in range(3))
    stage = stage_of(m, n, k, "fp16")
    library = load_library("nvidia-hopper")
    ranked = best_kernels(stage, H100, 5)
    assert [one.cycles for one in ranked] == sorted(one.cycles for one in ranked)
    for tile in rng.sample([str(tile) for tile in library.families["wgmma"].shapes], 20):
        kernel = find_kernel(library, tile, "fp16")
        named = float(time_of(product_of(stage), "fp16", kernel, Chip.of(H100)).call[0])
        assert ranked[0].cycles <= named * (1 + 1e-9)


def test_a_run_takes_what_the_closed_form_said() -> None:
    """The simulation adds what the L2 and the DRAM really move: here no more than must come and go."""
    for m, n, k, dtype in (
        (512, 512, 512, "fp32"),
        (1024, 512, 256, "fp16"),
        (1, 4096, 512, "fp16"),
    ):
        result = hwsim.simulate(GemmLayer(m, n, k), "h100", "direct", dtype=dtype)
        assert result.seconds * 1e6 == pytest.approx(picked_us(H100, m, n, k, dtype), rel=0.02)


def test_blocks_of_a_cluster_load_what_they_share_once() -> None:
    result = hwsim.simulate(GemmLayer(2048, 2048, 512), "h100", "direct", dtype="fp16")
    (stage,) = result.layers[0].stages
    (best,) = best_kernels(stage_of(2048, 2048, 512, "fp16"), H100)
    tile, cluster = best.kernel.tile, best.kernel.cluster
    words = {
        "A": 2048 * 512 * (2048 // tile.n) // cluster[1],
        "B": 2048 * 512 * (2048 // tile.m) // cluster[0],
    }
    for name, count in words.items():
        assert stage.accesses["l2"][name].read_bytes == pytest.approx(2 * count, rel=0.01)


def test_names_of_launches_are_read() -> None:
    library = load_library("nvidia-hopper")
    layer = GemmLayer(656, 2864, 1664, dtype="fp16")
    launch = {
        "name": "nvjet_sm90_hsh_192x88_64x6_1x4_h_bz_NNT",
        "grid": [4, 30, 1],
        "block": [384, 1, 1],
        "registers": 168,
    }
    kernel = kernel_of(launch, layer, library)
    assert kernel is not None
    assert (kernel.family, str(kernel.tile), kernel.cluster) == ("wgmma", "88x192x64x6", (4, 1))
    assert kernel_of({**launch, "name": "elementwise_kernel"}, layer, library) is None


def test_products_of_operands_that_are_not_aligned_run_older_kernels() -> None:
    for k, family in ((512, "wgmma"), (514, "mma-half-words"), (513, "mma-halves")):
        families = {
            timed.kernel.family for timed in best_kernels(stage_of(512, 512, k, "bf16"), H100)
        }
        assert families <= {family, "wmma-half-words"}


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("128x", "expected a tile such as 128x64x32x4"),
        ("wgma:128x128x64x6", "no family 'wgma' for fp16; did you mean 'wgmma'?"),
        ("512x512x64x6", "do not fit an SM"),
        ("128x128x64x6,spilt=2", "expected split= and a whole number"),
    ],
)
def test_a_kernel_that_cannot_be(
    kernel: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run", "h100", "gemm:512,512,512", "-t", "fp16", "-a", "direct", "--kernel", kernel])
    assert stopped.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_named_kernel_runs_and_five_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "h100", "gemm:512,512,4096", "-t", "fp16", "-a", "direct"]
    main([*words, "--kernel", "64x64x64x6,split=4"], standalone_mode=False)
    assert "wgmma 64x64x64x6, split 4" in " ".join(capsys.readouterr().out.split())
    main([*words, "--explain"], standalone_mode=False)
    table = capsys.readouterr().out.partition("the fastest first")[2]
    assert table.count("wgmma") == 5


def test_a_library_of_ones_own(tmp_path: Path) -> None:
    text = (data_folder("kernels") / "nvidia-hopper.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("efficiency: 0.808", "efficiency: 1.808", 1))
    with pytest.raises(
        HwsimError, match=r"mine.yaml:\d+:\d+: families.wgmma.efficiency: 1.808; expected a share"
    ):
        load_library(str(path))
    path.write_text(text.replace("128x64x32x8", "128by64", 1))
    with pytest.raises(HwsimError, match="'128by64'; expected a tile such as"):
        load_library(str(path))


def test_what_is_explained_is_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Winograd's products are of fp32, and a depthwise layer's are called for group by group."""
    words = ["run", "h100", "-t", "fp16", "-a", "winograd-f4", "--explain"]
    main([*words, "conv:64,28,28,64,3,3,1,1"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "ffma" in said.partition("the fastest first")[2] and "wgmma" not in said
    main([*words, "mobilenet-v1:dw2"], standalone_mode=False)
    assert "products, called 32 times" in capsys.readouterr().out


def test_one_launch_of_a_stage_is_a_product_of_its_own() -> None:
    layer = ConvLayer(2, 36, 28, 28, 36, 3, 3, pad=1, groups=4)
    for algorithm, over, shape in (
        ("winograd-f4", ("g",), (16 * 49, 9, 9, 36)),
        ("fft-t16", ("y", "x"), (2, 18, 18, 4 * 144)),  # four tiles, and four groups
    ):
        plan = as_library_runs(lower(layer, algorithm), H100)
        stage = next(stage for stage in plan.stages if stage.view)
        product = product_of(stage)
        assert stage.called_over == over and stage.launches == 4
        assert (product.m, product.n, product.k, product.batch) == shape


@pytest.mark.parametrize(
    ("machine", "shape", "dtype"),
    [
        ("h200", "gemm:4096,4096,1024", "fp16"),
        ("h100", "gemm:2048,512,4096", "fp16"),
        ("a100", "gemm:1024,1024,512", "fp32"),
    ],
)
def test_a_kernel_named_is_the_kernel_chosen(machine: str, shape: str, dtype: str) -> None:
    """By its name it runs in the cluster and the order of blocks that the library would take: the time of --explain."""
    chosen = hwsim.simulate(shape, machine, "direct", dtype=dtype)
    (choice,) = kernel_choices(chosen, shape, machine)
    for timed in choice.kernels[:3]:
        kernel = timed.kernel
        split = f",split={kernel.split}" if kernel.split > 1 else ""
        named = hwsim.simulate(
            shape,
            machine,
            "direct",
            dtype=dtype,
            dataflow=f"kernel:{kernel.family}:{kernel.tile}{split}",
        )
        assert named.seconds * named.clock_hz == pytest.approx(timed.cycles, rel=0.02), kernel
    best = choice.kernels[0].kernel
    split = f",split={best.split}" if best.split > 1 else ""
    again = hwsim.simulate(
        shape, machine, "direct", dtype=dtype, dataflow=f"kernel:{best.family}:{best.tile}{split}"
    )
    assert again.seconds == chosen.seconds
    assert again.dram_bytes == chosen.dram_bytes


@pytest.mark.parametrize("size", [1024, 2048, 4096])
def test_the_kernel_that_runs_takes_what_it_was_picked_for(size: int) -> None:
    """mi300x: tiles of 64 bytes in lines of 128 were charged three lines once they ran.

    The picked kernel took 44.3 us where the third in its own list took 37.2.
    """
    machine, layer = load_machine("mi300x"), GemmLayer(size, size, size, dtype="fp16")
    ranked = best_kernels(product_stage(layer, "fp16"), machine, 3)
    ran = hwsim.simulate(layer, machine, algorithm="direct").cycles
    assert ran == pytest.approx(ranked[0].cycles, rel=0.02)
