"""Outputs whole or not at all, and a kernel cache that nobody else can write into."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hwsim import private
from hwsim.cli import main
from hwsim.describe.catalog import locate
from hwsim.errors import HwsimError
from hwsim.report.files import check_file, check_folder, write_file, write_folder

RUN = ["run", "toy-systolic", "gemm:8,8,8"]
REWRITE = """
import sys
from pathlib import Path
from hwsim.report.files import write_folder
print("ready", flush=True)
for version in range(10**6):
    write_folder(Path(sys.argv[1]), {f"f{number}": f"{version}" for number in range(12)}, True)
"""


def test_a_killed_replacement_leaves_the_old_folder_or_the_new_one(tmp_path: Path) -> None:
    rng = random.Random(1)
    folder = tmp_path / "report"
    for _ in range(25):
        with subprocess.Popen(
            [sys.executable, "-c", REWRITE, str(folder)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(rng.random() * 0.02)
            child.kill()
        if folder.exists():
            assert len({path.read_text() for path in folder.iterdir()}) == 1
            assert len(list(folder.iterdir())) == 12


def test_force_keeps_what_else_lies_there(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_folder(folder, {"a.txt": "old"}, False)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(HwsimError, match="not empty"):
        check_folder(folder, False)
    write_folder(folder, {"a.txt": "new", "b.txt": "new"}, True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "a.txt": "new",
        "b.txt": "new",
        "notes.txt": "mine",
    }
    (folder / "photos").mkdir()
    with pytest.raises(HwsimError, match="holds a folder, photos"):
        check_folder(folder, True)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_link_is_written_through_and_modes_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "new.json", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) == 0o640
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_file(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_devices_and_pipes_are_written_through(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, [*RUN, "--json", "/dev/null"]).exit_code == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert CliRunner().invoke(main, [*RUN, "--json", str(pipe)]).exit_code == 0
    reader.join()
    assert json.loads(read[0])["machine"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(
    "command",
    [
        [*RUN, "--json"],
        [*RUN, "--trace"],
        ["count", "alexnet", "--json"],
        ["error", "gemm:8,8,8", "--json"],
        ["map", "toy-8x8", "gemm:8,8,8", "--out"],
        ["tile", "--n", "8", "--json"],
        ["compare", "alexnet", "-m", "tpu-v1", "-a", "direct", "--json"],
    ],
)
@pytest.mark.parametrize("place", ["missing/file.json", ".", "x" * 300])
def test_what_cannot_be_written_is_refused_before_any_work(
    command: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("worked before it looked")

    for name in ("api.simulate", "api.compare", "searches.map_layers"):
        monkeypatch.setattr(f"hwsim.{name}", never)
    result = CliRunner().invoke(main, [*command, str(tmp_path / place)])
    assert result.exit_code == 2, result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_is_one_line() -> None:
    for arguments in (RUN, [*RUN, "--json", "/dev/full"], [*RUN, "--json", "-"], ["list"]):
        with Path("/dev/full").open("w") as full:
            stdout = None if "/dev/full" in arguments else full
            done = subprocess.run(
                [sys.executable, "-c", "from hwsim.cli import main; main()", *arguments],
                stdout=stdout or subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "No space left" in done.stderr.splitlines()[-1]


def test_a_directory_or_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(HwsimError, match="is a folder"):
        check_file(tmp_path)
    with pytest.raises(HwsimError, match="no folder"):
        check_file(tmp_path / "no" / "file")


def test_a_cache_folder_is_the_users_alone(tmp_path: Path) -> None:
    assert private._is_safe(tmp_path / "fresh")
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert not private._is_safe(shared)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "fresh")
    assert not private._is_safe(link)
    if os.getuid() == 0:
        alien = tmp_path / "alien"
        alien.mkdir(mode=0o700)
        os.chown(alien, 12345, 12345)
        assert not private._is_safe(alien)


KERNEL = """
from hwsim import compiled, private
import os
from pathlib import Path
private._places = lambda: [Path(place) for place in os.environ["PLACES"].split(":") if place]
compiled._digest = lambda strangers: "x"
from hwsim.timing.dram.channels import _read
import numpy as np
from hwsim.timing.dram.channels import transfer_ns
from hwsim.describe.dram import DEVICES
print(float(transfer_ns(DEVICES["ddr3-1600"], 1, np.array([4096]))[0]), len(_read.stats.cache_hits))
"""


def run_kernel(*places: Path) -> tuple[float, int]:
    done = subprocess.run(
        [sys.executable, "-c", KERNEL],
        env={**os.environ, "PLACES": ":".join(map(str, places))},
        capture_output=True,
        text=True,
        check=True,
    )
    value, hits = done.stdout.split()
    return float(value), int(hits)


@pytest.mark.slow
def test_a_damaged_cache_heals_itself_and_none_will_do(tmp_path: Path) -> None:
    value, hits = run_kernel(tmp_path)
    assert hits == 0
    assert run_kernel(tmp_path) == (value, 1)
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert files
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\0" * 8)
    assert run_kernel(tmp_path) == (value, 0)
    assert run_kernel(tmp_path) == (value, 1)
    assert run_kernel() == (value, 0)


def test_progress_is_a_line_now_and_then_where_stderr_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hwsim.cli.terminal.SECONDS_BETWEEN_LINES", 0.0)
    result = CliRunner().invoke(
        main, ["run", "toy-systolic", "alexnet", "-l", "conv5", "-l", "fc8", "-a", "implicit-gemm"]
    )
    assert result.exit_code == 0, result.output
    assert "hwsim: simulating: 2 of 2" in result.stderr
    monkeypatch.setattr("hwsim.cli.terminal.SECONDS_BETWEEN_LINES", 10.0)
    assert "simulating" not in CliRunner().invoke(main, RUN).stderr


def test_kernels_of_two_threads_are_kept_in_the_same_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numba has one setting for where; a thread that put it back while another looked sent that one's to the current folder."""
    from numba.core import caching

    from hwsim import compiled

    whole = caching.FunctionCache

    def slowly(function: Any) -> Any:
        time.sleep(0.2)
        return whole(function)

    monkeypatch.setattr(caching, "FunctionCache", slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(compiled._cache_of, _run_of_a_thread)
        time.sleep(0.1)
        second = threads.submit(compiled._cache_of, _run_of_a_thread)
    folder = compiled.cache_folder()
    assert folder is not None
    for found in (first.result(), second.result()):
        assert Path(found._cache_path).is_relative_to(folder)


def _run_of_a_thread() -> None: ...


def test_an_output_that_is_read_or_written_already_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json my.yaml` beside my.yaml replaced the machine, `--out model.onnx` the model."""
    monkeypatch.chdir(tmp_path)
    machine = Path("my.yaml")
    shutil.copy(locate("machine", "configs", "toy-8x8"), machine)
    content = machine.read_bytes()
    for words in (
        ["run", "my.yaml", "gemm:8,8,8", "-a", "direct", "--json", "my.yaml"],
        ["run", "my.yaml", "gemm:8,8,8", "-a", "direct", "--json", "./my.yaml"],
        ["run", "toy-8x8", "gemm:8,8,8", "-a", "direct", "--json", "q", "--csv", "q"],
        ["map", "my.yaml", "gemm:8,8,8", "--out", "my.yaml"],
        ["compare", "toy-4x4", "-m", "toy-8x8,my.yaml", "-a", "direct", "--json", "my.yaml"],
        ["run", "toy-8x8", "my.yaml:layer", "--json", "my.yaml"],
    ):
        ran = CliRunner().invoke(main, words)
        assert ran.exit_code == 2 and "by this command; expected" in ran.output, words
        assert machine.read_bytes() == content and not Path("q").exists()
    for json_to in ("toy-4x4", "made.json", "./made.json", f"{tmp_path}/./other.json"):
        words = ["run", "toy-8x8", "toy-4x4", "-a", "direct", "--json", json_to]
        ran = CliRunner().invoke(main, [*words, "--csv", os.devnull])
        assert ran.exit_code == 0, ran.output  # a shipped name is no file that is read
        assert json.loads(Path(json_to).read_text())
