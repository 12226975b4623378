"""Layers: the shapes of one operator, with the letters n c h w k r s p q used everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import ClassVar, Literal

from hwsim.describe.reading import count, per_axis
from hwsim.errors import HwsimError


def _reject(layer: object, faults: Iterator[tuple[str, str]]) -> None:
    density = getattr(layer, "density", DENSE) if not isinstance(layer, Density) else None
    if density is not None and not isinstance(density, Density):
        raise HwsimError(f"{type(layer).__name__}: density: {density!r}; expected a Density")
    problems = [f"{field}: {what}" for field, what in faults]
    if problems:
        raise HwsimError(f"{type(layer).__name__}: " + "; ".join(problems))


PerAxis = (
    int | tuple[int, ...]
)  # one number for both axes, (rows, columns), or pads (top, left, bottom, right)


def window_positions(size: int, window: int, stride: int, margin: int, dilation: int = 1) -> int:
    """How many places a window of `window` taps fits at: (size + margin - dilation (window - 1) -
    1) / stride + 1.

    margin: padding before and after together.
    """
    return (size + margin - dilation * (window - 1) - 1) // stride + 1


def both_axes(value: PerAxis) -> tuple[int, int]:
    """(rows, columns) of a field."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def all_sides(pad: PerAxis) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) of a pad."""
    if not isinstance(pad, int) and len(pad) == 4:
        return (pad[0], pad[2]), (pad[1], pad[3])
    rows, columns = both_axes(pad)
    return (rows, rows), (columns, columns)


def _plain(value: object) -> PerAxis:
    """The shortest way to say the same: 1 for (1, 1) and (1, 1, 1, 1), (0, 4) for (0, 4, 0, 4)."""
    found: tuple[int, ...] = tuple(value) if isinstance(value, (list, tuple)) else (value,)  # type: ignore[assignment]
    if len(found) == 4 and found[:2] == found[2:]:
        found = found[:2]
    return found[0] if len(set(found)) == 1 else found


def _axis_text(value: PerAxis) -> str:
    return str(value) if isinstance(value, int) else "x".join(str(part) for part in value)


def _whole_faults(layer: object, names: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Fields that are no whole numbers of at least their least value."""
    for name, least in names.items():
        value = getattr(layer, name)
        parts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(part, bool) or not isinstance(part, int) for part in parts):
            yield name, f"{value!r}; expected a whole number"
        elif any(part < least for part in parts):
            yield name, f"{_axis_text(value)}; expected at least {least}"
        elif len(parts) not in (1, 2) and not (name == "pad" and len(parts) == 4):
            yield (
                name,
                f"{value!r}; expected one number, one for each "
                f"axis{' or one for each side' if name == 'pad' else ''}",
            )


class _Axes:
    """What layers with windows share: strides and pads of each axis."""

    stride: PerAxis
    pad: PerAxis

    def _canonical(self) -> None:
        for name in ("stride", "pad", "dilation", "output_pad"):
            if hasattr(self, name):
                object.__setattr__(self, name, _plain(getattr(self, name)))

    @property
    def strides(self) -> tuple[int, int]:
        """Of rows and columns."""
        return both_axes(self.stride)

    @property
    def pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((top, bottom), (left, right))."""
        return all_sides(self.pad)


@dataclass(frozen=True)
class Density:
    """Shares of the weights, of the input activations and of the outputs that are not zero.

    structure: how the zeros of the weights lie: 'unstructured' (spread evenly), '2:4' (N non-zero
    of every M along the channels, which fixes weights = N/M), '16x16' (whole blocks of filters x
    channels) or 'channels' (whole channels). Raises HwsimError for a share outside (0, 1] and for a
    structure that is none.
    """

    weights: float = 1.0
    activations: float = 1.0
    structure: str = "unstructured"
    outputs: float = 1.0

    def __post_init__(self) -> None:
        group = self.of_group
        if group is not None and 0 < group[0] < group[1] and self.weights == 1.0:
            object.__setattr__(self, "weights", group[0] / group[1])
        _reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in ("weights", "activations", "outputs"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
                yield name, f"{share!r}; expected a share above 0 and up to 1"
        group = self.of_group
        if group is not None and not 0 < group[0] < group[1]:
            yield (
                "structure",
                f"{self.structure!r}; expected 1 to {group[1] - 1} of {group[1]}, as in 2:4",
            )
        elif group is not None and self.weights != group[0] / group[1]:
            yield (
                "weights",
                f"{self.weights}; {self.structure} keeps {group[0] / group[1]:g}, expected that "
                f"or none stated",
            )
        elif (
            group is None
            and self.block is None
            and self.structure not in ("unstructured", "channels")
        ):
            yield (
                "structure",
                f"{self.structure!r}; expected unstructured, channels, N:M such as 2:4, or a "
                f"block such as 16x16",
            )

    @property
    def of_group(self) -> tuple[int, int] | None:
        """(N, M) of N:M, else None."""
        return _pair(self.structure, ":")

    @property
    def spares_taps(self) -> bool:
        """Are a filter's taps for a channel zero only all together, so that transforms of the taps
        keep the zeros?"""
        return self.block is not None or self.structure == "channels"

    @property
    def block(self) -> tuple[int, int] | None:
        """(filters, channels) of a block, else None."""
        pair = _pair(self.structure, "x")
        return pair if pair and min(pair) > 0 else None


def _pair(text: str, between: str) -> tuple[int, int] | None:
    first, mark, second = str(text).partition(between)
    return (int(first), int(second)) if mark and first.isdecimal() and second.isdecimal() else None


DENSE = Density()


@dataclass(frozen=True)
class _Window(_Axes):
    """What convolutions share: their lengths, and the checks on them. op: what the layer is called.

    stride, dilation: one number or (rows, columns); pad also (top, left, bottom, right), as ONNX
    writes it. One number does not pad an axis that is none, of one row (or column) and one tap,
    beside one that is: a one-dimensional convolution.
    """

    op: ClassVar[str]
    n: int = count()
    c: int = count()
    h: int = count()
    w: int = count()
    k: int = count()
    r: int = count()
    s: int = count()
    stride: PerAxis = per_axis(default=1)
    pad: PerAxis = per_axis(default=0, least=0, sides=True)
    dilation: PerAxis = per_axis(default=1)
    groups: int = count(default=1)

    def __post_init__(self) -> None:
        self._canonical()
        if isinstance(self.pad, int) and self.pad > 0:
            none = (self.h == self.r == 1, self.w == self.s == 1)
            if none[0] != none[1]:
                object.__setattr__(self, "pad", (0, self.pad) if none[0] else (self.pad, 0))
        _reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        least = {
            **dict.fromkeys(("n", "c", "h", "w", "k", "r", "s", "stride", "dilation", "groups"), 1),
            "pad": 0,
        }
        wrong = list(_whole_faults(self, least))
        yield from wrong
        if wrong:
            return
        if self.c % self.groups or self.k % self.groups:
            yield (
                "groups",
                f"{self.groups} groups do not divide {self.c} channels and {self.k} filters",
            )
        yield from self.output_faults()

    @property
    def dilations(self) -> tuple[int, int]:
        """Of rows and columns."""
        return both_axes(self.dilation)

    def output_faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the output that the lengths give."""
        raise NotImplementedError

    @property
    def p(self) -> int:
        """Output rows."""
        raise NotImplementedError

    @property
    def q(self) -> int:
        """Output columns."""
        raise NotImplementedError

    @property
    def output(self) -> tuple[int, int, int]:
        """(channels, rows, columns) that the next layer sees."""
        return self.k, self.p, self.q

    @cached_property
    def summary(self) -> str:
        extra = f" g{self.groups}" if self.groups > 1 else ""
        return (
            f"{self.op} {self.c}x{self.h}x{self.w} -> {self.k}x{self.p}x{self.q}, "
            f"{self.r}x{self.s}/{_axis_text(self.stride)}{extra}"
        )


@dataclass(frozen=True)
class ConvLayer(_Window):
    """n images of c x h x w, k filters of c/groups x r x s; every length in elements.

    layout: of the maps in memory, the last letter's neighbours side by side. filters: transformed
    or laid out once, before inference, or anew in every run.

    Raises HwsimError when a field is below its least value, the groups do not divide c and k, or
    the filter does not fit the padded input.
    """

    op: ClassVar[str] = "conv"
    dtype: str | None = None
    density: Density = DENSE
    layout: Literal["nchw", "nhwc"] = "nchw"
    filters: Literal["offline", "online"] = "offline"

    def output_faults(self) -> Iterator[tuple[str, str]]:
        sizes = (("r", self.h, self.r, self.p), ("s", self.w, self.s, self.q))
        for (axis, size, taps, places), dilation, (before, after) in zip(
            sizes, self.dilations, self.pads, strict=True
        ):
            if places < 1:
                yield (
                    axis,
                    f"a filter of {taps} taps (dilation {dilation}) does not fit {before} + "
                    f"{size} + {after}",
                )

    @property
    def p(self) -> int:
        """Output rows."""
        return window_positions(
            self.h, self.r, self.strides[0], sum(self.pads[0]), self.dilations[0]
        )

    @property
    def q(self) -> int:
        """Output columns."""
        return window_positions(
            self.w, self.s, self.strides[1], sum(self.pads[1]), self.dilations[1]
        )

    @property
    def macs(self) -> int:
        """N K P Q (C/groups) R S."""
        return self.n * self.k * self.p * self.q * (self.c // self.groups) * self.r * self.s


@dataclass(frozen=True)
class ConvTransposeLayer(_Window):
    """Every input adds its k filters of r x s to the output, stride apart; fields as in ConvLayer.

        for n, k, c, h, w, r, s:  ofmap[n][k][h*stride + r*dilation - pad][w*stride + s*dilation -
        pad] += ifmap * filter

    output_pad: rows and columns added to the output at its end. Algorithms read the filters with r
    and s reversed, as they are packed once before inference. Raises HwsimError as ConvLayer does.
    """

    op: ClassVar[str] = "convtranspose"
    output_pad: PerAxis = per_axis(default=0, least=0)
    dtype: str | None = None
    density: Density = DENSE
    layout: Literal["nchw", "nhwc"] = "nchw"
    filters: Literal["offline", "online"] = "offline"

    def output_faults(self) -> Iterator[tuple[str, str]]:
        wrong = list(_whole_faults(self, {"output_pad": 0}))
        yield from wrong
        if wrong:
            return
        for extra, stride, dilation in zip(
            both_axes(self.output_pad), self.strides, self.dilations, strict=True
        ):
            if extra >= max(stride, dilation):
                yield (
                    "output_pad",
                    f"{extra}; expected 0 or more, and less than the stride or the dilation",
                )
                return
        if self.p < 1 or self.q < 1:
            yield "pad", f"{_axis_text(self.pad)} cuts the whole output away ({self.p} x {self.q})"
        elif not (
            self._reached(0, self.h, self.r, self.p) and self._reached(1, self.w, self.s, self.q)
        ):
            yield "pad", f"{_axis_text(self.pad)} cuts away every output that a tap reaches"

    def _reached(self, axis: int, size: int, taps: int, outputs: int) -> bool:
        """Does any tap of any input fall on an output?"""
        stride, dilation, before = self.strides[axis], self.dilations[axis], self.pads[axis][0]
        for start in range(-before, taps * dilation - before, dilation):
            first = max(0, -(start // stride))
            if first < size and start + first * stride < outputs:
                return True
        return False

    def _outputs(self, axis: int, size: int, taps: int) -> int:
        extra = both_axes(self.output_pad)[axis]
        return (
            (size - 1) * self.strides[axis]
            - sum(self.pads[axis])
            + self.dilations[axis] * (taps - 1)
            + 1
            + extra
        )

    @property
    def p(self) -> int:
        """Output rows: (h - 1) stride - pad on both sides + dilation (r - 1) + 1 + output_pad."""
        return self._outputs(0, self.h, self.r)

    @property
    def q(self) -> int:
        """Output columns."""
        return self._outputs(1, self.w, self.s)

    @property
    def macs(self) -> int:
        """N K H W (C/groups) R S."""
        return self.n * self.k * self.h * self.w * (self.c // self.groups) * self.r * self.s


@dataclass(frozen=True)
class LinearLayer:
    """n vectors of c inputs to k outputs."""

    n: int = count()
    c: int = count()
    k: int = count()
    dtype: str | None = None
    density: Density = DENSE

    def __post_init__(self) -> None:
        _reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from _whole_faults(self, {"n": 1, "c": 1, "k": 1})

    @property
    def macs(self) -> int:
        return self.n * self.c * self.k

    @property
    def output(self) -> tuple[int, int, int]:
        return self.k, 1, 1

    @property
    def summary(self) -> str:
        return f"linear {self.c} -> {self.k}"


@dataclass(frozen=True)
class GemmLayer:
    """C[m][n] += A[m][k] B[k][n]."""

    m: int = count()
    n: int = count()
    k: int = count()
    dtype: str | None = None
    density: Density = DENSE

    def __post_init__(self) -> None:
        _reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from _whole_faults(self, {"m": 1, "n": 1, "k": 1})

    @property
    def macs(self) -> int:
        return self.m * self.n * self.k

    @property
    def output(self) -> tuple[int, int, int]:
        return self.n, self.m, 1

    @property
    def summary(self) -> str:
        return f"gemm {self.m}x{self.n}x{self.k}"


@dataclass(frozen=True)
class PoolLayer(_Axes):
    """A window of r x s over each channel, no multiplication; stride and pad as in ConvLayer."""

    n: int = count()
    c: int = count()
    h: int = count()
    w: int = count()
    r: int = count()
    s: int = count()
    stride: PerAxis = per_axis(default=1)
    pad: PerAxis = per_axis(default=0, least=0, sides=True)
    op: Literal["max", "avg"] = "max"
    dtype: str | None = None

    def __post_init__(self) -> None:
        self._canonical()
        _reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        wrong = list(
            _whole_faults(
                self, {**dict.fromkeys(("n", "c", "h", "w", "r", "s", "stride"), 1), "pad": 0}
            )
        )
        yield from wrong
        if not wrong and (self.p < 1 or self.q < 1):
            yield (
                "r",
                f"a window of {self.r}x{self.s} does not fit {self.h}x{self.w} with a pad of "
                f"{_axis_text(self.pad)}",
            )

    @property
    def p(self) -> int:
        return window_positions(self.h, self.r, self.strides[0], sum(self.pads[0]))

    @property
    def q(self) -> int:
        return window_positions(self.w, self.s, self.strides[1], sum(self.pads[1]))

    @property
    def macs(self) -> int:
        return 0

    @property
    def output(self) -> tuple[int, int, int]:
        return self.c, self.p, self.q

    @property
    def summary(self) -> str:
        return f"{self.op}pool {self.c}x{self.h}x{self.w} -> {self.c}x{self.p}x{self.q}"


@dataclass(frozen=True)
class ElementwiseLayer:
    """One operation per element on `inputs` feature maps of c x h x w (add: 2 inputs; lrn, relu:
    1)."""

    n: int = count()
    c: int = count()
    h: int = count()
    w: int = count()
    inputs: int = count(default=1)
    op: str = "relu"
    dtype: str | None = None

    def __post_init__(self) -> None:
        _reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from _whole_faults(self, dict.fromkeys(("n", "c", "h", "w", "inputs"), 1))

    @property
    def macs(self) -> int:
        return 0

    @property
    def output(self) -> tuple[int, int, int]:
        return self.c, self.h, self.w

    @property
    def summary(self) -> str:
        return f"{self.op} {self.c}x{self.h}x{self.w}"


def lengths(kind: type[Layer]) -> dict[str, bool]:
    """{field: must it be given} of a kind of layer, the fields that are whole numbers."""
    return {
        spec.name: spec.default is MISSING
        for spec in fields(kind)
        if spec.name not in ("dtype", "density", "op", "layout", "filters")
    }


Layer = ConvLayer | ConvTransposeLayer | LinearLayer | GemmLayer | PoolLayer | ElementwiseLayer
