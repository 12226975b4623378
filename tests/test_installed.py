"""The wheel, unpacked elsewhere and used from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import hwsim
result: hwsim.Result = hwsim.simulate("toy-4x4", "tpu-v1")
cycles: float = result.cycles
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files in a folder of their own, ahead of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    place = folder / "installed"
    zipfile.ZipFile(wheel).extractall(place)
    return place


def run(installed: Path, folder: Path, *words: str) -> str:
    """What a module prints, run from a folder with nothing of ours in it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_runs_from_another_folder(installed: Path, tmp_path: Path) -> None:
    """With its machines, networks, kernels and data; the same numbers as from the sources."""
    import hwsim

    words = ("run", "h200", "alexnet:fc6", "-t", "fp16", "--json", "-")
    document = json.loads(run(installed, tmp_path, "hwsim", *words))
    here = hwsim.simulate("alexnet:fc6", "h200", dtype="fp16")
    assert document["seconds"] == here.seconds
    assert "timeloop" in run(installed, tmp_path, "hwsim", "validate", "timeloop")
    assert "toy-systolic" in run(installed, tmp_path, "hwsim", "list", "machines")


def test_a_users_program_is_checked_against_its_types(installed: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert "Success" in run(installed, tmp_path, "mypy", "--strict", str(program))
    program.write_text(PROGRAM.replace("cycles: float", "cycles: str"))
    with pytest.raises(AssertionError):
        run(installed, tmp_path, "mypy", "--strict", str(program))
