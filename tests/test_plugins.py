"""A stranger's package adds one plug-in of every kind by its entry points, and nothing of hwsim is edited."""

import json
import os
import subprocess
import sys
from pathlib import Path

STRANGER = Path(__file__).parent / "stranger"


def hwsim(*arguments: str, path: Path = STRANGER) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    command = [sys.executable, "-m", "hwsim", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False
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


def test_what_a_stranger_registers_is_listed() -> None:
    assert "textbook" in hwsim("list", "algorithms").stdout
    assert "rows-first" in hwsim("list", "dataflows").stdout


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
