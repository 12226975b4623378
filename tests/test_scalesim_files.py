"""SCALE-Sim's files, read; its conventions, reported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwsim.cli import main
from hwsim.spec.layer import ConvLayer, GemmLayer
from hwsim.spec.scalesim import load_config, load_topology

CONFIG = """[general]
run_name = mine

[architecture_presets]
ArrayHeight: 32
ArrayWidth: 16
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
Dataflow : {dataflow}
Bandwidth : 10

[run_presets]
InterfaceBandwidth: {mode}
"""
CONV = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides{end}
Conv1, 30, 30, 3, 3, 8, 40, 1{end}
Conv2_DP, 9, 9, 3, 3, 4, 1, 2{end}
"""
GEMM = "Layer, M, N, K,\nfc, 32, 100, 64,\nfc2, 10, 10, 10\n"


def files(folder: Path, topology: str, dataflow: str = "ws", mode: str = "CALC") -> list[str]:
    (folder / "x.cfg").write_text(CONFIG.format(dataflow=dataflow, mode=mode))
    (folder / "y.csv").write_text(topology)
    return ["run", "--scalesim-config", str(folder / "x.cfg"), "--topology", str(folder / "y.csv")]


@pytest.mark.parametrize("end", ["", ",", ", ,"])
def test_convolutions_with_and_without_commas_at_the_end(tmp_path: Path, end: str) -> None:
    files(tmp_path, CONV.format(end=end))
    first, second = load_topology(tmp_path / "y.csv")
    assert first.layer == ConvLayer(1, 8, 30, 30, 40, 3, 3) and (first.m, first.n, first.k) == (28 * 28, 40, 72)
    assert second.layer == ConvLayer(1, 4, 9, 9, 4, 3, 3, stride=2, groups=4) and (second.m, second.n, second.k, second.times) == (16, 1, 9, 4)
    assert load_config(tmp_path / "x.cfg").bandwidth is None


def test_products_and_a_given_bandwidth(tmp_path: Path) -> None:
    files(tmp_path, GEMM, mode="USER")
    assert [layer.layer for layer in load_topology(tmp_path / "y.csv")] == [GemmLayer(32, 100, 64), GemmLayer(10, 10, 10)]
    assert load_config(tmp_path / "x.cfg").bandwidth == 10.0


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_both_conventions_on_every_dataflow(tmp_path: Path, dataflow: str) -> None:
    words = files(tmp_path, GEMM, dataflow)
    simulated = CliRunner().invoke(main, [*words, "--json", "-"])
    assert simulated.exit_code == 0
    layers = {layer["name"]: layer for layer in json.loads(simulated.stdout)["layers"]}
    report = tmp_path / "COMPUTE_REPORT.csv"
    counted = CliRunner().invoke(main, [*words, "--convention", "scalesim", "--compute-report", str(report)])
    assert counted.exit_code == 0 and "as SCALE-Sim counts" in counted.output
    rows = list(csv.DictReader(report.read_text().splitlines(), skipinitialspace=True))
    assert [row["LayerID"] for row in rows] == ["0", "1"]
    for name, row in zip(("fc", "fc2"), rows, strict=True):
        assert layers[name]["counts"]["multiplies"] == {"fc": 32 * 100 * 64, "fc2": 1000}[name]
        assert layers[name]["cycles"]["total"] >= layers[name]["cycles"]["compute"]
        assert 0.5 < layers[name]["cycles"]["total"] / (int(row["Total Cycles"]) + 1) < 2


def test_folds_one_after_another_take_what_scalesim_takes(tmp_path: Path) -> None:
    """32 x 96 x 64 on 32 x 16: 12 whole folds of 32 + 32 + 16 - 2 cycles and 32 to shift in: SCALE-Sim's count, in events."""
    words = files(tmp_path, "Layer, M, N, K,\nfc, 32, 96, 64,\n")
    total = json.loads(CliRunner().invoke(main, [*words, "--json", "-"]).stdout)["layers"][0]["cycles"]["total"]
    assert total == pytest.approx(12 * (32 + 32 + 16 - 2 + 32), rel=0.01)
    counted = CliRunner().invoke(main, [*words, "--convention", "scalesim"]).output
    assert f"{12 * (32 + 32 + 16 - 2 + 32) - 1}" in counted


@pytest.mark.parametrize(("change", "says"), [
    (("ArrayHeight", "ArayHeight"), "did you mean 'arayheight'"), (("Dataflow : ws", "Dataflow : xs"), "x.cfg:10:1: dataflow: 'xs'"),
    (("ArrayWidth: 16", "ArrayWidth: 0"), "arraywidth: '0'; expected a whole number of at least 1"), (("[architecture_presets]", "[arch]"), "no section"),
    (("Bandwidth : 10", "Bandwidth : x"), "words a cycle"), (("ArrayWidth: 16", "ArrayWidth: 16%"), "'16%'"), (("USER", "FOO"), "'FOO'"), (("ArrayWidth: 16", "ArrayWidth 16"), "not a SCALE-Sim config")])
def test_a_wrong_config_names_its_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    words = files(tmp_path, GEMM, mode="USER")
    (tmp_path / "x.cfg").write_text((tmp_path / "x.cfg").read_text().replace(*change))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and says in result.output


@pytest.mark.parametrize(("change", "says"), [
    (("30, 30", "30, x"), "y.csv:2:1: IFMAP Width: 'x'"), (("8, 40, 1", "8, 40"), "Strides: missing"),
    (("30, 30, 3, 3", "2, 2, 3, 3"), "y.csv:2:1: Conv1"), (("Conv2_DP", "Conv1"), "stands there twice")])
def test_a_wrong_topology_names_its_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    words = files(tmp_path, CONV.format(end=",").replace(*change))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and says in result.output


def test_flags_that_do_not_go_together() -> None:
    for words in (["--scalesim-config", "x.cfg"], ["tpu-v1", "alexnet", "--convention", "scalesim"], ["tpu-v1", "alexnet", "--compute-report", "r.csv"],
                  ["--scalesim-config", "x.cfg", "--topology", "y.csv", "-b", "4"],
                  ["--scalesim-config", "x.cfg", "--topology", "y.csv", "--convention", "scalesim", "--json", "-"]):
        result = CliRunner().invoke(main, ["run", *words])
        assert (result.exit_code == 2 and "expected" in result.output) or "--scalesim-config" in result.output
