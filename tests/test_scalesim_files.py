"""SCALE-Sim's files, read; its conventions, reported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwsim.cli import main
from hwsim.describe.layer import ConvLayer, GemmLayer
from hwsim.foreign.scalesim.config import load_config
from hwsim.foreign.scalesim.topology import load_topology

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
    assert first.layer == ConvLayer(1, 8, 30, 30, 40, 3, 3) and (first.m, first.n, first.k) == (
        28 * 28,
        40,
        72,
    )
    assert second.layer == ConvLayer(1, 4, 9, 9, 4, 3, 3, stride=2, groups=4) and (
        second.m,
        second.n,
        second.k,
        second.times,
    ) == (16, 1, 9, 4)
    assert load_config(tmp_path / "x.cfg").bandwidth is None


def test_products_and_a_given_bandwidth(tmp_path: Path) -> None:
    files(tmp_path, GEMM, mode="USER")
    assert [layer.layer for layer in load_topology(tmp_path / "y.csv")] == [
        GemmLayer(32, 100, 64),
        GemmLayer(10, 10, 10),
    ]
    assert load_config(tmp_path / "x.cfg").bandwidth == 10.0


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_both_conventions_on_every_dataflow(tmp_path: Path, dataflow: str) -> None:
    words = files(tmp_path, GEMM, dataflow)
    simulated = CliRunner().invoke(main, [*words, "--json", "-"])
    assert simulated.exit_code == 0
    layers = {layer["name"]: layer for layer in json.loads(simulated.stdout)["layers"]}
    report = tmp_path / "COMPUTE_REPORT.csv"
    counted = CliRunner().invoke(
        main, [*words, "--convention", "scalesim", "--compute-report", str(report)]
    )
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
    total = json.loads(CliRunner().invoke(main, [*words, "--json", "-"]).stdout)["layers"][0][
        "cycles"
    ]["total"]
    assert total == pytest.approx(12 * (32 + 32 + 16 - 2 + 32), rel=0.01)
    counted = CliRunner().invoke(main, [*words, "--convention", "scalesim"]).output
    assert f"{12 * (32 + 32 + 16 - 2 + 32) - 1}" in counted


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("ArrayHeight", "ArayHeight"), "did you mean 'arayheight'"),
        (("Dataflow : ws", "Dataflow : xs"), "x.cfg:10:1: dataflow: 'xs'"),
        (
            ("ArrayWidth: 16", "ArrayWidth: 0"),
            "arraywidth: '0'; expected a whole number from 1 to 65536",
        ),
        (("[architecture_presets]", "[arch]"), "no section"),
        (("Bandwidth : 10", "Bandwidth : x"), "words a cycle"),
        (("ArrayWidth: 16", "ArrayWidth: 16%"), "'16%'"),
        (("USER", "FOO"), "'FOO'"),
        (("ArrayWidth: 16", "ArrayWidth 16"), "not a SCALE-Sim config"),
    ],
)
def test_a_wrong_config_names_its_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    words = files(tmp_path, GEMM, mode="USER")
    (tmp_path / "x.cfg").write_text((tmp_path / "x.cfg").read_text().replace(*change))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and says in result.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("30, 30", "30, x"), "y.csv:2:1: IFMAP Width: 'x'"),
        (("8, 40, 1", "8, 40"), "Strides: missing"),
        (("30, 30, 3, 3", "2, 2, 3, 3"), "y.csv:2:1: Conv1"),
        (("Strides", "Channels"), "Channels stands there twice"),
    ],
)
def test_a_wrong_topology_names_its_line(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    words = files(tmp_path, CONV.format(end=",").replace(*change))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and says in result.output


def test_flags_that_do_not_go_together() -> None:
    for words in (
        ["--scalesim-config", "x.cfg"],
        ["tpu-v1", "alexnet", "--convention", "scalesim"],
        ["tpu-v1", "alexnet", "--compute-report", "r.csv"],
        ["--scalesim-config", "x.cfg", "--topology", "y.csv", "-b", "4"],
        [
            "--scalesim-config",
            "x.cfg",
            "--topology",
            "y.csv",
            "--convention",
            "scalesim",
            "--reuse",
        ],
    ):
        result = CliRunner().invoke(main, ["run", *words])
        assert (
            result.exit_code == 2 and "expected" in result.output
        ) or "--scalesim-config" in result.output


CASES = Path(__file__).parent / "cases" / "scalesim"


@pytest.mark.parametrize(
    ("topology", "config", "cycles"),
    [
        ("B1_extra_columns", "ws32", [2 * (380 + 94) - 1]),
        ("B1_batch", "ws32", [2 * (16 * 64 + 94) - 1]),
        ("B1_pad_dil", "ws32", [2 * (100 + 94) - 1]),
        ("B1_gemm_batch", "ws32", [8 * 1760 - 1]),
        ("B1_swapped_header", "ws32", [18 * (144 + 94) - 1]),
        ("B2_mkn", "ws32", [1759]),
        ("B3_dup", "ws32", [379, 379]),
        ("B4_sparsity", "B4_sparsity", [4 * 158 - 1, 2 * 158 - 1, 158 - 1]),
    ],
)
def test_columns_by_their_names(topology: str, config: str, cycles: list[int]) -> None:
    """32 x 32 cells, weight-stationary: folds x (M + 3 x 32 - 2) - 1."""
    result = CliRunner().invoke(
        main,
        [
            "run",
            "--scalesim-config",
            str(CASES / f"{config}.cfg"),
            "--topology",
            str(CASES / f"{topology}.csv"),
            "--convention",
            "scalesim",
            "--json",
            "-",
        ],
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [layer["cycles"] for layer in document["layers"]] == cycles
    assert document["schema"] == "hwsim.scalesim/1"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(tmp_path: Path, separator: str) -> None:
    (tmp_path / "t.csv").write_text(
        separator.join(["Layer", "K", "N", "M"])
        + "\n"
        + separator.join(["fc", "64", "256", "16"])
        + separator
        + "\n"
    )
    assert [(layer.m, layer.n, layer.k) for layer in load_topology(tmp_path / "t.csv")] == [
        (16, 256, 64)
    ]


def test_what_is_not_modelled_is_said() -> None:
    run = [
        "run",
        "--scalesim-config",
        str(CASES / "B6_layout_on.cfg"),
        "--topology",
        str(CASES / "B5_floor_ceil.csv"),
    ]
    text = CliRunner().invoke(main, [*run, "--convention", "scalesim"]).output
    assert "not modelled: the IFMAP's layout" in text
    assert text.count("841 outputs in SCALE-Sim, 784 simulated") == 1
    simulated = CliRunner().invoke(main, run)
    assert simulated.stderr.count("841 outputs in SCALE-Sim, 784 simulated") == 1
    sparse = (
        CliRunner()
        .invoke(
            main,
            [
                "run",
                "--scalesim-config",
                str(CASES / "ws32.cfg"),
                "--topology",
                str(CASES / "B4_sparsity.csv"),
                "--convention",
                "scalesim",
            ],
        )
        .output
    )
    assert (
        "sparsity is not counted, as [sparsity] SparsitySupport is not true: half, quarter"
        in sparse
    )


def test_layers_of_one_name_and_another_data_type(tmp_path: Path) -> None:
    run = [
        "run",
        "--scalesim-config",
        str(CASES / "ws32.cfg"),
        "--topology",
        str(CASES / "B3_dup.csv"),
        "--json",
        "-",
    ]
    one, two = (
        json.loads(CliRunner().invoke(main, [*run, *more]).stdout)
        for more in ([], ["--dtype", "fp16"])
    )
    assert [layer["name"] for layer in one["layers"]] == ["rnn", "rnn (2)"]
    assert two["dram"]["read_bytes"] == 2 * one["dram"]["read_bytes"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "Layer, M, N, K\na, 1, 2\n", "t.csv:2:1: K: missing"),
        ("t.csv", "Layer, M, N, Q\na, 1, 2, 3\n", "t.csv:1:1: Q: unknown column"),
        ("t.csv", "Layer, M, N, K\na, 1, 2, 3, 4\n", "'4' stands under no name"),
        ("t.csv", "Layer, M, N, K\na, 1, 2, 2:4:6\n", "K: '2:4:6'"),
        (
            "t.csv",
            "Layer, M, N, K, Sparsity\na, 1, 2, 3, 2:4:6\n",
            "expected a sparsity such as 2:4",
        ),
        ("t.csv", "Layer, M, N, K\na, 1, 2, " + "9" * 5000 + "\n", "K: '9999"),
        (
            "c.cfg",
            "ArrayHeight: 32>ArrayHeight: 99999999999",
            "c.cfg:5:1: arrayheight: '99999999999'",
        ),
        ("c.cfg", "Bandwidth : 10>Bandwidth : inf", "c.cfg:11:1: bandwidth: 'inf'"),
        ("c.cfg", "run_name = mine>run_name =", "c.cfg:2:1: run_name: empty"),
    ],
)
def test_faults_of_scalesims_files_stand_at_their_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    config = CONFIG.format(dataflow="ws", mode="USER")
    old, _, new = text.partition(">")
    (tmp_path / "c.cfg").write_text(config.replace(old, new) if name == "c.cfg" else config)
    (tmp_path / "t.csv").write_text(GEMM if name == "c.cfg" else text)
    result = CliRunner().invoke(
        main,
        [
            "run",
            "--scalesim-config",
            str(tmp_path / "c.cfg"),
            "--topology",
            str(tmp_path / "t.csv"),
        ],
    )
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr) < 1000
