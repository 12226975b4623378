"""Layers whose window moves over rows and columns, with the letters n c h w k r s p q."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from hwsim.describe.layer.checks import PerAxis, axis_text, whole_faults
from hwsim.describe.layer.density import DENSE, Density, reject
from hwsim.describe.reading import count, per_axis


def window_positions(size: int, window: int, stride: int, margin: int, dilation: int = 1) -> int:
    """How many places a window of `window` taps fits at.

    They are (size + margin - dilation (window - 1) - 1) / stride + 1.

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


def shortest(value: object) -> PerAxis:
    """The shortest way to say the same: 1 for (1, 1) and (1, 1, 1, 1), (0, 4) for (0, 4, 0, 4)."""
    found: tuple[int, ...] = tuple(value) if isinstance(value, (list, tuple)) else (value,)  # type: ignore[assignment]
    if len(found) == 4 and found[:2] == found[2:]:
        found = found[:2]
    return found[0] if len(set(found)) == 1 else found


class _Axes:
    """What layers with windows share: strides and pads of each axis."""

    stride: PerAxis
    pad: PerAxis

    def _canonical(self) -> None:
        for name in ("stride", "pad", "dilation", "output_pad"):
            if hasattr(self, name):
                object.__setattr__(self, name, shortest(getattr(self, name)))

    @property
    def strides(self) -> tuple[int, int]:
        """Of rows and columns."""
        return both_axes(self.stride)

    @property
    def pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((top, bottom), (left, right))."""
        return all_sides(self.pad)


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
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        least = {
            **dict.fromkeys(("n", "c", "h", "w", "k", "r", "s", "stride", "dilation", "groups"), 1),
            "pad": 0,
        }
        wrong = list(whole_faults(self, least))
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
            f"{self.r}x{self.s}/{axis_text(self.stride)}{extra}"
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

        for n, k, c, h, w, r, s:
            ofmap[n][k][h*stride + r*dilation - pad][w*stride + s*dilation - pad] += ifmap * filter

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
        wrong = list(whole_faults(self, {"output_pad": 0}))
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
            yield "pad", f"{axis_text(self.pad)} cuts the whole output away ({self.p} x {self.q})"
        elif not (
            self._reached(0, self.h, self.r, self.p) and self._reached(1, self.w, self.s, self.q)
        ):
            yield "pad", f"{axis_text(self.pad)} cuts away every output that a tap reaches"

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
class PoolLayer(_Axes):
    """A window of r x s over each channel, no multiplication.

    stride, pad and layout are as in ConvLayer.
    """

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
    layout: Literal["nchw", "nhwc"] = "nchw"

    def __post_init__(self) -> None:
        self._canonical()
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        wrong = list(
            whole_faults(
                self, {**dict.fromkeys(("n", "c", "h", "w", "r", "s", "stride"), 1), "pad": 0}
            )
        )
        yield from wrong
        if not wrong and (self.p < 1 or self.q < 1):
            yield (
                "r",
                f"a window of {self.r}x{self.s} does not fit {self.h}x{self.w} with a pad of "
                f"{axis_text(self.pad)}",
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
