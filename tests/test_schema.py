"""JSON Schema of what hwsim reads: generated, shipped, named by every shipped file, and true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from hwsim.cli import main

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


@pytest.mark.parametrize("kind", ["machine", "workload", "nest", "system"])
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
