"""Two consecutive layers as one nest: what lies between them never leaves the chip.

    for images, rows, cols in blocks of the second layer's outputs
      load what is missing of the input
      for channels between in chunks
        load the chunk's filters of both layers, unless they stay
        between[chunk]  = first layer, where it is not there yet
        outputs        += second layer of between[chunk]
      store the block of outputs

The words that a block needs of the tensor between, and of the input, overlap with those of its
neighbours (the halo). They are kept for the next blocks, or computed and loaded again. After Alwani
et al., "Fused-layer CNN accelerators", MICRO 2016, whose reuse and recompute models these are.
hwsim.oracle.layer_pair executes the same loops word by word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.describe.layer import ConvLayer, GemmLayer, Layer, LinearLayer
from hwsim.errors import HwsimError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reach:
    """Which inputs the outputs of a convolution need, along one axis."""

    size: int
    taps: int
    stride: int
    before: int
    dilation: int
    outputs: int

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        """The inputs from..to that outputs first..last need, without padding; empty as (x, x)."""
        if first >= last:
            return 0, 0
        start = first * self.stride - self.before
        end = (last - 1) * self.stride - self.before + (self.taps - 1) * self.dilation + 1
        start = min(max(start, 0), self.size)
        return start, max(start, min(end, self.size))


@dataclass(frozen=True)
class Pair:
    """Two convolutions, the second of which reads what the first writes; each dense or depthwise.

    Raises HwsimError where they do not follow each other, or have groups of several channels.
    """

    first: ConvLayer
    second: ConvLayer

    def __post_init__(self) -> None:
        first, second = self.first, self.second
        made, read = (
            (first.n, first.k, first.p, first.q),
            (second.n, second.c, second.h, second.w),
        )
        if made != read:
            raise HwsimError(
                f"the first layer writes {_shape(made)}, the second reads {_shape(read)}; expected "
                "two layers of which one reads what the other writes"
            )
        for layer in (first, second):
            if layer.groups > 1 and not is_depthwise(layer):
                raise HwsimError(
                    f"{layer.groups} groups of {layer.c // layer.groups} channels; expected one "
                    "group, or one for each channel"
                )

    def reaches(self, axis: int) -> tuple[Reach, Reach]:
        """Of rows (axis 0) or columns (1): the first layer's and the second's."""
        return _reach(self.first, axis), _reach(self.second, axis)


def is_depthwise(layer: ConvLayer) -> bool:
    """Has every channel its own filter, and writes one channel?"""
    return layer.groups > 1 and layer.groups == layer.c == layer.k


def as_convolution(layer: Layer) -> ConvLayer:
    """A product as a convolution of one tap over its rows. Raises HwsimError for other layers."""
    if isinstance(layer, ConvLayer):
        return layer
    if isinstance(layer, GemmLayer) and layer.batch == 1:
        return ConvLayer(1, layer.k, layer.m, 1, layer.n, 1, 1, dtype=layer.dtype)
    if isinstance(layer, LinearLayer) and layer.experts == 1:
        return ConvLayer(1, layer.c, layer.n, 1, layer.k, 1, 1, dtype=layer.dtype)
    raise HwsimError(f"{layer.summary}: cannot be fused; expected convolutions or products")


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _reach(layer: ConvLayer, axis: int) -> Reach:
    return Reach(
        (layer.h, layer.w)[axis],
        (layer.r, layer.s)[axis],
        layer.strides[axis],
        layer.pads[axis][0],
        layer.dilations[axis],
        (layer.p, layer.q)[axis],
    )


class Blocks(NamedTuple):
    """How the pair is cut, and what stays on the chip; numbers, or arrays of candidates.

    images, rows, cols: of the second layer's outputs in a block. channels: between the layers in a
    chunk. keep_between, keep_input: the halos are kept, not computed or loaded again.
    first_stays, second_stays: a layer's filters are loaded once and stay.
    """

    images: Any
    rows: Any
    cols: Any
    channels: Any
    keep_between: bool
    keep_input: bool
    first_stays: bool
    second_stays: bool


class Cost(NamedTuple):
    """Words, or arrays of them.

    loaded_*: from DRAM; the output is stored once. products: of both layers, the first's again
    where the halo is computed again. room_*: on the chip at once. summing: outputs are held as
    unfinished sums.
    """

    loaded_input: Any
    loaded_first: Any
    loaded_second: Any
    stored: Any
    products: Any
    room_input: Any
    room_first: Any
    room_between: Any
    room_second: Any
    room_output: Any
    summing: Any


class _Axis(NamedTuple):
    """Blocks along one axis.

    between, input: words made or loaded in all, and the most in one block (tile), the most kept for
    the next one (kept), all that is ever needed (width).
    """

    blocks: int
    between: int
    between_tile: int
    between_kept: int
    between_width: int
    input: int
    input_tile: int
    input_kept: int
    input_width: int


def along(reaches: tuple[Reach, Reach], tile: int, keep_between: bool, keep_input: bool) -> _Axis:
    """What blocks of `tile` outputs need along an axis."""
    first, second = reaches
    starts = range(0, second.outputs, tile)
    needed = [second.inputs(at, min(at + tile, second.outputs)) for at in starts]
    made = _new(needed) if keep_between else needed
    wanted = [first.inputs(*span) for span in made]
    loaded = _new(wanted) if keep_input else wanted
    return _Axis(
        len(needed),
        _total(made),
        _most(needed),
        _shared(needed),
        _total(_new(needed)),
        _total(loaded),
        _most(wanted),
        _shared(wanted),
        _total(_new(wanted)),
    )


Span = tuple[int, int]


def _new(spans: list[Span]) -> list[Span]:
    """What of each span lies behind all before it."""
    found, end = [], 0
    for start, stop in spans:
        fresh = max(start, end)
        found.append((fresh, max(fresh, stop)))
        end = max(end, stop)
    return found


def _total(spans: list[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def _most(spans: list[Span]) -> int:
    return max(stop - start for start, stop in spans)


def _shared(spans: list[Span]) -> int:
    """The most that a span shares with those before it."""
    most = end = 0
    for start, stop in spans:
        if stop > start:
            most, end = max(most, min(end, stop) - start), max(end, stop)
    return most


def cost(pair: Pair, blocks: Blocks) -> Cost:
    """The words that one choice moves and holds."""
    rows = along(pair.reaches(0), blocks.rows, blocks.keep_between, blocks.keep_input)
    cols = along(pair.reaches(1), blocks.cols, blocks.keep_between, blocks.keep_input)
    return _cost(pair, blocks, rows, cols)


def _cost(pair: Pair, blocks: Blocks, rows: _Axis, cols: _Axis) -> Cost:
    first, second = pair.first, pair.second
    images, channels = blocks.images, blocks.channels
    times = -(-first.n // images) * rows.blocks * cols.blocks
    area, taps = second.p * second.q, second.r * second.s
    made = first.n * first.k * rows.between * cols.between
    depth, wide = is_depthwise(first), is_depthwise(second)
    chunk_in, all_in = (channels if depth else first.c), first.c
    chunk_out = channels if wide else second.k
    weights = [layer.k * (layer.c // layer.groups) * layer.r * layer.s for layer in (first, second)]
    chunk_first = channels * (first.c // first.groups) * first.r * first.s
    chunk_second = channels * taps if wide else second.k * channels * taps
    return Cost(
        first.n * first.c * rows.input * cols.input,
        weights[0] * (1 if blocks.first_stays else times),
        weights[1] * (1 if blocks.second_stays else times),
        second.n * second.k * area,
        made * (first.c // first.groups) * first.r * first.s + second.macs,
        images * _room(_of_input(rows), _of_input(cols), chunk_in, all_in, blocks.keep_input),
        weights[0] if blocks.first_stays else chunk_first,
        images
        * _room(_of_between(rows), _of_between(cols), channels, first.k, blocks.keep_between),
        weights[1] if blocks.second_stays else chunk_second,
        images * chunk_out * blocks.rows * blocks.cols,
        (channels < first.k) & (not wide),
    )


class _Extent(NamedTuple):
    blocks: Any
    tile: Any
    kept: Any
    width: Any


def _of_between(axis: _Axis) -> _Extent:
    return _Extent(axis.blocks, axis.between_tile, axis.between_kept, axis.between_width)


def _of_input(axis: _Axis) -> _Extent:
    return _Extent(axis.blocks, axis.input_tile, axis.input_kept, axis.input_width)


def _room(rows: _Extent, cols: _Extent, chunk: Any, channels: int, keep: bool) -> Any:
    """Words of one image that a tensor takes.

    They are its block and, of what is kept, the rows over the whole width and the columns of this
    block.
    """
    tile = chunk * rows.tile * cols.tile
    if not keep:
        return tile
    beside = rows.kept * (cols.width - cols.tile)
    others = rows.kept * cols.width + rows.tile * cols.kept
    return tile + chunk * beside + (channels - chunk) * others


def whole(pair: Pair) -> Blocks:
    """All of both layers on the chip at once."""
    second = pair.second
    return Blocks(second.n, second.p, second.q, pair.first.k, True, True, True, True)


def compulsory(pair: Pair) -> tuple[int, int]:
    """Words that DRAM moves at least, fused and apart.

    Fused, they are input, filters and output; apart, the tensor between is written and read. Inputs
    that no window reaches do not count.
    """
    first, least = pair.first, cost(pair, whole(pair))
    fused = least.loaded_input + least.loaded_first + least.loaded_second + least.stored
    made = first.n * first.k * first.p * first.q
    rows, cols = (_total([reach.inputs(0, reach.outputs)]) for reach in _seconds(pair))
    alone = [reach.inputs(0, reach.outputs) for reach in _firsts(pair)]
    read_first = first.n * first.c * _total(alone[:1]) * _total(alone[1:])
    apart = fused - least.loaded_input + read_first + made + first.n * first.k * rows * cols
    return fused, apart


def _firsts(pair: Pair) -> tuple[Reach, Reach]:
    return pair.reaches(0)[0], pair.reaches(1)[0]


def _seconds(pair: Pair) -> tuple[Reach, Reach]:
    return pair.reaches(0)[1], pair.reaches(1)[1]


def candidates(pair: Pair) -> Iterator[tuple[Blocks, Cost]]:
    """All choices of the space as arrays: tiles are bound / 1, / 2, / 3, ... rounded up."""
    second = pair.second
    rows, cols = _tiles(second.p), _tiles(second.q)
    images, channels = _column(_tiles(second.n), 0), _column(_tiles(pair.first.k), 3)
    for keep_between, keep_input in product((True, False), repeat=2):
        axes = [
            _columns(
                [along(pair.reaches(axis), tile, keep_between, keep_input) for tile in tiles],
                1 + axis,
            )
            for axis, tiles in enumerate((rows, cols))
        ]
        for first_stays, second_stays in product((True, False), repeat=2):
            blocks = Blocks(
                images,
                _column(rows, 1),
                _column(cols, 2),
                channels,
                keep_between,
                keep_input,
                first_stays,
                second_stays,
            )
            yield blocks, _cost(pair, blocks, *axes)


def _tiles(bound: int) -> list[int]:
    """bound / 1, / 2, / 3, ... rounded up, each once."""
    return sorted({-(-bound // parts) for parts in range(1, bound + 1)})


def _column(values: list[int], place: int) -> Ints:
    """Values along one of the four axes of the candidates: images, rows, cols, channels."""
    shape = [1, 1, 1, 1]
    shape[place] = -1
    return np.array(values, np.int64).reshape(shape)


def _columns(axes: list[_Axis], place: int) -> _Axis:
    arrays: list[Any] = [_column(list(values), place) for values in zip(*axes, strict=True)]
    return _Axis(*arrays)


def pick(arrays: Blocks, at: tuple[int, ...]) -> Blocks:
    """One of the candidates."""

    columns = (arrays.images, arrays.rows, arrays.cols, arrays.channels)
    images, rows, cols, channels = (
        int(column.reshape(-1)[place]) for column, place in zip(columns, at, strict=True)
    )
    return arrays._replace(images=images, rows=rows, cols=cols, channels=channels)
