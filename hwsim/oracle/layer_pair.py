"""Two fused layers executed word by word: what is loaded, what is held, and the values.

Written to be read beside hwsim.schedule.layer_pair, for small layers; it shares no code with the
closed form there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.describe.layer import ConvLayer
from hwsim.schedule.layer_pair import Blocks, Pair

Word = tuple[int, int, int, int]  # image, channel, row, column
Array = npt.NDArray[np.int64]


@dataclass
class Executed:
    """What was counted. held: the most words of a tensor on the chip at once."""

    output: Array
    loaded_input: int = 0
    loaded_first: int = 0
    loaded_second: int = 0
    stored: int = 0
    products: int = 0
    held: dict[str, int] = field(default_factory=lambda: {"input": 0, "between": 0, "output": 0})


@dataclass(frozen=True)
class _Block:
    """One block of outputs, and the places of other tensors that it needs, makes and loads.

    A place is (image, row, column).
    """

    outputs: set[tuple[int, int, int]]
    needs: set[tuple[int, int, int]]
    makes: set[tuple[int, int, int]]
    reads: set[tuple[int, int, int]]
    loads: set[tuple[int, int, int]]


def execute_pair(
    pair: Pair, blocks: Blocks, image: Array, filters: tuple[Array, Array]
) -> Executed:
    """Run the loops. image: n x c x h x w; filters: k x c/groups x r x s of each layer."""
    first, second = pair.first, pair.second
    done = Executed(np.zeros((second.n, second.k, second.p, second.q), np.int64))
    plan = _plan(pair, blocks)
    between: dict[Word, int] = {}
    depth, wide = first.groups > 1, second.groups > 1
    chunks = [
        range(start, min(start + blocks.channels, first.k))
        for start in range(0, first.k, blocks.channels)
    ]
    weights = [filters[0].size, filters[1].size]
    if blocks.first_stays:
        done.loaded_first += weights[0]
    if blocks.second_stays:
        done.loaded_second += weights[1]
    for number, block in enumerate(plan):
        later = plan[number + 1 :]
        kept_input = _any("reads", later) if blocks.keep_input else set()
        kept_between = _any("needs", later) if blocks.keep_between else set()
        for chunk in chunks:
            done.loaded_first += 0 if blocks.first_stays else filters[0][chunk].size
            done.loaded_second += (
                0
                if blocks.second_stays
                else (filters[1][chunk] if wide else filters[1][:, chunk]).size
            )
            if chunk is chunks[0] or depth:
                done.loaded_input += len(block.loads) * (len(chunk) if depth else first.c)
            for n, y, x in block.makes:
                for k in chunk:
                    value, products = _point(first, image, filters[0], n, k, y, x)
                    between[n, k, y, x] = value
                    done.products += products
            for n, y, x in block.outputs:
                for k in chunk if wide else range(second.k):
                    inside = (k,) if wide else chunk
                    value, products = _sum(second, between, filters[1], n, k, y, x, inside)
                    done.output[n, k, y, x] += value
                    done.products += products
            _hold(done, plan, number, chunk, chunks, (kept_input, kept_between), pair)
        done.stored += len(block.outputs) * second.k
        # what is not kept is gone: a later block that read it would find nothing
        for word in [word for word in between if (word[0], word[2], word[3]) not in kept_between]:
            del between[word]
    return done


def _plan(pair: Pair, blocks: Blocks) -> list[_Block]:
    """The blocks in the order in which they run."""
    second = pair.second
    plan: list[_Block] = []
    made: set[tuple[int, int, int]] = set()
    read: set[tuple[int, int, int]] = set()
    for n, y, x in product(
        range(0, second.n, blocks.images),
        range(0, second.p, blocks.rows),
        range(0, second.q, blocks.cols),
    ):
        outputs = {
            *product(
                range(n, min(n + blocks.images, second.n)),
                range(y, min(y + blocks.rows, second.p)),
                range(x, min(x + blocks.cols, second.q)),
            )
        }
        needs = _box(second, outputs)
        makes = needs - made if blocks.keep_between else needs
        reads = _box(pair.first, makes)
        loads = reads - read if blocks.keep_input else reads
        made |= makes
        read |= loads
        plan.append(_Block(outputs, needs, makes, reads, loads))
    return plan


def _box(layer: ConvLayer, outputs: set[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    """All inputs from the first to the last that some outputs' windows reach, on each axis."""
    if not outputs:
        return set()
    spans = []
    for axis, (size, taps) in enumerate(((layer.h, layer.r), (layer.w, layer.s))):
        reached = [
            at
            for output in {place[1 + axis] for place in outputs}
            for tap in range(taps)
            for at in [
                output * layer.strides[axis] - layer.pads[axis][0] + tap * layer.dilations[axis]
            ]
        ]
        spans.append(range(max(min(reached), 0), min(max(reached) + 1, size)))
    images = {place[0] for place in outputs}
    return {(n, y, x) for n in images for y in spans[0] for x in spans[1]}


def _any(kind: str, plan: list[_Block]) -> set[tuple[int, int, int]]:
    return set().union(*(getattr(block, kind) for block in plan))


def _taps(layer: ConvLayer, y: int, x: int) -> list[tuple[int, int, int, int]]:
    """(row, column, tap row, tap column) of the window of an output."""
    return [
        (
            y * layer.strides[0] - layer.pads[0][0] + r * layer.dilations[0],
            x * layer.strides[1] - layer.pads[1][0] + s * layer.dilations[1],
            r,
            s,
        )
        for r in range(layer.r)
        for s in range(layer.s)
    ]


def _point(
    layer: ConvLayer, image: Array, filters: Array, n: int, k: int, y: int, x: int
) -> tuple[int, int]:
    """A value of the first layer's output, and its multiplications, padding's included."""
    depth = layer.c // layer.groups
    base = k // (layer.k // layer.groups) * depth
    value = 0
    for h, w, r, s in _taps(layer, y, x):
        if 0 <= h < layer.h and 0 <= w < layer.w:
            value += int(image[n, base : base + depth, h, w] @ filters[k, :, r, s])
    return value, depth * layer.r * layer.s


def _sum(
    layer: ConvLayer,
    between: dict[Word, int],
    filters: Array,
    n: int,
    k: int,
    y: int,
    x: int,
    inside: Any,
) -> tuple[int, int]:
    """What a chunk of channels adds to an output, from words that are on the chip."""
    value = 0
    for h, w, r, s in _taps(layer, y, x):
        if 0 <= h < layer.h and 0 <= w < layer.w:
            for c in inside:
                weight = filters[k, 0 if layer.groups > 1 else c, r, s]
                value += int(between[n, c, h, w] * weight)
    return value, len(inside) * layer.r * layer.s


def _hold(
    done: Executed,
    plan: list[_Block],
    number: int,
    chunk: range,
    chunks: list[range],
    kept: tuple[set[tuple[int, int, int]], set[tuple[int, int, int]]],
    pair: Pair,
) -> None:
    """What is on the chip while a chunk of a block runs."""
    block, before = plan[number], plan[:number]
    passed = sum(len(other) for other in chunks[: chunks.index(chunk)])
    ahead = pair.first.k - passed - len(chunk)
    made = _any("makes", before)
    now_and_later = kept[1] | block.needs
    waiting = made & now_and_later if kept[1] or number else set()
    if not kept[1] and not (block.needs - block.makes):
        waiting = set()
    begun = (made | block.makes) & kept[1]
    here = block.needs | (made & kept[1])
    between = len(chunk) * len(here) + passed * len(begun) + ahead * len(waiting)
    read = _any("loads", before)
    if pair.first.groups > 1:
        had = read & (kept[0] | block.reads) if kept[0] or (block.reads - block.loads) else set()
        later = (read | block.loads) & kept[0]
        inputs = (
            len(chunk) * len(block.reads | (read & kept[0]))
            + passed * len(later)
            + ahead * len(had)
        )
    else:
        inputs = pair.first.c * len(block.reads | (read & kept[0]))
    wide = pair.second.groups > 1
    outputs = len(block.outputs) * (len(chunk) if wide else pair.second.k)
    for name, words in (("input", inputs), ("between", between), ("output", outputs)):
        done.held[name] = max(done.held[name], words)
