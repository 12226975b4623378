"""A stranger's package adds one plug-in of every kind by its entry points, and nothing of hwsim is edited."""

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"
STRANGER = Path(__file__).parent / "stranger"


def hwsim(*arguments: str, path: Path = STRANGER) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    command = [sys.executable, "-m", "hwsim", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=400, check=False
    )


def test_a_part_timing_dataflow_algorithm_objective_and_dram_device_of_a_stranger() -> None:
    run = hwsim(
        "run",
        str(STRANGER / "machine.yaml"),
        "gemm:8,8,32",
        "-a",
        "textbook",
        "-d",
        "rows-first",
        "--json",
        "-",
    )
    assert run.returncode == 0, run.stderr
    stage = json.loads(run.stdout)["layers"][0]["stages"][0]
    assert stage["dataflow"] == "rows-first"
    assert stage["fidelity"] == "words in turn"
    assert stage["cycles"]["compute"] == 8 * 8 * 32 / 16
    # k is innermost: A stays for all columns of a row, B comes anew for every output, C leaves once
    moved = 8 * 32 + 8 * 8 * 32 + 8 * 8
    assert stage["dram"]["read_bytes"] + stage["dram"]["write_bytes"] == moved
    assert stage["cycles"]["stall"]["dram"] == moved / 25.6


def test_the_objective_is_one_of_autos() -> None:
    run = hwsim("run", "tpu-v1", "toy-4x4", "--objective", "edp")
    assert run.returncode == 0, run.stderr
    assert "energy x delay" in run.stdout
    assert "edp" in hwsim("run", "tpu-v1", "toy-4x4", "--objective", "edq").stderr


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("parts", "row_unit"),
        ("timings", "word-by-word"),
        ("dataflows", "rows-first"),
        ("algorithms", "textbook"),
        ("policies", "youngest-leaves"),
        ("prefetchers", "two-lines"),
        ("formats", "pairs"),
        ("references", "by-hand"),
        ("lessons", "halving"),
    ],
)
def test_what_a_stranger_registers_is_listed(kind: str, name: str) -> None:
    assert name in hwsim("list", kind).stdout


def test_every_kind_of_plug_in_is_there() -> None:
    """What CONTRIBUTING lists is what there are registries of, and the stranger has one of each."""
    words = re.findall(r"Registry\(\s*\"[^\"]*\", \"(hwsim[^\"]*)\"", _sources())
    words += re.findall(r"Collectives\(\"[^\"]*\", \"(hwsim[^\"]*)\"", _sources())
    listed = re.findall(r"^\|[^|]*\| (hwsim[\w.]*) \|", CONTRIBUTING.read_text(), re.MULTILINE)
    entries = configparser.ConfigParser()
    entries.read(STRANGER / "stranger-1.0.dist-info" / "entry_points.txt")
    assert sorted(set(words)) == sorted(listed) == sorted(entries.sections())


def _sources() -> str:
    package = STRANGER.parents[1] / "hwsim"
    return "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))


def test_a_strangers_mapping_space_is_searched() -> None:
    """No simulation is quicker than what the mapper proves of its space."""
    found = hwsim(
        "map", str(STRANGER / "machine.yaml"), "gemm:32,16,64", "-o", "dram", "--json", "-"
    )
    assert found.returncode == 0, found.stderr
    (stage,) = json.loads(found.stdout)["mappings"]
    assert stage["dataflow"] == "row-unit"
    assert 32 * 16 * 64 / 16 <= stage["cycles"] <= stage["simulated"]["cycles"]


def test_a_strangers_model_format_and_check_are_read(tmp_path: Path) -> None:
    model = tmp_path / "two.mnk"
    model.write_text("16 16 16\n8 64 32\n")
    run = hwsim("run", str(STRANGER / "machine.yaml"), str(model), "--json", "-")
    assert [layer["macs"] for layer in json.loads(run.stdout)["layers"]] == [16**3, 8 * 64 * 32]
    model.write_text("16 16\n")
    refused = hwsim("run", str(STRANGER / "machine.yaml"), str(model))
    assert refused.returncode == 2 and "expected m, n and k" in refused.stderr
    data = tmp_path / "counted.json"
    data.write_text('[{"m": 2, "n": 3, "k": 4, "macs": 24}]')
    assert "0.00%" in hwsim("validate", "by-hand", "--data", str(data)).stdout


def test_a_strangers_engine_and_sampler_run_a_sweep(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        "machine: toy-8x8\nworkload: gemm:16,16,16\nmodel: bound\naxes:\n  batch: [1, 2, 3, 4, 5]\n"
    )
    words = ("--engine", "backwards", "--sampler", "every-other", "--json")
    run = hwsim("sweep", str(sweep), *words, "--out", str(tmp_path / "out"))
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["points"] == 3


def test_a_strangers_prefetcher_is_compiled_into_the_caches(tmp_path: Path) -> None:
    """Every second of eight lines in a row misses: it brings the one two behind it."""
    trace = tmp_path / "row.din"
    trace.write_text("".join(f"0 {64 * line:x}\n" for line in range(8)))
    words = ("cache", "--trace", str(trace), "--level", "1KiB:2:64,two-lines", "--json", "-")
    (level,) = json.loads(hwsim(*words).stdout)["levels"]
    assert (level["misses"], level["prefetches"]) == (4, 4)


def test_a_strangers_collective_moves_what_it_says() -> None:
    program = "from hwsim.chips.collectives import COLLECTIVES as c; print(c.rounds('all-reduce', 'by-way-of-one', 3))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(STRANGER)},
        check=True,
    )
    assert done.stdout.strip() == "[((1, 0, 1.0), (2, 0, 1.0)), ((0, 1, 1.0), (0, 2, 1.0))]"


def test_a_strangers_machine_is_compared_with_itself_made_better() -> None:
    """A part that does not say what twice of it would be is left out of what to build next."""
    words = ("--algorithms", "direct", "--what-if", "--json", "-")
    run = hwsim("compare", "gemm:16,16,16", "--machines", str(STRANGER / "machine.yaml"), *words)
    assert run.returncode == 0, run.stderr
    changes = {change["change"] for change in json.loads(run.stdout)["what_if"]}
    assert "twice the DRAM bandwidth" in changes and "twice the multipliers" not in changes


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        ("return ways - 1", "expected a place from first to first + ways - 1"),
        ("return len(helper(first))", "replacement policy 'odd':"),
    ],
)
def test_a_policy_that_cannot_work_is_named(room: str, expected: str, tmp_path: Path) -> None:
    """Not only where it is used: all policies are compiled into one look-up."""
    (tmp_path / "odd.py").write_text(
        "from hwsim.describe.policies import POLICIES, Policy\n"
        "def helper(first):\n    return open(first)\n"
        f"def room(tags, first, ways):\n    {room}\n"
        "POLICIES.register('odd')(Policy('odd', words=lambda _: 0, room=room))\n"
    )
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hwsim.describe.policies]\nodd = odd\n")
    run = hwsim("run", "toy-cpu", "gemm:8,8,8", path=tmp_path)
    assert run.returncode == 2 and "Traceback" not in run.stderr
    assert expected in run.stderr


def test_a_strangers_lesson_is_taught() -> None:
    assert "How often can a word be halved?" in hwsim("teach").stdout
    assert "64           6" in hwsim("teach", "halving").stdout


def test_a_plugin_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('no such luck')\n")
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hwsim.algorithms]\nluck = broken\n")
    run = hwsim("list", "algorithms", path=tmp_path)
    assert run.returncode == 2
    assert run.stderr.splitlines() == ["hwsim: plug-in 'luck' of broken: ValueError: no such luck"]


def test_a_strangers_chart_is_in_the_report(tmp_path: Path) -> None:
    path = tmp_path / "intensity.svg"
    drawn = hwsim("run", "tpu-v1", "toy-4x4", "--plot", str(path), "--chart", "intensity")
    assert drawn.returncode == 0, drawn.stderr
    assert "Multiplications for each byte" in path.read_text(encoding="utf-8")
    assert (
        "did you mean 'intensity'"
        in hwsim("run", "tpu-v1", "toy-4x4", "--plot", "a.svg", "--chart", "intens").stderr
    )
