"""hwsim for programs: tools that only read, each with a time limit; names and dicts from Python."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.describe.catalog import shipped
from hwsim.errors import ConfigError, HwsimError
from hwsim.serve import Tools, server


def test_tools_answer_as_the_commands_do() -> None:
    tools = Tools()
    assert "tpu-v1" in tools.show("list") and "4x4 systolic array" in tools.show("toy-systolic")
    ran = tools.run("toy-systolic", "gemm:8,8,8", "direct")
    alone = hwsim.simulate("gemm:8,8,8", "toy-systolic", "direct")
    assert ran["seconds"] == alone.seconds
    compared = tools.compare("gemm:8,8,8", ["toy-systolic", "toy-8x8"], ["direct"])
    assert [result["machine"] for result in compared["results"]] == ["toy-systolic", "toy-8x8"]
    assert tools.map("toy-8x8", "gemm:4,4,4")


@pytest.mark.parametrize(
    ("machine", "workload", "expected"),
    [
        ("tpu-v9", "vgg16", "did you mean 'tpu-v4'"),
        ("--json", "vgg16", "expected a name or a shape"),
        ("tpu-v1", "gemm:1,2", "missing"),
    ],
)
def test_what_cannot_be_answered_is_one_line(machine: str, workload: str, expected: str) -> None:
    with pytest.raises(HwsimError, match=expected):
        Tools().run(machine, workload)


def test_a_call_ends_in_time() -> None:
    with pytest.raises(HwsimError, match="no answer after 0.05 s"):
        Tools(0.05).show("list")


def shown_to_a_client(name: str) -> tuple[list[str], Any]:
    """The tools that a client finds, and what `show` answers it."""
    from mcp.client import Client

    async def ask() -> tuple[list[str], Any]:
        async with Client(server()) as client:
            tools = await client.list_tools()
            said = await client.call_tool("show", {"name": name})
            return [tool.name for tool in tools.tools], said

    with ThreadPoolExecutor(1) as apart:  # a browser's tests leave a loop running in their thread
        return apart.submit(lambda: asyncio.run(ask())).result()


def test_a_client_finds_four_tools() -> None:
    names, said = shown_to_a_client("toy-systolic")
    assert names == ["show", "run", "compare", "map"]
    assert said.content[0].text.startswith("toy-systolic: 4x4 systolic array")


def test_a_client_is_told_what_is_wrong() -> None:
    """Clients saw 'Error executing tool show' alone."""
    _, said = shown_to_a_client("tpuv1")
    assert said.is_error and "did you mean 'tpu-v1'" in said.content[0].text


def test_serve_says_what_it_speaks() -> None:
    ran = CliRunner().invoke(main, ["serve"])
    assert ran.exit_code == 2 and "expected --mcp" in ran.output


def test_names_and_machines_from_python() -> None:
    assert hwsim.list_machines() == sorted(shipped("configs"))
    assert "llama-3-8b" in hwsim.list_workloads()
    for name in ("toy-8x8", "h100"):
        values = yaml.safe_load(shipped("configs")[name].read_text())
        assert hwsim.load_machine(values) == hwsim.load_machine(name)
        assert hwsim.load_machine(json.loads(json.dumps(values))) == hwsim.load_machine(name)
    with pytest.raises(ConfigError, match="missing key 'clock'"):
        hwsim.load_machine({"name": "none"})
