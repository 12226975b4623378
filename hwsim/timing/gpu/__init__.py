"""Streaming multiprocessors: blocks in waves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.timing import TIMINGS, Run, Surroundings

if TYPE_CHECKING:
    from hwsim.describe.machine import Machine
    from hwsim.ir.nest import Nest


class Blocks:
    """Waves of blocks in time; registers and shared memory in closed form.

    The L2 is looked up sector by sector in wave order.
    """

    def refuses(self, nest: Nest, machine: Machine) -> str | None:
        """Tiles go through shared memory."""
        levels = {hold.level for hold in nest.holds}
        return (
            None
            if {machine.only("scratchpad", "sm"), machine.only("registers")} <= levels
            else "a kernel's tiles are held in shared memory and registers"
        )

    def run(self, nest: Nest, machine: Machine, dtype: str, around: Surroundings) -> Run:
        """Where the layer ends, what the L2 holds dirty is written out."""
        from hwsim.timing.gpu.blocks import run_on_blocks

        assert around.caches is not None
        return run_on_blocks(nest, machine, dtype, around.caches, around.last)


TIMINGS.register("sm")(Blocks())
