"""Mappings and layers kept on disk: found again by their facts, and by nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hwsim
from hwsim import jobs, private
from hwsim.choose import kept, mappings
from hwsim.choose.kept import keep, key_of
from hwsim.cli import main
from hwsim.describe.catalog import locate
from hwsim.describe.kernels import library_of, load_library
from hwsim.describe.machine import load_machine
from hwsim.describe.settings import read_settings


class Private:
    """hwsim.private with another place."""

    PACKAGE = private.PACKAGE
    read_checked, write_checked = (
        staticmethod(private.read_checked),
        staticmethod(private.write_checked),
    )

    forget_others = staticmethod(private.forget_others)

    def __init__(self, place: Path) -> None:
        self.place = place

    def folder(self, name: str) -> Path:
        self.place.mkdir(exist_ok=True)
        return self.place / name


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HWSIM_KEEP", raising=False)
    monkeypatch.setattr(kept, "private", Private(tmp_path / "places"))
    return tmp_path / "places"


def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objectives of the searches that are made from here on."""
    made: list[str] = []
    search = mappings.best_mapping

    def counted(stage: Any, machine: Any, objective: str, **others: Any) -> Any:
        made.append(objective)
        return search(stage, machine, objective, **others)

    monkeypatch.setattr(mappings, "best_mapping", counted)
    return made


def mapped(layer: str = "gemm:12,20,16", machine: str = "toy-8x8", objective: str = "dram") -> Any:
    return hwsim.map_layers(layer, machine, objective)


def test_the_same_search_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = searches(monkeypatch)
    first, second = mapped(), mapped()
    assert len(made) == 1
    assert second.stages[0].kept and not first.stages[0].kept
    assert second.nest_file() == first.nest_file()
    assert second.to_dict() == first.to_dict()
    assert "from an earlier run" in second.text()


@pytest.mark.parametrize(
    "other",
    [{"layer": "gemm:12,20,17"}, {"machine": "toy-systolic"}, {"objective": "energy"}],
    ids=str,
)
def test_another_fact_is_another_search(
    other: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = searches(monkeypatch)
    mapped()
    assert not mapped(**other).stages[0].kept
    assert len(made) == 2


def test_damage_is_searched_again(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = searches(monkeypatch)
    first = mapped()
    (file,) = (path for path in own_folder.rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-9])
    assert mapped().nest_file() == first.nest_file()
    assert len(made) == 2


def test_nothing_is_kept_where_it_is_forbidden(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_KEEP", "0")
    made = searches(monkeypatch)
    mapped()
    mapped()
    assert len(made) == 2
    assert not own_folder.exists()


def test_the_oldest_leave(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_KEPT", 3)
    for number in range(5):
        keep(key_of(number), number)
    assert len([path for path in own_folder.rglob("*") if path.is_file()]) == 3
    assert kept.kept(key_of(4)) == 4


def test_what_older_sources_kept_leaves(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest few folders stay: another version may use them. Other kinds are let be."""
    for number in range(7):
        monkeypatch.setattr(kept, "sources_digest", lambda number=number: f"digest{number}")
        keep("key", number)
        keep("key", number, "layers")
    stay = [f"digest{number}" for number in range(3, 7)]
    names = sorted(path.name for path in own_folder.iterdir())
    assert names == [f"{kind}-{digest}" for kind in ("layers", "mappings") for digest in stay]


KEY = """
from hwsim.choose.kept import key_of
from hwsim.describe.kernels import load_library
from hwsim.describe.machine import load_machine
print(key_of(*map(load_machine, ("tpu-v1", "xeon-8380", "h200", "eyeriss-v1"))))
"""


def test_a_key_is_the_same_in_every_process() -> None:
    keys = {
        subprocess.run(
            [sys.executable, "-c", KEY],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1


def simulations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The layers that are simulated from here on."""
    made: list[str] = []
    simulate = jobs._run_task

    def counted(task: Any, machine: Any, most: float) -> Any:
        made.append(task.algorithm)
        return simulate(task, machine, most)

    monkeypatch.setattr(jobs, "_run_task", counted)
    return made


def compared(**others: Any) -> Any:
    words = {"machines": ["tpu-v1"], "algorithms": ["direct"], "keeps": True, **others}
    return hwsim.compare("alexnet:conv3", **words)


def test_the_same_layer_is_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one more algorithm costs that algorithm alone; without `keeps` all are simulated."""
    made = simulations(monkeypatch)
    first = compared()
    second = compared(algorithms=["direct", "winograd-f2"])
    assert made == ["direct", "winograd-f2"]
    assert second.results[0] == first.results[0]
    assert compared(keeps=False).results == first.results
    assert len(made) == 3


def test_a_command_takes_what_was_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same text is printed the second time. A timeline is simulated every time."""
    made = simulations(monkeypatch)
    command = ["run", "tpu-v1", "alexnet:conv3", "-a", "direct"]
    first = CliRunner().invoke(main, command).output
    assert CliRunner().invoke(main, command).output == first
    assert made == ["direct"]
    traced = [*command, "--trace", str(tmp_path / "trace.json")]
    for _ in range(2):
        assert CliRunner().invoke(main, traced).exit_code == 0
    assert len(made) == 3


def test_what_was_left_as_too_slow_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Auto leaves algorithms once they took longer; it does not begin them again."""
    made = simulations(monkeypatch)
    command = ["run", "eyeriss-v1", "alexnet:conv3"]
    first = CliRunner().invoke(main, command).output
    assert "not, as they took longer" in " ".join(first.split())
    tried = len(made)
    assert tried > 1
    assert CliRunner().invoke(main, command).output == first
    assert len(made) == tried


def test_a_machine_that_differs_in_anything_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value set, or the library of kernels that it names changed on disk."""
    library = tmp_path / "own.yaml"
    shipped = locate("kernel library", "kernels", "nvidia-hopper").read_text(encoding="utf-8")
    library.write_text(shipped, encoding="utf-8")
    own = load_machine("h200", read_settings([f"parts.sm.kernels={library}"]))
    made = simulations(monkeypatch)
    compared(machines=[own])
    compared(machines=[own])
    assert len(made) == 1
    slower = re.sub(r"prologue: *(\d+)", lambda found: f"prologue: {int(found[1]) + 1000}", shipped)
    assert slower != shipped
    library.write_text(slower, encoding="utf-8")
    load_library.cache_clear()  # as a new process has them
    library_of.cache_clear()
    compared(machines=[own])
    compared(machines=[load_machine("tpu-v1", read_settings(["clock=600 MHz"]))])
    compared()
    assert len(made) == 4


def test_no_layer_is_kept_where_it_is_forbidden(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_KEEP", "0")
    made = simulations(monkeypatch)
    compared()
    compared()
    assert len(made) == 2
    assert not own_folder.exists()


def test_a_listing_is_put_together_once_until_something_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HWSIM_KEEP", raising=False)
    monkeypatch.setattr(private, "folder", lambda name: tmp_path / name)
    made: list[str | None] = []

    def put_together(kind: str | None) -> str:
        made.append(kind)
        return f"{kind} {len(made)}"

    monkeypatch.setattr("hwsim.cli.listing.listing", put_together)

    def listed(*words: str) -> str:
        return CliRunner().invoke(main, ["list", *words]).output

    assert listed() == listed() == "None 1\n"
    assert listed("machines") == listed("machines") == "machines 2\n"
    assert listed() == "None 1\n"
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    monkeypatch.syspath_prepend(plugin)
    assert listed() == "None 3\n"
    (plugin / "new.dist-info").mkdir()
    assert listed() == "None 4\n"
    monkeypatch.setenv("HWSIM_KEEP", "0")
    assert listed() == "None 5\n"
