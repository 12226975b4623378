"""Cores: instructions, and the caches that they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.timing import TIMINGS, Run, Surroundings

if TYPE_CHECKING:
    from hwsim.describe.machine import Machine
    from hwsim.ir.nest import Nest


class Cores:
    """Registers in closed form, the caches line by line, and the busiest port as the time."""

    def refuses(self, nest: Nest, machine: Machine) -> str | None:
        """Every tensor begins in memory and is loaded into registers."""
        innermost = nest.holds[-1].level
        return (
            None
            if innermost == machine.only("registers")
            else f"{innermost} is the innermost memory; expected registers"
        )

    def run(self, nest: Nest, machine: Machine, dtype: str, around: Surroundings) -> Run:
        """Where the layer ends, what the caches hold dirty is written out."""
        from hwsim.timing.cpu.cores import run_on_cores

        return run_on_cores(nest, machine, dtype, around)


TIMINGS.register("core")(Cores())
