"""JSON Schema of what hwsim reads and writes: generated, shipped, named, and true.

Every shipped file names its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from hwsim.cli import main
from hwsim.cli.schema import KINDS
from hwsim.results.schemas import DOCUMENTS
from tests.test_timeloop_files import CONV1D, FINE, TWO_LEVELS

ROOT = Path(__file__).parent.parent
SHIPPED = [
    *(("machine", path) for path in sorted(ROOT.glob("configs/*/*.yaml"))),
    *(("workload", path) for path in sorted(ROOT.glob("workloads/*.yaml"))),
    *(("system", path) for path in sorted(ROOT.glob("systems/*.yaml"))),
]


def generated(kind: str) -> Any:
    run = CliRunner().invoke(main, ["schema", kind])
    assert run.exit_code == 0, run.output
    return json.loads(run.stdout)


@pytest.mark.parametrize("kind", [*KINDS, *DOCUMENTS])
def test_the_shipped_schemas_are_those_that_hwsim_makes(kind: str) -> None:
    jsonschema.Draft7Validator.check_schema(generated(kind))
    assert json.loads((ROOT / f"docs/schemas/{kind}.json").read_text()) == generated(kind)


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=lambda value: getattr(value, "stem", value))
def test_shipped_files_keep_to_their_schema_and_name_it(kind: str, path: Path) -> None:
    first, _, text = path.read_text().partition("\n")
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == ROOT / f"docs/schemas/{kind}.json"
    jsonschema.Draft7Validator(generated(kind)).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "change",
    [
        {"clock": None},
        {"colour": "red"},
        {"dtype": "int9"},
        {"parts": {"dram": {"type": "dram", "capacity": "1 GiB"}}},
        {"parts": {"array": {"type": "systolic", "rows": 0, "cols": 8, "rates": {"int8": 1.0}}}},
        {"parts": {"odd": {"type": "quantum"}}},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(change: dict[str, Any]) -> None:
    machine = yaml.safe_load((ROOT / "configs/accelerator/toy-systolic.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(generated("machine")).validate({**machine, **change})


def test_a_nest_file_keeps_to_its_schema(tmp_path: Path) -> None:
    nests = tmp_path / "nests.yaml"
    found = CliRunner().invoke(main, ["map", "toy-8x8", "gemm:8,8,8", "--out", str(nests)])
    assert found.exit_code == 0, found.output
    text = nests.read_text().replace(" on: ", ' "on": ')  # PyYAML keeps to YAML 1.1
    jsonschema.Draft7Validator(generated("nest")).validate(yaml.safe_load(text))


def test_another_kind_gets_the_nearest() -> None:
    run = CliRunner().invoke(main, ["schema", "machines"])
    assert run.exit_code == 2
    assert "did you mean 'machine'" in run.output


CASES = ROOT / "tests/cases/schedules"
TRACE = "0 0\n1 40\n0 1000\n"
SWEEP = """
machine: toy-8x8
workload: gemm:16,16,16
axes: {parts.gb.capacity: [64 KiB, 128 KiB]}
"""
FUSE = ("map", "toy-8x8", "vgg16", "--fuse", "conv1_1,conv1_2", "--seconds", "0.5")
SCALESIM = (
    "run",
    "--scalesim-config",
    str(CASES / "A2_os_sram_unused.cfg"),
    "--topology",
    str(CASES / "A2_gemm.csv"),
)
WRITTEN = [
    ("result", ("run", "eyeriss-v1", "toy-4x4", "-a", "winograd-f3", "--json", "-")),
    ("result", ("run", "t4", "toy-4x4", "--json", "-")),
    ("result", ("run", "cortex-a53", "toy-4x4", "-a", "direct", "--json", "-")),
    ("comparison", ("compare", "toy-4x4", "-m", "tpu-v1,toy-8x8", "-a", "direct", "--json", "-")),
    ("diff", ("diff", "before.json", "after.json", "--json")),
    ("mapping", ("map", "toy-systolic", "gemm:8,8,8", "--json", "-")),
    ("curve", ("map", "toy-8x8", "gemm:8,8,8", "--curve", "gb", "--json", "-")),
    ("fused-pair", (*FUSE, "--json", "-")),
    ("tiling", ("tile", "--n", "8", "--tiles", "2,4,8", "--json", "-")),
    ("tiling", ("tile", "--n", "8", "--tiles", "2,4,8", "--machine", "tpu-v1", "--json", "-")),
    ("tiling", ("tile", "--n", "8", "--tiles", "2,4,8", "--machine", "cortex-a53", "--json", "-")),
    ("counts", ("count", "toy-4x4", "--json", "-")),
    ("errors", ("error", "conv:4,8,8,4,3,3,1,1", "--json", "-")),
    ("cache", ("cache", "--trace", "loop.din", "--json", "-")),
    ("check", ("validate", "area", "--json")),
    ("sweep", ("sweep", "sweep.yaml", "--out", "out", "--engine", "serial", "--json")),
    ("split", ("split", "dgx-h100", "alexnet", "-b", "8", "--chips", "2", "--json", "-")),
    ("timeloop", ("timeloop", "design.yaml", "--json")),
    ("scalesim", (*SCALESIM, "--convention", "scalesim", "--json", "-")),
]


@pytest.mark.slow(keep=6)
@pytest.mark.parametrize(("kind", "words"), WRITTEN)
def test_what_is_written_keeps_to_its_schema(
    kind: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.din").write_text(TRACE)
    Path("sweep.yaml").write_text(SWEEP)
    Path("design.yaml").write_text(CONV1D + TWO_LEVELS + FINE)
    if kind == "diff":
        for name, batch in (("before", "1"), ("after", "2")):
            run = ("run", "toy-8x8", "toy-4x4", "-b", batch, "--json", f"{name}.json")
            assert CliRunner().invoke(main, run).exit_code == 0
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == (1 if kind == "diff" else 0), ran.output
    validator = jsonschema.Draft7Validator(generated(kind))
    validator.validate(json.loads(ran.stdout))
    assert not validator.is_valid({})


def test_every_document_is_tried() -> None:
    assert {kind for kind, _ in WRITTEN} == set(DOCUMENTS)
