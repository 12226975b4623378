"""What an entry of a network's file becomes: one function for each operator.

It makes, of the shapes that come in, the layer and the shape that goes out.

A shape is (channels, rows, columns) of an image, or (features, tokens) of a sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from hwsim.describe.layer import (
    AttentionLayer,
    ConvLayer,
    ConvTransposeLayer,
    ElementwiseLayer,
    GemmLayer,
    Layer,
    LinearLayer,
    MoveLayer,
    PerAxis,
    PoolLayer,
    both_axes,
)
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.describe.network_file import LayerText

Shape = tuple[int, ...]
Made = tuple[Layer, Shape]
IMAGE, SEQUENCE = 3, 2  # numbers of a shape


@dataclass(frozen=True)
class Around:
    """What an entry's layer follows from beside its own fields.

    shapes: of its inputs. n: images or sequences at once. context: tokens that were there before
    those of the input, whose keys and values are kept.
    """

    shapes: Sequence[Shape]
    n: int
    context: int = 0

    @property
    def first(self) -> Shape:
        return self.shapes[0]

    @property
    def elements(self) -> int:
        """Of all inputs."""
        return sum(map(prod, self.shapes))

    def image(self, op: str) -> tuple[int, int, int]:
        """The first input. Raises HwsimError where it is no image."""
        if len(self.first) != IMAGE:
            raise HwsimError(f"{op} of {shape_text(self.first)}; expected an image, c x h x w")
        c, h, w = self.first
        return c, h, w

    def sequence(self, op: str) -> tuple[int, int]:
        """(features, tokens) of the first input. Raises HwsimError where it is no sequence."""
        if len(self.first) != SEQUENCE:
            raise HwsimError(f"{op} of {shape_text(self.first)}; expected a sequence of tokens")
        features, tokens = self.first
        return features, tokens


def shape_text(shape: Shape) -> str:
    if len(shape) == SEQUENCE:
        return f"{shape[1]} tokens of {shape[0]} features"
    return "x".join(map(str, shape))


def _conv(entry: LayerText, around: Around, groups: int | None = None) -> Made:
    c, h, w = around.image(entry.op)
    r = entry.r or 1
    layer = ConvLayer(
        around.n,
        c,
        h,
        w,
        entry.k or c,
        r,
        entry.s or r,
        entry.stride,
        entry.pad,
        entry.dilation,
        entry.groups if groups is None else groups,
        density=entry.density,
    )
    return layer, layer.output


def _depthwise(entry: LayerText, around: Around) -> Made:
    return _conv(entry, around, around.image(entry.op)[0])


def _conv1d(entry: LayerText, around: Around) -> Made:
    c, h, w = around.image(entry.op)
    if h != 1:
        raise HwsimError(f"conv1d of {c}x{h}x{w}; expected one row, its axis being the columns")
    layer = ConvLayer(
        around.n,
        c,
        1,
        w,
        entry.k or 1,
        1,
        entry.r or 1,
        _columns(entry.stride, 1),
        _columns(entry.pad, 0),
        _columns(entry.dilation, 1),
        entry.groups,
        density=entry.density,
    )
    return layer, layer.output


def _columns(value: PerAxis, rows: int) -> PerAxis:
    return (rows, both_axes(value)[1])


def _convtranspose(entry: LayerText, around: Around) -> Made:
    c, h, w = around.image(entry.op)
    r = entry.r or 1
    layer = ConvTransposeLayer(
        around.n,
        c,
        h,
        w,
        entry.k or 1,
        r,
        entry.s or r,
        entry.stride,
        entry.pad,
        entry.dilation,
        entry.groups,
        entry.output_pad,
        density=entry.density,
    )
    return layer, layer.output


def _linear(entry: LayerText, around: Around) -> Made:
    """Of a whole image, or of every token."""
    k = entry.k or 1
    if len(around.first) == SEQUENCE:
        features, tokens = around.first
        return LinearLayer(around.n * tokens, features, k, density=entry.density), (k, tokens)
    return LinearLayer(around.n, prod(around.first), k, density=entry.density), (k, 1, 1)


def _experts(entry: LayerText, around: Around) -> Made:
    """Every token goes to `active` of the experts, spread evenly.

    Experts without a token are not read.
    """
    features, tokens = around.sequence(entry.op)
    if (entry.active or 1) > (entry.experts or 1):
        raise HwsimError(f"{entry.active} of {entry.experts} experts; expected at most all of them")
    rows, k = tokens * (entry.active or 1), entry.k or 1
    layer = LinearLayer(
        rows * around.n, features, k, density=entry.density, experts=entry.experts or 1
    )
    return layer, (k, rows)


def _gemm(entry: LayerText, around: Around) -> Made:
    m, n, k, batch = entry.m or 1, entry.n or 1, entry.k or 1, entry.batch or 1
    own = around.n if entry.operand == "data" and batch > 1 else 1
    layer = GemmLayer(
        m * around.n // own,
        n,
        k,
        density=entry.density,
        batch=batch * own,
        operand=entry.operand,
    )
    return layer, (n, m * batch)


def _attention(entry: LayerText, around: Around) -> Made:
    """Of one input that has queries, keys and values side by side, or of these as three inputs."""
    heads, kv_heads = entry.heads or 1, entry.kv_heads or entry.heads or 1
    features, tokens = around.sequence(entry.op)
    parts = heads + (2 * kv_heads if len(around.shapes) == 1 else 0)
    if features % parts:
        raise HwsimError(
            f"attention of {features} features; expected a multiple of {parts}: {heads} heads"
            + (f" and twice {kv_heads} of keys and values" if parts > heads else "")
        )
    asked = around.shapes[1][1] if len(around.shapes) > 1 else tokens
    asked = entry.kv or asked + around.context
    if entry.window:
        asked = min(asked, entry.window + tokens - 1)
    width = features // parts
    shape = (around.n, heads, tokens, asked, width, kv_heads, entry.causal)
    layer = AttentionLayer(*shape, window=entry.window or 0)
    return layer, (heads * width, tokens)


def _pool(entry: LayerText, around: Around) -> Made:
    c, h, w = around.image(entry.op)
    r = entry.r or 1
    kind = "max" if entry.op == "maxpool" else "avg"
    layer = PoolLayer(around.n, c, h, w, r, entry.s or r, entry.stride, entry.pad, kind)  # type: ignore[arg-type]
    return layer, layer.output


def _global_avgpool(entry: LayerText, around: Around) -> Made:
    c, h, w = around.image(entry.op)
    return PoolLayer(around.n, c, h, w, h, w, op="avg"), (c, 1, 1)


def _elementwise(entry: LayerText, around: Around) -> Made:
    if any(shape != around.first for shape in around.shapes):
        raise HwsimError(f"{entry.op} of unequal shapes {list(around.shapes)}; expected one shape")
    c, h, w = (*around.first, 1)[:3]
    inputs = max(len(around.shapes), entry.inputs or 1)
    return ElementwiseLayer(around.n, c, h, w, inputs, entry.as_ or entry.op), around.first


def _scale(entry: LayerText, around: Around) -> Made:
    """A map times a number for each of its channels, as squeeze and excitation ends."""
    c, h, w = (*around.first, 1)[:3]
    return ElementwiseLayer(around.n, c, h, w, 1, entry.op), around.first


def _gated(entry: LayerText, around: Around) -> Made:
    """Two halves of the features become one."""
    features, tokens = around.sequence(entry.op)
    if features % 2:
        raise HwsimError(f"{entry.op} of {features} features; expected an even number")
    layer = ElementwiseLayer(around.n, features // 2, tokens, 1, 2, entry.op)
    return layer, (features // 2, tokens)


def _combine(entry: LayerText, around: Around) -> Made:
    """What a token's experts gave, weighed and added."""
    features, rows = around.sequence(entry.op)
    active = entry.active or 1
    if rows % active:
        raise HwsimError(f"combine of {rows} rows; expected a multiple of {active} experts")
    tokens = rows // active
    return ElementwiseLayer(around.n, features, tokens, 1, active, entry.op), (features, tokens)


def _embedding(entry: LayerText, around: Around) -> Made:
    """A row of a table for every token."""
    _, tokens = around.sequence(entry.op)
    k = entry.k or 1
    return MoveLayer(around.n, tokens * k, k, tokens, op=entry.op, table=True), (k, tokens)


def _concat(entry: LayerText, around: Around) -> Made:
    """Channels, or tokens' features, one input's after another's."""
    rest = around.first[1:]
    if any(shape[1:] != rest for shape in around.shapes):
        raise HwsimError(
            f"concat of {' and '.join(map(shape_text, around.shapes))}; expected shapes that "
            f"differ in their channels alone"
        )
    out = (sum(shape[0] for shape in around.shapes), *rest)
    return _moved(entry, around, around.elements, out)


def _flatten(entry: LayerText, around: Around) -> Made:
    """An image's places as tokens, of as many features as it has channels; channels move behind."""
    c, h, w = around.image(entry.op)
    return _moved(entry, around, around.elements, (c, h * w))


def _tokens(entry: LayerText, around: Around) -> Made:
    """The same features of more tokens (a class token joins them), or of the first ones alone."""
    features, given = around.sequence(entry.op)
    tokens = given + entry.more if entry.more else entry.tokens or 1
    reads = min(around.elements, features * tokens)
    return _moved(entry, around, reads, (features, tokens))


def _upsample(entry: LayerText, around: Around) -> Made:
    """Every place becomes stride x stride of them."""
    c, h, w = around.image(entry.op)
    down, across = both_axes(entry.stride)
    return _moved(entry, around, around.elements, (c, h * down, w * across))


def _copy(entry: LayerText, around: Around) -> Made:
    """What comes in, in the shape that `out` states or as it came."""
    out = around.first if entry.out is None else entry.out.shape
    return _moved(entry, around, around.elements, out)


def _moved(entry: LayerText, around: Around, reads: int, out: Shape) -> Made:
    c, h, w = (*out, 1)[:3]
    return MoveLayer(around.n, reads, c, h, w, entry.as_ or entry.op), out


@dataclass(frozen=True)
class Operator:
    """needs: fields that an entry must have. make: its layer and the shape it gives."""

    make: Callable[[LayerText, Around], Made]
    needs: tuple[str, ...] = ()


ELEMENTWISE = (
    "add",
    "mul",
    "relu",
    "lrn",
    "bias",
    "batchnorm",
    "groupnorm",
    "layernorm",
    "rmsnorm",
    "softmax",
    "gelu",
    "gelu_new",
    "silu",
    "sigmoid",
    "tanh",
    "hardswish",
    "rotary",
    "elementwise",
)
RIDING = (  # of one input, on the elements that another layer made
    "bias",
    "batchnorm",
    "relu",
    "gelu",
    "gelu_new",
    "silu",
    "sigmoid",
    "tanh",
    "hardswish",
    "elementwise",
)
OPERATORS: dict[str, Operator] = {
    "conv": Operator(_conv, ("k", "r")),
    "conv1d": Operator(_conv1d, ("k", "r")),
    "depthwise": Operator(_depthwise, ("r",)),
    "convtranspose": Operator(_convtranspose, ("k", "r")),
    "linear": Operator(_linear, ("k",)),
    "experts": Operator(_experts, ("k", "experts")),
    "gemm": Operator(_gemm, ("m", "n", "k")),
    "attention": Operator(_attention, ("heads",)),
    "maxpool": Operator(_pool, ("r",)),
    "avgpool": Operator(_pool, ("r",)),
    "global_avgpool": Operator(_global_avgpool),
    **dict.fromkeys(ELEMENTWISE, Operator(_elementwise)),
    "scale": Operator(_scale),
    "swiglu": Operator(_gated),
    "combine": Operator(_combine, ("active",)),
    "embedding": Operator(_embedding, ("k",)),
    "concat": Operator(_concat),
    "flatten": Operator(_flatten),
    "tokens": Operator(_tokens),
    "upsample": Operator(_upsample),
    "copy": Operator(_copy),
}
