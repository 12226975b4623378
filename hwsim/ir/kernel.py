"""What a statement computes from the patches it touches, when it is not a multiply-accumulate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from hwsim.ir.program import Program
from hwsim.ir.stage import Operations

if TYPE_CHECKING:
    import numpy.typing as npt

    Values = npt.NDArray[Any]


class Kernel(Protocol):
    """operations: of one execution.

    apply: the output's patches from the inputs', [..., words of the patch] each, for many
    executions at once.
    """

    @property
    def operations(self) -> Operations: ...

    def apply(self, patches: list[Values]) -> Values: ...


@dataclass(frozen=True)
class Move:
    """out = in"""

    @property
    def operations(self) -> Operations:
        return Operations()

    def apply(self, patches: list[Values]) -> Values:
        return patches[0]


@dataclass(frozen=True)
class Add:
    """out = in1 + in2 + ..."""

    inputs: int

    @property
    def operations(self) -> Operations:
        return Operations(additions=self.inputs - 1)

    def apply(self, patches: list[Values]) -> Values:
        total = patches[0]
        for patch in patches[1:]:
            total = total + patch
        return total


@dataclass(frozen=True)
class Separable:
    """out = sum over inputs of L in R^T.

    The program of L runs on every column, then that of R on every row.
    """

    parts: tuple[tuple[Program, Program], ...]

    @cached_property
    def operations(self) -> Operations:
        total = Operations()
        for down, across in self.parts:
            total = total + down.operations * across.inputs + across.operations * len(down.outputs)
        down, across = self.parts[0]
        return total + Operations(
            additions=(len(self.parts) - 1) * len(down.outputs) * len(across.outputs)
        )

    def apply(self, patches: list[Values]) -> Values:
        terms = [
            self._one(patch, down, across)
            for patch, (down, across) in zip(patches, self.parts, strict=True)
        ]
        return Add(len(terms)).apply(terms)

    def _one(self, patch: Values, down: Program, across: Program) -> Values:
        tile = patch.reshape(*patch.shape[:-1], down.inputs, across.inputs)
        whole = run_along(across, run_along(down, tile, -2), -1)
        return whole.reshape(*whole.shape[:-2], -1)


@dataclass(frozen=True)
class Rectified:
    """out = max(0, kernel(in)) for patches of `words`; a comparison counts as an addition."""

    kernel: Kernel
    words: int

    @property
    def operations(self) -> Operations:
        return self.kernel.operations + Operations(additions=self.words)

    def apply(self, patches: list[Values]) -> Values:
        values = self.kernel.apply(patches)
        return values * (values > 0)


def run_along(program: Program, values: Values, axis: int) -> Values:
    """The program applied to the vectors along an axis."""
    import numpy as np

    moved = np.moveaxis(values, axis, 0)
    outputs = program.run(list(moved))
    zero = moved[0] * 0.0
    return np.stack([zero if value is None else value for value in outputs], axis=axis)
