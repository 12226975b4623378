"""What a user changes of a machine or a network before a run, and what a run writes beside its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import hwsim
from hwsim.cli import main
from hwsim.describe.catalog import locate
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import find_workload, load_workload
from hwsim.describe.settings import read_settings
from hwsim.errors import HwsimError
from hwsim.parts.dram import Dram
from hwsim.report.csv_table import csv_text


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_a_setting_is_what_the_file_would_say(tmp_path: Path) -> None:
    """By name or by type; the same machine as a file with that value."""
    for path in ("parts.hbm.bandwidth", "parts.dram.bandwidth"):
        changed = load_machine("h200", read_settings([f"{path}=1 TB/s"]))
        assert changed.part("hbm", Dram).bandwidth.value == 1e12
        assert [str(each) for each in changed.settings] == [f"{path}=1 TB/s"]
    text = locate("machine", "configs", "h200").read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("clock: 1980 MHz", "clock: 1 GHz"))
    changed = load_machine("h200", read_settings(["clock=1 GHz"]))
    assert (changed.parts, changed.clock_hz) == (load_machine(own).parts, 1e9)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("parts.hmb.bandwidth=1 TB/s", "did you mean"),
        ("parts.dram.bandwith=1 TB/s", "unknown key"),
        ("parts.dram.bandwidth=fast", "expected a rate"),
        ("parts.dram.bandwidth", "expected PATH=VALUE"),
        ("=3", "expected PATH=VALUE"),
        ("clock.speed=3", "has no keys"),
        ("parts.dram={", "not valid YAML"),
        ("dtype=fp3", "expected one of"),
    ],
)
def test_a_setting_that_is_wrong(setting: str, says: str) -> None:
    for words in (["run", "h200", "alexnet"], ["compare", "alexnet", "-m", "h200", "-a", "direct"]):
        found = run(*words, "--set", setting)
        assert found.exit_code == 2
        assert says in found.output
        assert "Traceback" not in found.output


def test_a_setting_reaches_the_machines_that_have_its_part() -> None:
    words = ["compare", "alexnet:conv3", "-m", "tpu-v1,h200", "-a", "direct", "--json", "-"]
    plain = json.loads(run(*words).output)["results"]
    wider = json.loads(run(*words, "--set", "parts.systolic.rows=128").output)["results"]
    assert wider[0]["seconds"] != plain[0]["seconds"]
    assert "set: parts.systolic.rows=128" in wider[0]["machine_fidelity"]
    assert wider[1] == plain[1]


def test_another_size_of_image() -> None:
    """AlexNet on 299 x 299: conv1 has (299 - 11) / 4 + 1 = 73 rows; the file's own size is the same as none."""
    assert load_workload("alexnet", size=(299, 299)).layers["conv1"].output == (96, 73, 73)
    assert load_workload("alexnet", size=(227, 227)).layers == load_workload("alexnet").layers
    tall = find_workload("alexnet:conv1", size=(299, 227)).layers["conv1"]
    assert tall.output == (96, 73, 55)
    found = run("run", "toy-gpu", "alexnet:conv1", "--input", "299x227", "--json", "-")
    assert json.loads(found.output)["layers"][0]["shape"].startswith("conv 3x299x227")


@pytest.mark.parametrize("size", ["0", "abc", "3x", "1x2x3", "-5", "1e3"])
def test_a_size_that_is_none(size: str) -> None:
    found = run("run", "toy-gpu", "alexnet", "--input", size)
    assert found.exit_code == 2
    assert "expected a size" in found.output


@pytest.mark.parametrize("workload", ["gemm:4,4,4", "conv:3,8,8,4,3,3,1,1"])
def test_a_shape_has_no_other_size(workload: str) -> None:
    found = run("run", "toy-gpu", workload, "--input", "9")
    assert found.exit_code == 2
    assert "--input" in found.output


def test_too_small_an_image_names_the_layer() -> None:
    found = run("run", "toy-gpu", "alexnet", "--input", "20")
    assert found.exit_code == 2
    assert "alexnet.yaml:" in found.output


@pytest.mark.parametrize("batch", ["0", "a", "1,,2", "-1", "1.5"])
def test_a_batch_that_is_none(batch: str) -> None:
    found = run("compare", "alexnet:conv3", "-m", "tpu-v1", "-a", "direct", "--batch", batch)
    assert found.exit_code == 2
    assert "expected whole numbers" in found.output


def test_a_table_is_the_same_as_csv_and_as_a_frame(tmp_path: Path) -> None:
    """Words are equal, numbers to the digits that the CSV has."""
    from pandas import read_csv
    from pandas.testing import assert_frame_equal

    comparison = hwsim.compare("toy-4x4", ["toy-8x8", "toy-cpu"], ["direct", "im2col"])
    frame = comparison.to_frame()
    assert len(frame) == sum(len(result.layers) for result in comparison.results)
    assert frame.groupby("machine").seconds.sum()["toy-8x8"] == pytest.approx(
        sum(result.seconds for result in comparison.results if result.machine == "toy-8x8")
    )
    path = tmp_path / "table.csv"
    path.write_text(csv_text(comparison.results))
    assert_frame_equal(read_csv(path, keep_default_na=False), frame, rtol=1e-4, check_dtype=False)
    one = comparison.results[0]
    assert_frame_equal(one.to_frame(), frame[: len(one.layers)])


def test_a_plot_and_a_csv_of_a_run(tmp_path: Path) -> None:
    words = ["run", "tpu-v1", "alexnet:conv3", "-a", "direct"]
    for suffix, begins in ((".svg", b"<svg"), (".png", b"\x89PNG"), (".json", b"{")):
        path = tmp_path / f"plot{suffix}"
        assert run(*words, "--plot", str(path), "--chart", "roofline").exit_code == 0
        assert path.read_bytes().startswith(begins)
    found = run(*words, "--csv", "-")
    assert found.output.splitlines()[1].startswith("tpu-v1,alexnet,direct,int8,conv3,direct,")
    for wrong in (
        ["--plot", "a.pdf"],
        ["--plot", "a.svg", "--chart", "roof"],
        ["--csv", "-", "--json", "-"],
    ):
        refused = run(*words, *wrong)
        assert refused.exit_code == 2, wrong
    assert "exact" in run(*words, "--legend").output


def test_a_value_that_makes_one_machine_faulty_is_not_passed_over() -> None:
    """tpu-v1's bandwidth follows from its DRAM's timings; h200 would take the value."""
    words = ["compare", "alexnet:conv5", "-m", "h200,tpu-v1", "-a", "direct"]
    found = run(*words, "--set", "parts.dram.bandwidth=68 GB/s")
    assert found.exit_code == 2
    assert "2 channels of ddr3-2133" in found.output


def test_what_was_set_is_said() -> None:
    found = run(
        "compare", "alexnet:conv5", "-m", "tpu-v1", "-a", "direct", "--set", "clock=600 MHz"
    )
    assert "tpu-v1 is changed: --set clock=600 MHz." in " ".join(found.output.split())


def test_more_experts_than_there_are_are_refused(tmp_path: Path) -> None:
    """8 of 4 had been counted as twice the products of all four."""
    file = tmp_path / "moe.yaml"
    layer = "{name: up, op: experts, k: 64, experts: 4, active: 8}"
    file.write_text(
        f"name: moe\nsource: here\ninput: {{tokens: 16, features: 64}}\nlayers:\n  - {layer}\n"
    )
    with pytest.raises(HwsimError, match=r"moe.yaml:5:5: .*8 of 4 experts; expected at most all"):
        load_workload(str(file))
