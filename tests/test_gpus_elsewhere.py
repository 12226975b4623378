"""GPUs that nobody here measured: their machines, and the checks that read others' rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.errors import HwsimError
from hwsim.validate import run_check
from hwsim.validate.measured_elsewhere import given_sgemm

PEAKS = {"v100": 15.67, "p100": 9.34, "p4": 5.44, "titan-x-maxwell": 6.6}  # data sheets, TFLOPS


def report(name: str, rows: list[dict[str, Any]], folder: Path) -> Any:
    path = folder / "rows.json"
    path.write_text(json.dumps({"rows": rows}))
    return run_check(name, path)


@pytest.mark.parametrize("name", list(PEAKS))
def test_peaks_are_those_of_the_data_sheets(name: str) -> None:
    machine = load_machine(name)
    peak = 2 * machine.compute.peak_macs_per_cycle("fp32") * machine.clock_hz / 1e12
    assert peak == pytest.approx(PEAKS[name], rel=0.005)


def test_a_t4_runs_at_what_its_power_allows() -> None:
    """DeepBench, T4, fp32: 2048 x 7000 x 2048 in 12.6 ms."""
    machine = load_machine("t4")
    fastest = 2048 * 7000 * 2048 / machine.compute.peak_macs_per_cycle("fp32") / machine.clock_hz
    assert 0.8 < fastest / 12.579e-3 < 1


def test_deepbench_rows(tmp_path: Path) -> None:
    """DeepBench, V100, fp32: 41 us for 1760 x 32 x 1760; 135 us for speech's first convolution."""
    conv = {"W": 700, "H": 161, "C": 1, "N": 8, "K": 32, "S": 20, "R": 5, "algo": "IMPLICIT_GEMM"}
    conv |= {"pad_w": 0, "pad_h": 0, "stride_w": 2, "stride_h": 2, "us": 135.0, "op": "conv"}
    product = {"op": "gemm", "M": 1760, "N": 32, "K": 1760, "us": 41.0}
    on = {"device": "V100", "precision": "Float"}
    other = {"device": "V100", "precision": "16 bit inputs"}
    loop = {"device": "Raspberry Pi 3 (Cortex-A53)", "precision": "float", "algo": None}
    small = {"W": 8, "H": 8, "C": 4, "N": 1, "K": 4, "S": 3, "R": 3, "us": 30.0}
    found = report(
        "deepbench",
        [{**conv, **on}, {**product, **on}, {**product, **other}, {**conv, **loop, **small}],
        tmp_path,
    )
    assert found.rows == 3
    assert set(found.groups["machine"]) == {"v100", "cortex-a53"}
    assert found.groups["op"]["gemm"]["time"].mean_abs_rel_err < 0.5
    assert found.metrics["pick_agreement"].n == 1
    with pytest.raises(HwsimError, match="a row has no 'us'"):
        report("deepbench", [{**on, "op": "gemm", "M": 1, "N": 1, "K": 1}], tmp_path)


def test_neusight_rows_sum_over_n(tmp_path: Path) -> None:
    """NeuSight, A100: 669 products of 516 x 8 by 8 x 155 in 261 us, in 2 x 5 x 669 blocks."""
    row = {"device": "NVIDIA A100-PCIE-40GB", "op": "bmm", "B": 669, "M": 516, "N": 8, "K": 155}
    row |= {"us": 261.13, "kernel": "ampere_sgemm_128x128_nn", "grid": [2, 5, 669]}
    found = report("neusight", [row, {**row, "device": "another"}], tmp_path)
    assert found.rows == 1
    assert found.metrics["time_given_kernel"].mean_abs_rel_err < 0.4


def test_a_kernel_is_found_by_its_name_and_blocks() -> None:
    machine = load_machine("v100")
    layer = GemmLayer(256, 640, 64)
    split = given_sgemm(layer, machine, "volta_sgemm_128x64_tn", (5, 4, 3))
    whole = given_sgemm(layer, machine, "volta_sgemm_128x64_tn", (5, 4, 1))
    other = given_sgemm(layer, machine, "volta_sgemm_128x64_nn", (2, 10, 1))
    assert split is not None
    assert whole is not None
    assert other is not None
    assert split != whole
    assert given_sgemm(layer, machine, "volta_sgemm_96x17_tn", (1, 1, 1)) is None
    assert given_sgemm(layer, machine, "gemv2T", (1, 1, 1)) is None


def test_einnets_rewritten_convolution_moves_what_its_log_says() -> None:
    found = run_check("einnet")
    assert found.metrics["winner"].mean_abs_rel_err == 0
    by_algorithm = found.groups["algorithm"]
    assert by_algorithm["winograd-f4"]["dram_bytes"].mean_abs_rel_err < 0.01
    assert by_algorithm["offset-add"]["dram_bytes"].mean_abs_rel_err < 0.1
