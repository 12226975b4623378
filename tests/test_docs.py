"""Every command and program in README and docs runs, and what they state is true."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from hwsim.describe.machine import PARTS
from hwsim.describe.reading import yaml_name
from tests.conftest import AS_A_USER

LIGHT = "backend/test/data/light/light_squeezenet.onnx"  # without its weights
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (path.name, text)
        for path in PAGES
        for text in re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.S)
    ]


SESSIONS = [
    (
        page,
        tuple(
            line.removeprefix("$ ")
            for line in text.replace("\\\n", "").splitlines()
            if line.startswith("$ hwsim")
        ),
    )
    for page, text in blocks("console")
]


def test_there_is_something_to_run() -> None:
    assert sum(len(commands) for _, commands in SESSIONS) >= 6
    assert blocks("python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the YAML files of docs/machines.md, and those that begin with their name."""
    place = tmp_path_factory.mktemp("docs")
    for _, text in blocks("yaml"):
        first, _, rest = text.partition("\n")
        if first.startswith("# file: "):
            (place / first.removeprefix("# file: ")).write_text(rest)
    machine, workload = (
        text
        for page, text in blocks("yaml")
        if page == "machines.md" and not text.startswith("# file: ")
    )
    (place / "machine.yaml").write_text(machine)
    for page, text in blocks("json"):
        if page == "own-transformer.md":
            (place / "my-llama").mkdir()
            (place / "my-llama" / "config.json").write_text(text)
    shutil.copy(Path(onnx.__file__).parent / LIGHT, place / "squeezenet.onnx")
    shutil.copy(ROOT / "tests" / "models" / "tiny-cnn.pt2", place / "model.pt2")
    (place / "small.yaml").write_text(workload)
    return place


@pytest.mark.slow(keep=8)
@pytest.mark.parametrize(("page", "commands"), SESSIONS)
def test_commands(page: str, commands: tuple[str, ...], folder: Path) -> None:
    """A block is one session: a command may use what those before it wrote."""
    for command in commands:
        ran = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=folder,
            env=AS_A_USER,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{page}: {command}\n{ran.stderr}"
        assert ran.stdout.strip()


@pytest.mark.parametrize(("page", "program"), blocks("python"))
def test_program(page: str, program: str, folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=AS_A_USER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{page}\n{ran.stderr}"


def test_links_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_nothing_speaks_of_this_machine() -> None:
    for path in [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml"]:
        assert not re.search(r"/(home|work|root)/", path.read_text()), path.name


def test_the_table_of_parts_has_every_field_and_no_other() -> None:
    """docs/machines.md lists the fields that the dataclasses read."""
    rows = re.findall(r"^\| (\w+) \| (.+) \|$", (ROOT / "docs/machines.md").read_text(), re.M)
    listed = {kind: fields for kind, fields in rows if kind in PARTS}
    assert set(listed) == set(PARTS)
    for kind, text in listed.items():
        plain = re.sub(r"\([^()]*\)", "", text)
        wanted = {yaml_name(spec) for spec in dataclasses.fields(PARTS[kind]) if spec.init}
        assert {word.strip() for word in plain.split(",")} == wanted, kind
