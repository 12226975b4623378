"""hwsim for programs that speak MCP, the Model Context Protocol: four tools that only read.

Each call is a process of its own, ended after so many seconds; what it prints as JSON is the
answer. A question that hwsim cannot answer gets its one clear line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from typing import Any

from hwsim import __version__
from hwsim.errors import HwsimError

SECONDS = 60.0
ABOUT = (
    "hwsim simulates neural networks on CPUs, GPUs and accelerators. Machines and workloads go by "
    "name (show 'list' names them), layers as shapes: conv:C,H,W,K,R,S,STRIDE,PAD, gemm:M,N,K, "
    "attention:HEADS,Q,KV,D."
)


class Tools:
    """What a client can call. seconds: after which a call ends without an answer."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def show(self, name: str) -> str:
        """What hwsim knows of a machine, workload, algorithm or dataflow; 'list' for all names."""
        return self._ask(["list"] if name == "list" else ["show", _plain(name)])

    def run(
        self, machine: str, workload: str, algorithm: str = "auto", batch: int = 1, dtype: str = ""
    ) -> Any:
        """Simulate a workload on a machine: cycles, DRAM accesses, energy and stalls by layer."""
        words = ["run", _plain(machine), _plain(workload), "-a", _plain(algorithm)]
        words += ["--batch", str(batch), *(["--dtype", _plain(dtype)] if dtype else [])]
        return json.loads(self._ask([*words, "--json", "-"]))

    def compare(self, workload: str, machines: Sequence[str], algorithms: Sequence[str]) -> Any:
        """Every algorithm on every machine, and which is fastest and why."""
        names = [",".join(map(_plain, each)) for each in (machines, algorithms)]
        words = ["compare", _plain(workload), "--machines", names[0], "--algorithms", names[1]]
        return json.loads(self._ask([*words, "--json", "-"]))

    def map(self, machine: str, layer: str, objective: str = "edp") -> Any:
        """The best loop nest of a layer on a machine by latency, energy, edp or dram, with its
        proof or gap."""
        words = ["map", _plain(machine), _plain(layer), "--objective", _plain(objective)]
        limit = ["--seconds", f"{self._seconds / 2:g}"]
        return json.loads(self._ask([*words, *limit, "--json", "-"]))

    def _ask(self, words: list[str]) -> str:
        """What a command prints. Raises HwsimError with its message, or for the time it took."""
        command = [sys.executable, "-m", "hwsim", *words]
        try:
            ran = subprocess.run(
                command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HwsimError(
                f"no answer after {self._seconds:g} s; expected a smaller layer or network, or "
                f"--seconds"
            ) from None
        if ran.returncode:
            raise HwsimError(ran.stderr.strip().removeprefix("hwsim: ") or "hwsim was ended")
        return ran.stdout


def _plain(word: str) -> str:
    """A word that is no option. Raises HwsimError for one that is, and for one with a comma."""
    if word.startswith("-") or not word.strip() or "\0" in word:
        raise HwsimError(f"{word!r}; expected a name or a shape")
    return word


def server(seconds: float = SECONDS) -> Any:
    """An MCP server with the four tools. Raises HwsimError where the package is not installed."""
    try:
        mcp = import_module("mcp.server")
    except ImportError:
        raise HwsimError("serve --mcp needs a package: pip install 'hwsim[mcp]'") from None
    made = mcp.MCPServer("hwsim", instructions=ABOUT, version=__version__, log_level="WARNING")
    tools = Tools(seconds)
    told = import_module("mcp.server.mcpserver.exceptions").ToolError
    for tool in (tools.show, tools.run, tools.compare, tools.map):
        made.tool(structured_output=False)(_telling(tool, told))
    return made


def _telling(tool: Callable[..., Any], told: type[Exception]) -> Callable[..., Any]:
    """A tool whose errors' texts reach the client.

    told: the only exception whose text the package passes on.
    """

    @wraps(tool)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool(*args, **kwargs)
        except HwsimError as error:
            raise told(str(error)) from None

    return call
