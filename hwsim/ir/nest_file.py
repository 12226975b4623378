"""Nests as YAML: what `hwsim map --out` writes and `hwsim run --nest` reads.

machine: toy-8x8
algorithm: direct
dtype: int8
nests:
  - layer: gemm
    shape: {op: gemm, m: 256, n: 256, k: 256}
    stage: gemm
    dataflow: mapped
    nest:
      - {hold: dram, tensors: [A, B, C]}
      - {for: m, step: 128}
      - {hold: gb, tensors: [C]}
      - {par: k, step: 1, on: row}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hwsim.describe.layer import (
    ConvLayer,
    ConvTransposeLayer,
    GemmLayer,
    Layer,
    LinearLayer,
    PerAxis,
    lengths,
)
from hwsim.describe.reading import Document, count, per_axis, read, read_text
from hwsim.describe.units import DTYPE_BYTES
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import Code
from hwsim.ir.tensor import Array

LAYERS: dict[str, type[ConvLayer | ConvTransposeLayer | LinearLayer | GemmLayer]] = {
    "conv": ConvLayer,
    "convtranspose": ConvTransposeLayer,
    "linear": LinearLayer,
    "gemm": GemmLayer,
}


@dataclass(frozen=True)
class Item:
    """A line of a nest: `hold` a level's tensors, `for` a temporal loop, or `par` a spatial one."""

    hold: str | None = None
    tensors: tuple[str, ...] = ()
    halo: Literal["keep", "refetch"] = "keep"
    buffers: int = count(default=1)
    multicast: bool = True
    reduce: bool = True
    parts: bool = False
    for_: str | None = None
    par: str | None = None
    step: int | None = count(default=None)
    on: str | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        kinds = [
            name
            for name, value in (("hold", self.hold), ("for", self.for_), ("par", self.par))
            if value is not None
        ]
        if len(kinds) != 1:
            yield (
                "",
                f"an item with {' and '.join(kinds) or 'neither hold, for nor par'}; expected "
                f"exactly one of hold, for, par",
            )
        elif self.hold is not None and (
            not self.tensors or len(set(self.tensors)) < len(self.tensors)
        ):
            yield (
                "tensors",
                f"{', '.join(self.tensors) or 'none'}; expected the names of tensors, each once",
            )
        elif self.for_ is not None and self.on is not None:
            yield "on", f"a temporal loop on {self.on}; expected par: {self.for_}, or no axis"
        elif self.hold is None and self.step is None:
            yield (
                "",
                f"a loop over {self.for_ or self.par} without a step; expected step: a whole "
                f"number of at least 1",
            )
        elif self.par is not None and self.on is None:
            yield (
                "",
                f"a spatial loop over {self.par} that says not where; expected on: the name of a "
                f"mesh axis",
            )


@dataclass(frozen=True)
class Shape:
    """A layer: op and its lengths, as hwsim.ConvLayer, LinearLayer and GemmLayer name them."""

    op: Literal["conv", "convtranspose", "linear", "gemm"]
    n: int | None = count(default=None)
    c: int | None = count(default=None)
    h: int | None = count(default=None)
    w: int | None = count(default=None)
    k: int | None = count(default=None)
    r: int | None = count(default=None)
    s: int | None = count(default=None)
    m: int | None = count(default=None)
    batch: int = count(default=1)
    stride: PerAxis = per_axis(default=1)
    pad: PerAxis = per_axis(default=0, least=0, sides=True)
    dilation: PerAxis = per_axis(default=1)
    groups: int = count(default=1)
    experts: int = count(default=1)
    output_pad: PerAxis = per_axis(default=0, least=0)

    def faults(self) -> Iterator[tuple[str, str]]:
        missing = [
            name
            for name, needed in lengths(LAYERS[self.op]).items()
            if needed and getattr(self, name) is None
        ]
        if missing:
            yield "", f"{self.op} without {', '.join(missing)}"
            return
        try:
            self.layer("fp32")
        except HwsimError as error:
            yield "", str(error)

    def layer(self, dtype: str) -> Layer:
        """The layer itself. Raises HwsimError where its lengths do not fit together."""
        return LAYERS[self.op](
            **{name: getattr(self, name) for name in lengths(LAYERS[self.op])}, dtype=dtype
        )


@dataclass(frozen=True)
class Entry:
    """One stage's nest. packed, code: weights in panels, and the instructions, of a CPU. arrays:
    how a layer's arrays lie where caches see it."""

    layer: str
    shape: Shape
    stage: str
    nest: tuple[Item, ...]
    dataflow: str = "mapped"
    packed: bool = False
    code: Code = Code()
    arrays: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class NestFile:
    """A file of nests."""

    machine: str
    algorithm: str
    dtype: str
    nests: tuple[Entry, ...]

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.dtype not in DTYPE_BYTES:
            yield (
                "dtype",
                f"unknown data type {self.dtype!r}; expected one of "
                f"{', '.join(DTYPE_BYTES)}{nearest(self.dtype, DTYPE_BYTES)}",
            )
        if not self.nests:
            yield "nests", "no nests; expected at least one"
        for number, entry in enumerate(self.nests):
            for other in self.nests[:number]:
                if (entry.layer, entry.stage) == (other.layer, other.stage):
                    yield (
                        f"nests[{number}]",
                        f"a second nest of {entry.layer}'s stage {entry.stage}",
                    )
                elif entry.layer == other.layer and entry.arrays != other.arrays:
                    yield (
                        f"nests[{number}].arrays",
                        f"other arrays for layer {entry.layer} than before; expected the same for "
                        f"all its stages",
                    )
                elif entry.layer == other.layer and entry.shape != other.shape:
                    yield (
                        f"nests[{number}].shape",
                        f"another shape for layer {entry.layer} than before",
                    )


def load_nests(path: str | Path) -> tuple[NestFile, Document]:
    """A file of nests, and its document for faults found later.

    Raises ConfigError with every fault.
    """
    document = Document(read_text(Path(path)), str(path))
    return read(NestFile, document), document
