"""Layers that multiply no matrices: they move data, and do a little to every element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hwsim.describe.layer.checks import whole_faults
from hwsim.describe.layer.density import reject
from hwsim.describe.reading import count

# Additions, comparisons, multiplications and table look-ups of an element, as the formulas need
# them: an exponential, a root, a division or a sigmoid is one look-up each.
OPERATIONS = {
    "softmax": 5,  # max, x - max, exp, sum, divide: Milakov and Gimelshein 2018, arXiv:1805.02867
    "layernorm": 8,  # mean, x - mean, square, sum, root (of a row), scale, times gain, plus bias
    "rmsnorm": 4,  # square, sum, scale, times gain: Zhang and Sennrich 2019, arXiv:1910.07467
    "groupnorm": 8,
    "bias": 1,
    "batchnorm": 2,  # times gain, plus bias: at inference mean and variance are constants
    "gelu_new": 8,  # x/2 (1 + tanh(a (x + b x^3))): Hendrycks and Gimpel 2016, arXiv:1606.08415
    "gelu": 8,  # x/2 (1 + erf(x / sqrt(2))), as many as its approximation
    "silu": 2,  # x sigmoid(x)
    "sigmoid": 1,
    "tanh": 1,
    "hardswish": 5,  # x min(max(x + 3, 0), 6) / 6: Howard et al. 2019, arXiv:1905.02244
    "rotary": 3,  # two products and a sum of an element: Su et al. 2021, arXiv:2104.09864
    "swiglu": 3,  # silu(a) b
}
OVER_CHANNELS = ("softmax", "layernorm", "rmsnorm")  # sum over an element's channels first


@dataclass(frozen=True)
class ElementwiseLayer:
    """Operations on the elements of `inputs` feature maps of c x h x w.

    add has 2 inputs; lrn and relu have 1.

    op: its name; OPERATIONS says how many operations an element takes, and one where it does not.
    Rows that an operator sums over (softmax, norms) are read once, as they stay on the chip.
    layout: of the maps in memory, the last letter's neighbours side by side.
    """

    n: int = count()
    c: int = count()
    h: int = count()
    w: int = count()
    inputs: int = count(default=1)
    op: str = "relu"
    dtype: str | None = None
    layout: Literal["nchw", "nhwc"] = "nchw"

    def __post_init__(self) -> None:
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from whole_faults(self, dict.fromkeys(("n", "c", "h", "w", "inputs"), 1))

    @property
    def operations(self) -> int:
        """Of an element of the output."""
        return max(OPERATIONS.get(self.op, 1), self.inputs - 1)

    @property
    def macs(self) -> int:
        return 0

    @property
    def output(self) -> tuple[int, int, int]:
        return self.c, self.h, self.w

    @property
    def summary(self) -> str:
        return f"{self.op} {self.c}x{self.h}x{self.w}"


@dataclass(frozen=True)
class MoveLayer:
    """Words that are read and words that are written, n times.

    It is a copy in another order or shape, a look-up in a table, or an operator that is counted by
    what it moves alone.

    reads, writes: words of one image. c, h, w: the shape that comes out, of `writes` words. table:
    what is read are rows of a table, which lies where weights do.
    """

    n: int = count()
    reads: int = count()
    c: int = count()
    h: int = count(default=1)
    w: int = count(default=1)
    op: str = "copy"
    dtype: str | None = None
    table: bool = False

    def __post_init__(self) -> None:
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from whole_faults(self, dict.fromkeys(("n", "reads", "c", "h", "w"), 1))

    @property
    def writes(self) -> int:
        """Words of one image that are written."""
        return self.c * self.h * self.w

    @property
    def macs(self) -> int:
        return 0

    @property
    def output(self) -> tuple[int, int, int]:
        return self.c, self.h, self.w

    @property
    def summary(self) -> str:
        return f"{self.op} {self.reads} -> {self.c}x{self.h}x{self.w}"
