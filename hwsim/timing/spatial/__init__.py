"""Arrays of PEs: passes, and the busses that feed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.timing import TIMINGS, Run, Surroundings

if TYPE_CHECKING:
    from hwsim.describe.machine import Machine
    from hwsim.ir.nest import Nest


class Passes:
    """PEs in lockstep, pass by pass.

    Of row-stationary passes each counts by itself, with its ramps and busses; of others the busses'
    mean.
    """

    def refuses(self, nest: Nest, machine: Machine) -> str | None:
        """PEs take any nest that fits."""
        return None

    def run(self, nest: Nest, machine: Machine, dtype: str, around: Surroundings) -> Run:
        """Tiles as events, passes in closed form."""
        from hwsim.timing.explicit.array import run_on_array
        from hwsim.timing.spatial.passes import pass_pace

        return run_on_array(nest, machine, dtype, pass_pace)


TIMINGS.register("spatial")(Passes())
