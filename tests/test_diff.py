"""hwsim diff: what moved between two files of results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hwsim.cli import main
from hwsim.errors import HwsimError
from hwsim.results.diff import difference, read_runs


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network on h200, and with twice the DRAM bandwidth."""
    folder = tmp_path_factory.mktemp("diff")
    before, after = folder / "before.json", folder / "after.json"
    base = ["run", "h200", "alexnet", "-a", "direct", "-l", "fc6", "-l", "conv5"]
    assert run(*base, "--json", str(before)).exit_code == 0
    faster = run(*base, "--set", "parts.dram.bandwidth=8934 GB/s", "--json", str(after))
    assert faster.exit_code == 0
    return before, after


def test_what_moved_is_what_differs(files: tuple[Path, Path]) -> None:
    before, after = (json.loads(path.read_text()) for path in files)
    found = difference(*files)
    whole = {each.what: each for each in found.moved if not each.layer}
    assert whole["time"].before == before["seconds"]
    assert whole["time"].after == after["seconds"]
    assert whole["time"].share < -0.1
    assert "multiplies" not in whole
    assert {each.layer for each in found.moved} <= {"", "fc6", "conv5"}
    assert found.alone == ()
    assert difference(*files, tolerance=1.0).is_none


def test_the_status_says_whether_something_moved(files: tuple[Path, Path]) -> None:
    before, after = map(str, files)
    moved = run("diff", before, after)
    assert moved.exit_code == 1
    assert "fc6" in moved.output
    assert all(len(line) <= 80 for line in moved.output.splitlines()[2:])
    same = run("diff", before, before)
    assert same.exit_code == 0
    assert "nothing moved" in same.output
    assert run("diff", before, after, "--tolerance", "100%").exit_code == 0
    document = json.loads(run("diff", before, after, "--json").output)
    assert document["schema"] == "hwsim.diff/1"
    assert document["moved"][0]["what"] == "time"


def test_comparisons_are_matched_run_by_run(tmp_path: Path) -> None:
    """Another order is the same; a run that only one has is named."""
    paths = []
    for number, algorithms in enumerate(("direct,im2col", "im2col,direct", "direct")):
        paths.append(tmp_path / f"{number}.json")
        words = ["compare", "alexnet:conv3", "-m", "tpu-v1,h200", "-a", algorithms]
        assert run(*words, "--json", str(paths[-1])).exit_code == 0
    assert difference(paths[0], paths[1]).is_none
    found = difference(paths[0], paths[2])
    assert found.moved == ()
    assert len(found.alone) == 2
    assert all("im2col" in line and str(paths[0]) in line for line in found.alone)


def test_layers_that_one_has_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    document = json.loads(files[0].read_text())
    del document["layers"][0]
    (tmp_path / "less.json").write_text(json.dumps(document))
    found = difference(files[0], tmp_path / "less.json")
    assert len(found.alone) == 1
    assert "conv5" in found.alone[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "schema is None"),
        ('{"schema": "hwsim.result/1"}', "expected 'hwsim.result/2'"),
        ('{"schema": "hwsim.result/2"}', "has no 'workload'"),
        ('{"schema": "hwsim.comparison/1", "results": 3}', "not as its schema"),
        (
            '{"schema": "hwsim.result/2", "machine": "a", "workload": "b", "algorithm": "c", "dtype": "d"}',
            "has no 'seconds'",
        ),
    ],
)
def test_a_file_that_is_no_result(
    text: str, says: str, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    for words in ((str(path), str(files[0])), (str(files[0]), str(path))):
        found = run("diff", *words)
        assert found.exit_code == 2
        assert says in found.output
        assert str(path) in found.output
    assert run("diff", str(tmp_path / "none.json"), str(path)).exit_code == 2
    with pytest.raises(HwsimError):
        read_runs(tmp_path)


@pytest.mark.parametrize("value", [None, "3", [1]])
def test_a_number_that_is_none_is_no_change(
    value: object, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    """It ended in a traceback, and in the status of a change."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**json.loads(files[0].read_text()), "seconds": value}))
    found = run("diff", str(files[0]), str(path))
    assert found.exit_code == 2
    assert f"{path}: not as its schema" in found.output
