"""How a statement's iteration touches a tensor: one affine index function per axis.

    for p, r:  out[p] += x[2*p + r - 1]

    x: Axis(terms=(("p", 2), ("r", 1)), size=W, offset=-1)      out: Axis((("p", 1),), size=P)

A coordinate outside [0, size) is padding: it is zero, and is never moved. `extent` > 1 means that
the statement touches that many coordinates at once (a Winograd patch), `step` apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from hwsim.describe.machine import Role
from hwsim.describe.reading import count
from hwsim.describe.units import whole_bytes

LONGEST_ROW = 1 << 31  # words


@dataclass(frozen=True)
class Axis:
    """index = offset + sum(coefficient * dim) + step * [0, extent), where 0 <= index < size."""

    terms: tuple[tuple[str, int], ...]
    size: int
    offset: int = 0
    extent: int = 1
    step: int = 1

    @cached_property
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

    layout: axis numbers from slowest to fastest varying in memory. width: bytes of an element. ld:
    elements from one row to the next, 0 for a row's own. block: elements of the fastest axis that
    lie together, 0 for a whole row. stated: a user said how it lies. part_of: (buffer, i) when the
    tensor is the i-th of the equal pieces of a larger one that another stage writes under the
    buffer's name. coded: share of its bytes that crosses DRAM's port, where the machine compresses
    what goes there. kept_as: the role that says where it stays, where it plays another in a
    product, as data in the weights' place.
    """

    name: str
    role: Role
    axes: tuple[Axis, ...]
    width: float
    layout: tuple[int, ...] = ()
    part_of: tuple[str, int] | None = None
    coded: float = 1.0
    ld: int = 0
    block: int = 0
    stated: bool = False
    kept_as: Role | None = None

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Axis numbers from slowest to fastest; first those of one word, without neighbours."""
        stated = self.layout or tuple(range(len(self.axes)))
        return tuple(sorted(stated, key=lambda number: self.axes[number].size > 1))

    @property
    def fastest(self) -> Axis:
        """The axis whose neighbours lie side by side."""
        return self.axes[self.order[-1]]

    @property
    def row(self) -> int:
        """Elements from one row to the next."""
        return self.ld or self.fastest.size

    @property
    def buffer(self) -> str:
        """The name of the memory it lies in: its own, or that of what it is a part of."""
        return self.part_of[0] if self.part_of else self.name

    @cached_property
    def dims(self) -> frozenset[str]:
        return frozenset(dim for axis in self.axes for dim in axis.dims)

    @property
    def elements(self) -> int:
        return prod(axis.size for axis in self.axes)

    @property
    def bytes(self) -> int:
        return whole_bytes(self.elements * self.width)

    def words_in(self, room: float) -> int:
        """Elements that so many bytes have room for."""
        return int(room // self.width)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each axis, by the layout."""
        steps, step = [0] * len(self.axes), 1
        for number in reversed(self.order):
            steps[number] = step
            step *= self.row if number == self.order[-1] else self.axes[number].size
        return tuple(steps)

    def words_apart(self, dim: str) -> int:
        """How many words further the next iteration of a dim is."""
        return self._apart.get(dim, 0)

    @cached_property
    def _apart(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for axis, stride in zip(self.axes, self.strides, strict=True):
            for dim, coefficient in axis.terms:
                found[dim] = found.get(dim, 0) + stride * coefficient
        return found

    def bytes_apart(self, dim: str) -> int:
        """The same in whole bytes."""
        return int(self.words_apart(dim) * self.width)


def without_axis(tensor: Tensor, number: int) -> Tensor:
    """The tensor without one of its axes: iterations that differ along it alone share a word."""
    kept = [other for other in range(len(tensor.axes)) if other != number]
    return replace(
        tensor,
        axes=tuple(tensor.axes[other] for other in kept),
        layout=tuple(kept.index(other) for other in tensor.layout if other != number),
    )


@dataclass(frozen=True)
class Array:
    """How an array lies in memory.

    order: its axes from slowest to fastest, each by the first loop that moves along it; empty for
    the usual one. ld: words from one row to the next, 0 for a row's own. block: words of the
    fastest axis that lie together, before the next block of all rows; 0 for a whole row.
    """

    order: tuple[str, ...] = ()
    ld: int = count(default=0, least=0)
    block: int = count(default=0, least=0)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.ld and self.block:
            yield "block", "blocks have no rows to pad; expected ld or block"
        if max(self.ld, self.block) > LONGEST_ROW:
            yield "ld" if self.ld > LONGEST_ROW else "block", f"expected at most {LONGEST_ROW}"
