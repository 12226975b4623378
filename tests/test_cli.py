"""Commands as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from hwsim.cli import main
from hwsim.report.charts import CHARTS

ROOT = Path(__file__).parent.parent


def hwsim(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_run_prints_a_table_of_80_columns() -> None:
    status, out, _ = hwsim("run", "tpu-v1", "alexnet", "--algorithm", "winograd-f2")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "conv5" in out
    assert "does not apply" in out


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("list", "machines"),
        ("show", "tpu-v1"),
        ("show", "xeon-8380"),
        ("show", "h200"),
        ("show", "vgg16"),
        ("show", "winograd-f4"),
        ("show", "row-stationary"),
        ("show", "im2col"),
        ("validate", "workloads"),
        ("validate", "scalesim"),
        ("--help",),
        ("run", "--help"),
        ("compare", "--help"),
    ],
)
def test_words_fit_80_columns(words: tuple[str, ...]) -> None:
    status, out, _ = hwsim(*words)
    assert status == 0
    assert out.strip()
    assert [line for line in out.splitlines() if len(line) > 80] == []


@pytest.mark.slow
def test_json_follows_its_schema() -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "result.json").read_text())
    for machine in ("tpu-v1", "xeon-8380", "h200", "eyeriss-v1"):
        status, out, _ = hwsim("run", machine, "toy-4x4", "-a", "winograd-f3", "--json", "-")
        assert status == 0
        jsonschema.validate(json.loads(out), schema)
    stage = json.loads(out)["layers"][0]["stages"][1]
    broken = json.loads(out)
    del broken["layers"][0]["stages"][1]["cycles"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)
    assert stage["cycles"]["total"] == pytest.approx(
        stage["cycles"]["compute"] + sum(stage["cycles"]["stall"].values())
    )


def test_compare_as_json_and_as_table() -> None:
    words = (
        "compare",
        "toy-4x4",
        "--machines",
        "tpu-v1,xeon-8380",
        "--algorithms",
        "direct,winograd-f3",
    )
    status, out, _ = hwsim(*words)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[2:8]] == [
        "tpu-v1",
        "direct",
        "winograd-f3",
        "xeon-8380",
        "direct",
        "winograd-f3",
    ]
    status, out, _ = hwsim(*words, "--json", "-")
    results = json.loads(out)["results"]
    assert [(r["machine"], r["algorithm"], r["counts"]["multiplies"]) for r in results] == [
        ("tpu-v1", "direct", 36),
        ("tpu-v1", "winograd-f3", 16),
        ("xeon-8380", "direct", 36),
        ("xeon-8380", "winograd-f3", 16),
    ]


@pytest.mark.slow
def test_compare_writes_a_whole_folder_or_nothing(tmp_path: Path) -> None:
    words = (
        "compare",
        "toy-4x4",
        "--machines",
        "tpu-v1",
        "--algorithms",
        "direct,im2col",
        "--out",
        str(tmp_path / "report"),
    )
    assert hwsim(*words)[0] == 0
    names = {path.name for path in (tmp_path / "report").iterdir()}
    plots = {f"{name}.{kind}" for name in CHARTS for kind in ("svg", "png", "vl.json")}
    assert names == plots | {"report.html", "report.md", "results.csv", "results.json"}
    status, _, err = hwsim(*words)
    assert status == 2
    assert "--force" in err
    assert hwsim(*words, "--force")[0] == 0
    status, _, _ = hwsim(
        "compare",
        "toy-4x4",
        "--machines",
        "tpu-v1",
        "--algorithms",
        "nope",
        "--out",
        str(tmp_path / "other"),
    )
    assert status == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    hwsim(
        "compare",
        "toy-4x4",
        "--machines",
        "tpu-v1,h200",
        "--algorithms",
        "direct",
        "--out",
        str(tmp_path / "r"),
    )
    page = (tmp_path / "r" / "report.html").read_text()
    assert "default-src 'none'" in page
    for fetched in ("<link", "<script src", '<img src="http', "@import"):
        assert fetched not in page
    drawn = sorted(path.stem for path in (tmp_path / "r").glob("*.svg"))
    assert drawn == sorted(path.stem for path in (tmp_path / "r").glob("*.png"))
    assert page.count("<figure id=") == len(drawn)
    rows = (tmp_path / "r" / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "tpuv1", "vgg16"), "did you mean 'tpu-v1'"),
        (("run", "tpu-v1", "vgg61"), "did you mean 'vgg19'"),
        (("run", "tpu-v1", "vgg16", "-a", "winogard-f2"), "did you mean 'winograd-f2'"),
        (("run", "tpu-v1", "vgg16", "-a", "winograd-f99"), "expected winograd-f2"),
        (("run", "tpu-v1", "vgg16", "-l", "conv1_3"), "no layer in vgg16 named 'conv1_3'"),
        (("run", "tpu-v1", "vgg16", "-t", "fp32"), "expected one of int8"),
        (("run", "tpu-v1", "vgg16", "-d", "weight-stationry"), "did you mean 'weight-stationary'"),
        (("list", "machine"), "did you mean 'machines'"),
        (("show", "vgg61"), "did you mean"),
        (("validate", "scale-sim"), "did you mean 'scalesim'"),
        (("run", "missing.yaml", "vgg16"), "no such file"),
        (("rnu",), "did you mean 'run'"),
        (("run", "tpu-v1", "vgg16", "-b", "0"), "batch"),
        (("compare", "vgg16", "-m", "tpu-v1,", "-a", "direct"), "empty name"),
        (("validate", "--data", "rows.json"), "without a name"),
        (("validate", "scalesim", "--data", "rows.json"), "cannot be read"),
    ],
)
def test_mistakes_get_one_clear_message_and_status_2(words: tuple[str, ...], message: str) -> None:
    status, out, err = hwsim(*words)
    assert status == 2
    assert message in err
    assert out == ""
    assert "Traceback" not in err


def test_validate_reads_rows_of_ones_own(tmp_path: Path) -> None:
    row = {
        "network": "mine",
        "layer": "a",
        "rows": 8,
        "cols": 8,
        "dataflow": "ws",
        "M": 10,
        "N": 7,
        "K": 13,
        "total_cycles": 63,
        "mapping_efficiency_pct": 71.09375,
        "sram_ifmap_reads": 130,
        "sram_filter_reads": 91,
        "sram_ofmap_writes": 140,
    }
    data = tmp_path / "rows.json"
    data.write_text(json.dumps({"rows": [row]}))
    status, out, _ = hwsim("validate", "scalesim", "--data", str(data), "--json")
    report = json.loads(out)
    assert status == 0
    assert report["metrics"]["cycles"] == {
        "n": 1,
        "exact": 1,
        "mean_abs_rel_err": 0,
        "median_abs_rel_err": 0,
        "max_abs_rel_err": 0,
    }
    data.write_text(json.dumps({"rows": [{**row, "total_cycles": 70}]}))
    report = json.loads(hwsim("validate", "scalesim", "--data", str(data), "--json")[1])
    assert report["metrics"]["cycles"]["max_abs_rel_err"] == pytest.approx(0.1)
    assert report["worst"][0]["modelled"] == 63
    for broken in ('{"rows": [{"M": 1}]}', "[]", "not json", '{"rows": 3}', "{}"):
        data.write_text(broken)
        status, _, err = hwsim("validate", "scalesim", "--data", str(data))
        assert status == 2
        assert str(data) in err


def test_reference_checks_are_exact() -> None:
    report = json.loads(hwsim("validate", "scalesim", "--json")[1])
    assert report["rows"] == 261
    assert {metric: score["exact"] for metric, score in report["metrics"].items()} == dict.fromkeys(
        report["metrics"], 261
    )


@pytest.mark.parametrize(
    "module", ["numpy", "numba", "vl_convert", "networkx", "simpy", "rich", "jinja2"]
)
def test_importing_is_light(module: str) -> None:
    """Heavy libraries wait until they are used."""
    code = f"import sys, hwsim, hwsim.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_runs_from_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Compiled kernels go to the user's cache when the package's folder is read-only, and are found there again."""
    import shutil

    package = tmp_path / "site"
    shutil.copytree(ROOT / "hwsim", package / "hwsim", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("configs", "kernels", "workloads", "reference"):
        shutil.copytree(ROOT / folder, package / folder)
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    words = [sys.executable, "-m", "hwsim", "tile", "--n", "100"]  # one kernel
    first = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert first.returncode == 0, first.stderr
    if os.getuid() != 0:  # root may write anywhere
        assert any((tmp_path / "cache").rglob("*.nbi"))
    again = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "compiling" not in again.stderr
    assert again.stdout == first.stdout


def test_a_kernel_by_name_is_for_gpus() -> None:
    result = CliRunner().invoke(main, ["run", "tpu-v1", "gemm:64,64,64", "--kernel", "64x64x64x4"])
    assert result.exit_code == 2
    assert "expected a GPU for --kernel 64x64x64x4" in result.output


def test_a_memory_whose_size_changes_nothing_is_said_to() -> None:
    result = CliRunner().invoke(
        main, ["map", "tpu-v1", "gemm:256,256,256", "--curve", "accumulators"]
    )
    assert "accumulators's size changes nothing here." in result.output


def test_a_report_says_the_command_that_was_typed(tmp_path: Path) -> None:
    typed = f"compare gemm:8,8,8 --machines toy-8x8 --out {tmp_path / 'r'} --no-what-if"
    assert CliRunner().invoke(main, typed.split()).exit_code == 0
    assert f"`hwsim {typed}`" in (tmp_path / "r" / "report.md").read_text()


def test_names_given_in_several_options_are_added() -> None:
    """The last of several --machines was taken in silence."""
    asked = "compare gemm:8,8,8 -a direct "
    together, apart = (
        CliRunner().invoke(main, (asked + rest).split())
        for rest in (
            "-m toy-8x8,toy-systolic -b 1,2",
            "-m toy-8x8 -m toy-systolic -b 1 -b 2",
        )
    )
    assert apart.exit_code == 0
    assert apart.stdout == together.stdout and "toy-8x8" in apart.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "alexnet", "toy-8x8"), "'alexnet' is a workload; expected a machine"),
        (("run", "gemm:4,4,4", "toy-8x8"), "'gemm:4,4,4' is a workload; expected a machine"),
        (("map", "toy-8x8", "toy-cpu"), "'toy-cpu' is a machine; expected a workload"),
        (("split", "h100", "alexnet"), "'h100' is a machine; expected a system"),
    ],
)
def test_arguments_exchanged_are_called_so(words: tuple[str, ...], message: str) -> None:
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 2
    assert message in ran.output
