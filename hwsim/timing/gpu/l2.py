"""A GPU's L2 in closed form, for layers whose lines are too many to look up one by one.

    asked for    by the blocks' tiles: a tile's words in whole lines, run by run
    missed       what no stage before has left in the L2, and what the blocks in flight do not share
                 of operands that are larger than it
    written      what is dirty leaves when newer words need the room, the rest when the layer ends

A word that is used again is still there when no more than the L2 holds was touched in between.
hwsim.timing.caches walks the same lines one by one; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from hwsim.ir.counts import NestCounts
from hwsim.ir.nest import Hold, Nest
from hwsim.ir.tensor import Tensor
from hwsim.rewrite.residency import Pass
from hwsim.timing.caches.traffic import LevelTraffic

SECTOR = 32  # bytes, the least of a line that an L2 hands over
Traffic = dict[tuple[str, str], LevelTraffic]


@dataclass
class L2Buffers:
    """What the stages of a layer have touched, by buffer.

    name: the L2's part. found, stays: shares of buffers that are there when the layer begins, and
    that need not be written when it ends (hwsim.rewrite.residency).
    """

    name: str
    capacity: int
    line: int
    clock: float = 0.0
    found: Mapping[str, float] = field(default_factory=dict)
    stays: Mapping[str, float] = field(default_factory=dict)
    touched: dict[str, Pass] = field(default_factory=dict)
    dirty: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [self.name]

    def begin_with(self, found: Mapping[str, float], stays: Mapping[str, float]) -> None:
        """Of these shares of buffers, see above."""
        self.found, self.stays = found, stays

    def run(
        self, nest: Nest, counts: NestCounts, boundary: Hold, passes: dict[str, float], last: bool
    ) -> Traffic:
        """A stage's lines at the L2 and the DRAM.

        passes: how often an operand that the L2 does not hold comes. last: the layer ends, and what
        is dirty is written.
        """
        stage, found = nest.stage, Traffic()
        before = self.clock
        after = before + sum({tensor.name: tensor.bytes for tensor in stage.tensors}.values())
        for tensor in stage.inputs:
            words = counts.of(nest.holds[0].level, tensor.name).serves
            asked = words * tensor.width / self.line * waste(nest, boundary, tensor, self.line)
            own = ceil(tensor.bytes / self.line)
            kept = self.still_there(tensor.buffer, before, after)
            misses = own * (1 - kept) + own * (passes.get(tensor.name, 1.0) - 1)
            look_ups = LevelTraffic(max(asked, misses), 0, misses, 0)
            self._add(found, self.name, tensor.buffer, look_ups)
            self._add(found, "dram", tensor.buffer, LevelTraffic(misses, 0, 0, 0))
        output = stage.output
        stored = counts.of(nest.holds[0].level, output.name).updates
        lines = stored * output.width / self.line * waste(nest, boundary, output, self.line)
        own = ceil(output.bytes / self.line)
        self._add(found, self.name, output.buffer, LevelTraffic(0, lines, own, 0))
        self.clock = after
        for buffer in {tensor.buffer for tensor in stage.tensors}:
            self.touched[buffer] = Pass(before, after)
        self.dirty[output.buffer] = self.dirty.get(output.buffer, 0.0) + own * self.line
        self._write_back(found, after - before, last)
        return found

    def still_there(self, buffer: str, before: float, after: float) -> float:
        """The share of a buffer that the L2 still holds when a stage passes over it."""
        if buffer not in self.touched:
            return self.found.get(buffer, 0.0)
        return self.touched[buffer].still_there(Pass(before, after), self.capacity)

    def _write_back(self, found: Traffic, moved: float, last: bool) -> None:
        """Dirty words leave oldest first, as far as newer ones need the room; all where it ends."""
        total = sum(self.dirty.values())
        leaving = total if last else max(0.0, min(total, total + moved - self.capacity))
        for buffer in list(self.dirty):
            out = min(self.dirty[buffer], leaving)
            leaving -= out
            self.dirty[buffer] -= out
            if last:
                out *= 1 - self.stays.get(buffer, 0.0)
            if out:
                self._add(found, "dram", buffer, LevelTraffic(0, out / self.line, 0, 0))
            if not self.dirty[buffer]:
                del self.dirty[buffer]

    @staticmethod
    def _add(found: Traffic, level: str, buffer: str, lines: LevelTraffic) -> None:
        found[level, buffer] = found.get((level, buffer), LevelTraffic(0, 0, 0, 0)) + lines


def handed_over(
    nest: Nest, boundary: Hold, traffic: Traffic, l2: str, line: int
) -> dict[str, float]:
    """By buffer the share of its lines at the L2 that blocks ask for: sectors, not whole lines."""
    shares = {}
    for tensor in nest.stage.tensors:
        if (l2, tensor.buffer) in traffic:
            sectors, lines = (waste(nest, boundary, tensor, size) for size in (SECTOR, line))
            shares[tensor.buffer] = min(1.0, sectors / lines)
    return shares


def waste(nest: Nest, boundary: Hold, tensor: Tensor, line: int) -> float:
    """Lines that a tile touches over those that its words fill, or sectors of so many bytes.

    Its runs of neighbouring words begin and end anywhere, but where they and the rows that they lie
    in are whole lines, or whole parts of a line.
    """
    sizes = tile_sizes(nest, boundary)
    run = apart = tensor.width  # bytes of a run, and of the rows that it lies in
    for number in reversed(tensor.order):
        axis = tensor.axes[number]
        apart *= tensor.row if number == tensor.order[-1] else axis.size
        reach = sum(c * (sizes[dim] - 1) for dim, c in axis.terms) + axis.span
        gaps = max((c for _, c in axis.terms), default=1) > 1 and len(axis.terms) < 2
        length = min(axis.size, reach)
        run *= length
        if length < axis.size or gaps:
            break
    if apart % line == 0 and (run % line == 0 or line % run == 0):
        return max(1.0, line / run)
    return float((run + line - tensor.width) / run)


def tile_sizes(nest: Nest, boundary: Hold) -> dict[str, int]:
    """The longest tile of every dim inside a level."""
    sizes = dict(nest.stage.extents)
    for loop in nest.loops_above(boundary):
        sizes[loop.dim] = min(sizes[loop.dim], loop.tile)
    return sizes
