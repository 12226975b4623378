"""What a nest costs at the least, by its counts alone: it tells which nests are worth simulating.

cycles   the most of: all products at the machine's peak, every port's bytes over its bandwidth
energy   what the simulation will say: waiting takes none
DRAM     likewise
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.count.closed_form import count
from hwsim.describe.machine import Machine
from hwsim.energy.moved import energy_moved
from hwsim.ir.nest import Nest
from hwsim.timing.explicit.accesses import accesses
from hwsim.timing.physics import port_cycles


@dataclass(frozen=True)
class Least:
    """What no simulation goes below.

    Energy and DRAM bytes of a nest's counts are what it will say.
    """

    cycles: float
    picojoules: float
    dram_bytes: float

    def by(self, objective: str) -> float:
        """In the unit of an objective, as hwsim.choose.nests.MEASURES gives it of a run."""
        return {
            "latency": self.cycles,
            "energy": self.picojoules,
            "edp": self.picojoules * self.cycles,
            "dram": self.dram_bytes,
        }[objective]


def least_of(nest: Nest, machine: Machine, dtype: str) -> Least:
    """Of a nest whose every level is an explicit memory."""
    counts = count(nest)
    moved = accesses(
        machine, nest, counts, set(machine.memories), machine.compute.accumulator_bytes
    )
    operations = nest.stage.operations
    busy = (port_cycles(machine, name, rows.values()) for name, rows in moved.items())
    products = operations.multiplies / machine.compute.peak_macs_per_cycle(dtype)
    dram = moved.get(machine.dram_name, {}).values()
    return Least(
        max(products, *busy),
        sum(energy_moved(nest, machine, dtype, moved)[0].values()),
        sum(access.read_bytes + access.write_bytes for access in dram),
    )
