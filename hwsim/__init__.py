"""hwsim: a cycle-level hardware simulator and cost model for convolution and matrix products."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwsim.api import Comparison, Mappings, compare, map_layers, run_nests, simulate
    from hwsim.errors import ConfigError, HwsimError, PhysicsError
    from hwsim.sim.result import LayerResult, Result
    from hwsim.spec.layer import ConvLayer, ConvTransposeLayer, Density, GemmLayer, LinearLayer, PoolLayer
    from hwsim.spec.machine import Machine, load_machine
    from hwsim.spec.workload import Workload, load_workload

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "hwsim.api", "compare": "hwsim.api", "simulate": "hwsim.api",
    "Mappings": "hwsim.api", "map_layers": "hwsim.api", "run_nests": "hwsim.api",
    "ConfigError": "hwsim.errors", "HwsimError": "hwsim.errors", "PhysicsError": "hwsim.errors",
    "LayerResult": "hwsim.sim.result", "Result": "hwsim.sim.result",
    "ConvLayer": "hwsim.spec.layer", "GemmLayer": "hwsim.spec.layer", "LinearLayer": "hwsim.spec.layer",
    "PoolLayer": "hwsim.spec.layer", "ConvTransposeLayer": "hwsim.spec.layer", "Density": "hwsim.spec.layer",
    "Machine": "hwsim.spec.machine", "load_machine": "hwsim.spec.machine",
    "Workload": "hwsim.spec.workload", "load_workload": "hwsim.spec.workload",
}

__all__ = ["Comparison", "ConfigError", "ConvLayer", "ConvTransposeLayer", "Density", "GemmLayer", "HwsimError", "LayerResult",
           "LinearLayer", "Machine", "Mappings", "PhysicsError", "PoolLayer", "Result", "Workload", "compare", "load_machine",
           "load_workload", "map_layers", "run_nests", "simulate"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import hwsim` itself is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
