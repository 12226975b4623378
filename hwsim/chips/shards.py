"""The ways to split a layer over t chips, each with a part of it.

    whole      every chip has, or computes, all of a map
    split      every chip has a t-th of a map's channels (of attention, heads)

    columns    whole -> split   a t-th of the outputs from all inputs: nothing moves
    rows       split -> sums    a t-th of the inputs: the chips' sums are added, by an all-reduce
                                (-> whole) or a reduce-scatter (-> split)
    channels   split -> split   each channel, group or head by itself: nothing moves
    copies     whole -> whole   every chip does all of it

Columns then rows, as attention's projections and the two products of a block go, is the split of
Shoeybi et al. 2019, "Megatron-LM", arXiv:1909.08053. A part is rounded up: the chip with most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from hwsim.describe.layer import (
    OVER_CHANNELS,
    AttentionLayer,
    ConvLayer,
    ConvTransposeLayer,
    ElementwiseLayer,
    GemmLayer,
    Layer,
    LinearLayer,
    MoveLayer,
    PoolLayer,
)
from hwsim.describe.units import DTYPE_BYTES, whole_bytes
from hwsim.describe.workload import Workload

State = Literal["whole", "split"]
# of a sum that others are added to, where it is wider than the words that are multiplied
SUM_BYTES = {"int4": 4, "int8": 4, "int8x4": 4, "int16": 4, "int16x8": 4, "fp8": 2}


@dataclass(frozen=True)
class Way:
    """How a layer is split.

    layer: each chip's part. takes, gives: its inputs' and its output's state. collective: what its
    output's sums need, '' for nothing.
    """

    name: str
    layer: Layer
    takes: State
    gives: State
    collective: str = ""


def ways_of(layer: Layer, chips: int, channels: int = 0) -> tuple[Way, ...]:
    """Every way to split a layer over so many chips.

    channels: of its output that a chip needs, where these are more than its share (0: they are it).
    """
    copies = Way("copies", layer, "whole", "whole")
    return (copies,) if chips == 1 else (copies, *_splits(layer, chips, channels))


def channels_needed(workload: Workload, chips: int) -> dict[str, int]:
    """Channels that each chip needs of layers before attention, where heads of K and V are copied.

    With more chips than such heads, every chip has one whole: its queries', its keys' and its
    values' columns are more than a share of them all.
    """
    found: dict[str, int] = {}
    for name, layer in workload.layers.items():
        sources = workload.inputs.get(name, ())
        if not isinstance(layer, AttentionLayer) or not sources or not _copies_heads(layer, chips):
            continue
        asking = layer.heads // chips * layer.d
        if len(sources) == 1:
            needs = [asking + 2 * layer.d]
        else:
            needs = [asking, *(layer.d for _ in sources[1:])]
        for source, need in zip(sources, needs, strict=True):
            found.update(dict.fromkeys(_back_to_product(workload, source), need))
    return found


def _back_to_product(workload: Workload, name: str) -> Iterator[str]:
    """A map's layer, and those before it as far as they go channel by channel."""
    while name in workload.layers:
        yield name
        layer, sources = workload.layers[name], workload.inputs.get(name, ())
        if not isinstance(layer, ElementwiseLayer) or len(sources) != 1:
            return
        name = sources[0]


def _splits(layer: Layer, chips: int, channels: int) -> Iterator[Way]:
    match layer:
        case LinearLayer():
            yield from _products(
                replace(layer, k=channels or -(-layer.k // chips)),
                replace(layer, c=-(-layer.c // chips)),
            )
        case GemmLayer() if layer.operand == "weight":
            yield from _products(
                replace(layer, n=channels or -(-layer.n // chips)),
                replace(layer, k=-(-layer.k // chips)),
            )
        case GemmLayer() if layer.batch % chips == 0:
            yield _channels(replace(layer, batch=layer.batch // chips))
        case ConvLayer() | ConvTransposeLayer() if layer.groups == 1:
            yield from _products(
                replace(layer, k=-(-layer.k // chips)), replace(layer, c=-(-layer.c // chips))
            )
        case ConvLayer() | ConvTransposeLayer() if layer.groups % chips == 0:
            part = {name: getattr(layer, name) // chips for name in ("c", "k", "groups")}
            yield _channels(replace(layer, **part))
        case AttentionLayer() if _has_heads_for(layer, chips):
            kept = max(1, layer.kv_heads // chips)
            yield _channels(replace(layer, heads=layer.heads // chips, kv_heads=kept))
        case ElementwiseLayer() if layer.op not in OVER_CHANNELS:
            yield _channels(replace(layer, c=channels or -(-layer.c // chips)))
        case PoolLayer():
            yield _channels(replace(layer, c=-(-layer.c // chips)))
        case MoveLayer():
            reads = -(-layer.reads // chips)
            yield _channels(replace(layer, reads=reads, c=-(-layer.c // chips)))


def _products(columns: Layer, rows: Layer) -> Iterator[Way]:
    yield Way("columns", columns, "whole", "split")
    yield Way("rows", rows, "split", "whole", "all-reduce")
    yield Way("rows", rows, "split", "split", "reduce-scatter")


def _channels(part: Layer) -> Way:
    return Way("channels", part, "split", "split")


def _has_heads_for(layer: AttentionLayer, chips: int) -> bool:
    """Can heads be shared out, those of keys also each copied to as many chips as the others?"""
    shared = layer.kv_heads % chips == 0 or chips % layer.kv_heads == 0
    return layer.heads % chips == 0 and shared


def _copies_heads(layer: AttentionLayer, chips: int) -> bool:
    return layer.kv_heads < chips and _has_heads_for(layer, chips)


def output_bytes(layer: Layer) -> int:
    """Bytes of a layer's whole output."""
    return whole_bytes(_outputs(layer) * DTYPE_BYTES[layer.dtype or "fp32"])


def sum_bytes(layer: Layer) -> int:
    """Bytes of a layer's whole output while other chips' sums are still to be added."""
    dtype = layer.dtype or "fp32"
    return whole_bytes(_outputs(layer) * SUM_BYTES.get(dtype, DTYPE_BYTES[dtype]))


def _outputs(layer: Layer) -> int:
    images = layer.batch if isinstance(layer, GemmLayer) else layer.n
    return images * prod(layer.output)


def cache_bytes(layer: Layer) -> int:
    """Bytes of keys and values that attention is asked for."""
    if not isinstance(layer, AttentionLayer):
        return 0
    words = 2 * layer.n * layer.kv_heads * layer.kv * layer.d
    return whole_bytes(words * DTYPE_BYTES[layer.dtype or "fp32"])
