"""Systolic arrays: folds in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.timing import TIMINGS, Run, Surroundings

if TYPE_CHECKING:
    from hwsim.describe.machine import Machine
    from hwsim.ir.nest import Nest


class SystolicFolds:
    """Folds of a systolic array in closed form.

    Nests whose sums cannot run down its columns run as passes, in which every cell is fed by
    itself.
    """

    def refuses(self, nest: Nest, machine: Machine) -> str | None:
        """Cells take any nest that fits."""
        return None

    def run(self, nest: Nest, machine: Machine, dtype: str, around: Surroundings) -> Run:
        """Tiles as events, folds in closed form."""
        from hwsim.timing.systolic.pace import run_folds

        return run_folds(nest, machine, dtype)


TIMINGS.register("systolic")(SystolicFolds())
