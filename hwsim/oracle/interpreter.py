"""The executed loops: walk a nest step by step, track every buffer, and compute the values.

Written to be read beside the definition in hwsim.ir.nest, for small nests; it shares no code with
the closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt

from hwsim.ir.counts import NestCounts, Traffic
from hwsim.ir.nest import COMPUTE, Hold, Loop, Nest
from hwsim.ir.tensor import Tensor

Chunks = dict[str, tuple[int, int]]
Word = tuple[int, ...]


@dataclass
class _Buffer:
    """One instance of a level: the words it holds of one tensor.

    Of some of them a partial sum lies here.
    """

    words: frozenset[Word] = frozenset()
    begun: set[Word] = field(default_factory=set)
    peak: int = 0


@dataclass
class _Tally:
    fills: int = 0
    serves: int = 0
    updates: int = 0
    drains: int = 0


def execute(nest: Nest) -> NestCounts:
    """Traffic of every level and tensor, by walking every step of the nest."""
    traffic: dict[tuple[str, str], Traffic] = {}
    for tensor in nest.stage.tensors:
        walk = _TensorWalk(nest, tensor)
        walk.run()
        traffic.update(walk.traffic())
    instances = {
        hold.level: len(list(_positions(nest, nest.loops_above(hold)))) for hold in nest.holds
    }
    instances[COMPUTE] = len(list(_positions(nest, nest.loops)))
    return NestCounts(traffic, instances)


def compute(nest: Nest, operands: dict[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The output of a multiply-accumulate nest, products added in the order of its loops."""
    stage = nest.stage
    out = np.zeros([axis.size for axis in stage.output.axes])
    for step in _steps(nest, nest.loops):
        for position in _positions(nest, nest.loops):
            chunks = _chunks(nest, nest.loops, step, position)
            for point in _points(chunks):
                values = [_value(operands[tensor.name], tensor, point) for tensor in stage.inputs]
                for word in _words_at(stage.output, point):
                    out[word] += np.prod(values)
    return out


def _value(array: npt.NDArray[np.float64], tensor: Tensor, point: dict[str, int]) -> float:
    words = list(_words_at(tensor, point))
    return float(array[words[0]]) if words else 0.0


class _TensorWalk:
    """Steps one tensor through its chain of levels, outermost first.

    It does so at every step of all the temporal loops.
    """

    def __init__(self, nest: Nest, tensor: Tensor) -> None:
        self.nest, self.tensor = nest, tensor
        self.output = tensor.role == "output"
        self.chain: list[Hold | None] = list(nest.chain(tensor.name))
        self.tallies = [_Tally() for _ in self.chain]
        self.buffers: list[dict[tuple[int, ...], _Buffer]] = []
        for hold in self.chain:
            loops = nest.loops_above(hold)
            self.buffers.append({place: _Buffer() for place in _positions(nest, loops)})

    def run(self) -> None:
        for step in _steps(self.nest, self.nest.loops):
            self._advance(step)
        for depth in range(len(self.chain) - 1, 0, -1):
            self._leave(depth, {place: frozenset() for place in self.buffers[depth]})

    def _advance(self, step: tuple[int, ...]) -> None:
        """One step: words leave from the inside out, then enter from the outside in."""
        tiles = [self._tiles(depth, step) for depth in range(len(self.chain))]
        for depth in range(len(self.chain) - 1, 0, -1):
            self._leave(depth, tiles[depth])
        for depth in range(len(self.chain)):
            self._enter(depth, tiles[depth])

    def _tiles(self, depth: int, step: tuple[int, ...]) -> dict[tuple[int, ...], frozenset[Word]]:
        loops = self.nest.loops_above(self.chain[depth])
        temporal = [
            index
            for index, loop in zip(step, _temporal(self.nest.loops), strict=True)
            if any(loop is own for own in loops)
        ]
        return {
            place: frozenset(_words(self.tensor, _chunks(self.nest, loops, tuple(temporal), place)))
            for place in self.buffers[depth]
        }

    def _leave(self, depth: int, tiles: dict[tuple[int, ...], frozenset[Word]]) -> None:
        hold, tally = self.chain[depth], self.tallies[depth]
        outside = self.tallies[depth - 1]
        arrivals: dict[tuple[tuple[int, ...], Word], int] = {}
        for place, buffer in self.buffers[depth].items():
            stays = frozenset() if hold is None else self._kept(hold, buffer.words, tiles[place])
            for word in buffer.words - stays:
                parent = self._parent(depth, place)
                arrivals[parent, word] = arrivals.get((parent, word), 0) + 1
                buffer.begun.discard(word)
            if self.output and hold is not None:
                tally.drains += len(buffer.words - stays)
            buffer.words = stays
        if not self.output:
            return
        reduce = hold.reduce if hold else self.nest.compute_reduce
        for (parent, word), times in arrivals.items():
            begun = self.buffers[depth - 1][parent].begun
            arriving = 1 if reduce else times
            outside.updates += arriving
            # what lies there is read to be added to
            outside.serves += arriving if word in begun else arriving - 1
            begun.add(word)

    def _enter(self, depth: int, tiles: dict[tuple[int, ...], frozenset[Word]]) -> None:
        hold, tally = self.chain[depth], self.tallies[depth]
        asked: set[tuple[tuple[int, ...], Word]] = set()
        for place, buffer in self.buffers[depth].items():
            for word in tiles[place] - buffer.words:
                self._request(depth, place, word, asked, hold, tally)
            buffer.words = tiles[place]
            buffer.peak = max(buffer.peak, len(buffer.words))

    def _request(
        self,
        depth: int,
        place: tuple[int, ...],
        word: Word,
        asked: set[tuple[tuple[int, ...], Word]],
        hold: Hold | None,
        tally: _Tally,
    ) -> None:
        if depth == 0:
            return
        parent = self._parent(depth, place)
        again = (parent, word) in asked
        asked.add((parent, word))
        outside = self.tallies[depth - 1]
        if self.output:
            begun = self.buffers[depth - 1][parent].begun
            if word in begun and not again:
                begun.discard(word)  # the sum is now inside, and comes back
                outside.serves += 1
                tally.fills += 1
                self.buffers[depth][place].begun.add(word)
            return
        multicast = hold.multicast if hold else self.nest.compute_multicast
        tally.fills += 1
        outside.serves += 0 if multicast and again else 1

    def _kept(self, hold: Hold, old: frozenset[Word], new: frozenset[Word]) -> frozenset[Word]:
        if hold.halo == "refetch" and not self.output:
            return old if old == new else frozenset()
        return old & new

    def _parent(self, depth: int, place: tuple[int, ...]) -> tuple[int, ...]:
        outer = self.nest.loops_above(self.chain[depth - 1])
        return place[: sum(loop.spatial is not None for loop in outer)]

    def traffic(self) -> dict[tuple[str, str], Traffic]:
        result = {}
        for depth, hold in enumerate(self.chain):
            if hold is not None:
                tally, peak = (
                    self.tallies[depth],
                    max(buffer.peak for buffer in self.buffers[depth].values()),
                )
                result[hold.level, self.tensor.name] = Traffic(
                    tally.fills, tally.serves, tally.updates, tally.drains, peak
                )
        return result


def _temporal(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
    return tuple(loop for loop in loops if loop.spatial is None)


def _positions(nest: Nest, loops: tuple[Loop, ...]) -> Iterator[tuple[int, ...]]:
    """Every spatial position below these loops."""
    return product(*(range(nest.bound(loop)) for loop in loops if loop.spatial is not None))


def _steps(nest: Nest, loops: tuple[Loop, ...]) -> Iterator[tuple[int, ...]]:
    """Every temporal step, in order: a loop runs while spatial position zero has work."""

    def run(index: int, left: dict[str, int]) -> Iterator[tuple[int, ...]]:
        if index == len(loops):
            yield ()
            return
        loop = loops[index]
        if loop.spatial is not None:
            yield from run(index + 1, {**left, loop.dim: min(left[loop.dim], loop.tile)})
            return
        for number, start in enumerate(range(0, left[loop.dim], loop.tile)):
            size = min(loop.tile, left[loop.dim] - start)
            for rest in run(index + 1, {**left, loop.dim: size}):
                yield (number, *rest)

    return run(0, dict(nest.stage.bounds))


def _chunks(
    nest: Nest, loops: tuple[Loop, ...], step: tuple[int, ...], position: tuple[int, ...]
) -> Chunks:
    """The chunk of every dim at a temporal step and a spatial position (empty: start >= end)."""
    chunks = {dim: (0, bound) for dim, bound in nest.stage.bounds}
    times, places = iter(step), iter(position)
    for loop in loops:
        index = next(times) if loop.spatial is None else next(places)
        start, end = chunks[loop.dim]
        start += index * loop.tile
        chunks[loop.dim] = (start, min(end, start + loop.tile))
    return chunks


def _points(chunks: Chunks) -> Iterator[dict[str, int]]:
    for values in product(*(range(start, end) for start, end in chunks.values())):
        yield dict(zip(chunks, values, strict=True))


def _words(tensor: Tensor, chunks: Chunks) -> Iterator[Word]:
    if any(end <= start for start, end in chunks.values()):
        return
    own = {dim: chunk for dim, chunk in chunks.items() if dim in tensor.dims}
    for point in _points(own):
        yield from _words_at(tensor, point)


def _words_at(tensor: Tensor, point: dict[str, int]) -> Iterator[Word]:
    ranges = []
    for axis in tensor.axes:
        low = axis.offset + sum(coefficient * point[dim] for dim, coefficient in axis.terms)
        ranges.append([x for x in range(low, low + axis.span, axis.step) if 0 <= x < axis.size])
    return product(*ranges)
