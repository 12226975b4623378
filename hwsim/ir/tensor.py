"""How a statement's iteration touches a tensor: one affine index function per axis.

    for p, r:  out[p] += x[2*p + r - 1]

    x: Axis(terms=(("p", 2), ("r", 1)), size=W, offset=-1)      out: Axis((("p", 1),), size=P)
 A coordinate outside [0, size) is padding: it is zero, and is never moved. `extent` > 1 means that
the statement touches that many coordinates at once (a Winograd patch), `step` apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from hwsim.describe.machine import Role


@dataclass(frozen=True)
class Axis:
    """index = offset + sum(coefficient * dim) + step * [0, extent), kept where 0 <= index <
    size."""

    terms: tuple[tuple[str, int], ...]
    size: int
    offset: int = 0
    extent: int = 1
    step: int = 1

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(dim for dim, _ in self.terms)

    def overhang(self, extents: Mapping[str, int]) -> tuple[int, int]:
        """How many coordinates iterations reach below 0 and beyond the size."""
        last = (
            self.offset
            + sum(coefficient * (extents[dim] - 1) for dim, coefficient in self.terms)
            + self.span
        )
        return max(0, -self.offset), max(0, last - self.size)

    @property
    def span(self) -> int:
        """From the first to the last coordinate that one iteration touches, both included."""
        return self.step * (self.extent - 1) + 1


def along(dim: str, size: int) -> Axis:
    """The plain axis: index = dim."""
    return Axis(((dim, 1),), size)


@dataclass(frozen=True)
class Tensor:
    """A tensor that a statement touches.

    layout: axis numbers from slowest to fastest varying in memory. width: bytes of an element.
    part_of: (buffer, i) when the tensor is the i-th of the equal pieces of a larger one that
    another stage writes under the buffer's name. coded: share of its bytes that crosses DRAM's
    port, where the machine compresses what goes there.
    """

    name: str
    role: Role
    axes: tuple[Axis, ...]
    width: int
    layout: tuple[int, ...] = ()
    part_of: tuple[str, int] | None = None
    coded: float = 1.0

    @property
    def buffer(self) -> str:
        """The name of the memory it lies in: its own, or that of what it is a part of."""
        return self.part_of[0] if self.part_of else self.name

    @property
    def dims(self) -> frozenset[str]:
        return frozenset(dim for axis in self.axes for dim in axis.dims)

    @property
    def elements(self) -> int:
        return prod(axis.size for axis in self.axes)

    @property
    def bytes(self) -> int:
        return self.elements * self.width

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each axis, by the layout."""
        steps, step = [0] * len(self.axes), 1
        for number in reversed(self.layout or range(len(self.axes))):
            steps[number] = step
            step *= self.axes[number].size
        return tuple(steps)
