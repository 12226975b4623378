"""hwsim: a cycle-level hardware simulator and cost model for convolution and matrix products."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwsim.api import compare, run_nests, simulate
    from hwsim.choose.mappings import Mappings
    from hwsim.describe.layer import (
        AttentionLayer,
        ConvLayer,
        ConvTransposeLayer,
        Density,
        GemmLayer,
        LinearLayer,
        PoolLayer,
    )
    from hwsim.describe.machine import Machine, list_machines, load_machine
    from hwsim.describe.networks import list_workloads, load_workload
    from hwsim.describe.system import System, list_systems, load_system
    from hwsim.describe.workload import Workload
    from hwsim.errors import ConfigError, HwsimError, PhysicsError
    from hwsim.results.comparison import Comparison
    from hwsim.results.result import LayerResult, Result
    from hwsim.searches import map_layers, split, sweep
    from hwsim.sweeps.result import SweepResult
    from hwsim.teach.questions import check, question

__version__ = "0.1.0"

_HOMES = {
    "check": "hwsim.teach.questions",
    "question": "hwsim.teach.questions",
    "Comparison": "hwsim.results.comparison",
    "compare": "hwsim.api",
    "simulate": "hwsim.api",
    "Mappings": "hwsim.choose.mappings",
    "map_layers": "hwsim.searches",
    "run_nests": "hwsim.api",
    "split": "hwsim.searches",
    "sweep": "hwsim.searches",
    "SweepResult": "hwsim.sweeps.result",
    "AttentionLayer": "hwsim.describe.layer",
    "ConfigError": "hwsim.errors",
    "HwsimError": "hwsim.errors",
    "PhysicsError": "hwsim.errors",
    "LayerResult": "hwsim.results.result",
    "Result": "hwsim.results.result",
    "ConvLayer": "hwsim.describe.layer",
    "GemmLayer": "hwsim.describe.layer",
    "LinearLayer": "hwsim.describe.layer",
    "PoolLayer": "hwsim.describe.layer",
    "ConvTransposeLayer": "hwsim.describe.layer",
    "Density": "hwsim.describe.layer",
    "Machine": "hwsim.describe.machine",
    "list_machines": "hwsim.describe.machine",
    "list_workloads": "hwsim.describe.networks",
    "load_machine": "hwsim.describe.machine",
    "System": "hwsim.describe.system",
    "list_systems": "hwsim.describe.system",
    "load_system": "hwsim.describe.system",
    "Workload": "hwsim.describe.workload",
    "load_workload": "hwsim.describe.networks",
}

__all__ = [
    "AttentionLayer",
    "Comparison",
    "ConfigError",
    "ConvLayer",
    "ConvTransposeLayer",
    "Density",
    "GemmLayer",
    "HwsimError",
    "LayerResult",
    "LinearLayer",
    "Machine",
    "Mappings",
    "PhysicsError",
    "PoolLayer",
    "Result",
    "SweepResult",
    "System",
    "Workload",
    "check",
    "compare",
    "list_machines",
    "list_systems",
    "list_workloads",
    "load_machine",
    "load_system",
    "load_workload",
    "map_layers",
    "question",
    "run_nests",
    "simulate",
    "split",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import hwsim` itself is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
