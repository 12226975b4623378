"""Kernels that a GPU's library has for matrix products, as data.

These are tiles, threads, and what their code takes beside the products.

A kernel computes C[m][n] += A[m][k] * B[k][n] by blocks of tile.m x tile.n outputs, tile.k of the
reduction a step, with the operands of `stages` steps in shared memory at a time:

    par block:                    as many at a time as the SMs hold
      prologue                    the first stages are loaded
      for step:                   loads of a later step run beside the products of this one
        wait, multiply
      epilogue                    the block's results leave
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from hwsim.describe.catalog import locate
from hwsim.describe.reading import (
    Document,
    build,
    count,
    quantity,
    read,
    read_by,
    read_text,
    required,
)
from hwsim.describe.units import DTYPE_BYTES, Bandwidth, Duration, whole_bytes
from hwsim.errors import HwsimError, nearest, shortened

TILE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,4})(?:x([1-9]\d?))?")
CLUSTER = re.compile(r"([1-9]\d?)x([1-9]\d?)")
TILE_FORM = "a tile such as 128x64x32x4: M x N x K x stages"


@dataclass(frozen=True)
class Tile:
    """A block's outputs m x n, its step k in words, and what it holds.

    stages: of operands that are loaded ahead; threads: of a block; registers: of a thread. shared:
    do the operands wait in shared memory?
    """

    m: int
    n: int
    k: int
    stages: int
    threads: int
    registers: int
    shared: bool = True

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}x{self.stages}"

    def shared_bytes(self, widths: tuple[float, float]) -> int:
        """Shared memory of a block; widths: bytes of a word of A and of B."""
        of_a, of_b = widths
        each = (self.m * of_a + self.n * of_b) * self.k
        return whole_bytes(self.stages * each) if self.shared else 0


@dataclass(frozen=True)
class TileEntry:
    """A tile as a library's file writes it.

    Threads and registers are given where they are not the family's.
    """

    tile: str
    threads: int | None = count(default=None)
    registers: int | None = count(default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        if not TILE.fullmatch(self.tile):
            yield "tile", f"{shortened(repr(self.tile))}; expected {TILE_FORM}"


def _read_entries(node: yaml.Node, path: str, doc: Document) -> tuple[TileEntry, ...] | None:
    if not isinstance(node, yaml.SequenceNode):
        doc.fault(path, f"not a list; expected a list of tiles, each {TILE_FORM}", node)
        return None
    entries = []
    for index, child in enumerate(node.value):
        if isinstance(child, yaml.ScalarNode):
            if not TILE.fullmatch(child.value):
                doc.fault(f"{path}[{index}]", f"{child.value!r}; expected {TILE_FORM}", child)
            else:
                entries.append(TileEntry(child.value))
        else:
            entries.append(build(TileEntry, child, f"{path}[{index}]", doc))
    return tuple(entry for entry in entries if entry is not None)


def _entries_schema() -> dict[str, Any]:
    from hwsim.describe.schema import object_schema

    return {
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, object_schema(TileEntry)]},
        "minItems": 1,
    }


@dataclass(frozen=True)
class Family:
    """Kernels that are one piece of code but for their tile.

    dtypes: of the operands. unit: what multiplies, tensor cores or CUDA cores. align: bytes that
    rows of the operands must be a multiple of. group: threads that hold sums together, groups of
    them in a block that multiply (0: all of its threads). most_m, most_n, most_k: of each dim, at
    most, that it takes (0: any). shared: do operands pass through shared memory? convolves: takes a
    convolution's windows as the rows of A, and nothing else; channels_last: of maps whose channels
    lie side by side; gathers: not of one tap without gaps, which is a product. depthwise: takes
    groups of one channel and one filter alone, of maps that lie as channels_last says; what windows
    share, they find in the L1. unit_stride: takes windows that are one word apart alone.
    multiplies: the data type that it multiplies in, where that is not the operands'.

    efficiency: of the unit's peak, reached by the products alone. prologue: before a block's first
    step and behind its last one. epilogue: what its results leave at. latency: of a step's loads,
    beside the DRAM's. issue: what a warp's step takes beside its products. ingest: what an SM's
    loads arrive at, in all. tile_change: between two blocks on an SM. stays: blocks stay and take
    tile after tile, whose results leave beside the next one's steps. clusters: blocks, along m x
    along n, that share what they load. reduction_each: what each part of a split reduction adds;
    None where it is not split.
    """

    dtypes: tuple[str, ...] = required()
    efficiency: float = required()
    prologue: Duration = quantity("duration")
    epilogue: Bandwidth = quantity("bandwidth")
    latency: Duration = quantity("duration")
    threads: int = count()
    registers: int = count()
    tiles: tuple[TileEntry, ...] = read_by(_read_entries, _entries_schema)
    align: int = quantity("bytes", default=4)
    unit: Literal["tensor", "cores"] = "tensor"
    reduction_each: Duration | None = quantity("duration", default=None)
    group: int = count(default=32)
    groups: int = count(default=0, least=0)
    most_m: int = count(default=0, least=0)
    most_n: int = count(default=0, least=0)
    most_k: int = count(default=0, least=0)
    shared: bool = True
    convolves: bool = False
    channels_last: bool = False
    gathers: bool = False
    depthwise: bool = False
    unit_stride: bool = False
    multiplies: str = ""
    issue: Duration = quantity("duration", default=Duration(1.0, True))
    ingest: Bandwidth = quantity("bandwidth", default=Bandwidth(45.0, True))
    tile_change: Duration = quantity("duration", default=Duration(700.0, True))
    stays: bool = False
    clusters: tuple[str, ...] = ("1x1",)

    def faults(self) -> Iterator[tuple[str, str]]:
        for place, dtype in [
            *(("dtypes", dtype) for dtype in self.dtypes),
            *([("multiplies", self.multiplies)] if self.multiplies else []),
        ]:
            if dtype not in DTYPE_BYTES:
                known = ", ".join(DTYPE_BYTES)
                yield place, f"unknown data type {dtype!r}; expected one of {known}"
        if self.depthwise and not (self.convolves and self.most_n == 1):
            yield "depthwise", "true; expected convolves: true and most_n: 1 beside it"
        if not 0 < self.efficiency <= 1:
            yield "efficiency", f"{self.efficiency:g}; expected a share of the peak, at most 1"
        for cluster in self.clusters:
            if not CLUSTER.fullmatch(cluster):
                yield "clusters", f"{cluster!r}; expected blocks along m x along n, such as 1x2"

    @property
    def shapes(self) -> tuple[Tile, ...]:
        """Every tile with its threads and registers."""
        return tuple(self.tile(entry.tile, entry.threads, entry.registers) for entry in self.tiles)

    def tile(self, text: str, threads: int | None = None, registers: int | None = None) -> Tile:
        """A tile by its text. Raises HwsimError for another form."""
        match = TILE.fullmatch(text)
        if not match:
            raise HwsimError(f"{shortened(repr(text))}; expected {TILE_FORM}")
        m, n, k, stages = (int(part or 1) for part in match.groups())
        threads, registers = threads or self.threads, registers or self.registers
        return Tile(m, n, k, stages, threads, registers, self.shared)

    @property
    def from_shared(self) -> bool:
        """Do groups multiply out of shared memory, which other threads of the block fill?"""
        return self.groups > 0

    @property
    def few(self) -> bool:
        """Is it for few rows or columns alone?"""
        return bool(self.most_m or self.most_n)

    @property
    def thread_an_output(self) -> bool:
        """Do its blocks take outputs as they lie, of whichever group?"""
        return bool(self.most_n)

    @property
    def cluster_shapes(self) -> tuple[tuple[int, int], ...]:
        found = [CLUSTER.fullmatch(cluster) for cluster in self.clusters]
        return tuple((int(match[1]), int(match[2])) for match in found if match)

    def multiplying(self, tile: Tile) -> int:
        """Groups of threads of a block that multiply."""
        return self.groups or max(1, tile.threads // self.group)


@dataclass(frozen=True)
class Reduction:
    """What adding the parts of a split reduction takes: a start, and bytes at a rate."""

    start: Duration = quantity("duration")
    bandwidth: Bandwidth = quantity("bandwidth")


@dataclass(frozen=True)
class FusedWinograd:
    """The kernel that transforms, multiplies and transforms back without leaving its SM.

    filters: of a block. tiles: of a block, as images x rows x columns, in every shape that there
    is; they are those of F(2 x 2, 3 x 3), with 16 sums a filter and tile. threads, registers: of a
    block, and of one of its threads. like: the family whose constants it has.
    """

    filters: int = count()
    tiles: tuple[str, ...] = required()
    threads: int = count()
    registers: int = count()
    like: str = required()

    def faults(self) -> Iterator[tuple[str, str]]:
        for text in self.tiles:
            if not TILE.fullmatch(text):
                yield "tiles", f"{text!r}; expected images x rows x columns, such as 1x4x8"

    @property
    def shapes(self) -> tuple[dict[str, int], ...]:
        """Images n, rows y and columns x of tiles of a block."""
        found = [text.split("x") for text in self.tiles]
        return tuple({"n": int(n), "y": int(y), "x": int(x)} for n, y, x in found)


@dataclass(frozen=True, eq=False)
class Library:
    """Kernel families by name, and what every call takes.

    dram_share: of the DRAM's bandwidth that kernels reach. dram_start: what comes at half that rate
    before the DRAM is busy. winograd_images: transformed together; those that are missing are
    transformed all the same. winograd_fused: the kernel of Winograd's convolution in one call.
    """

    name: str
    description: str
    dram_share: float = required()
    dram_start: int = quantity("bytes")
    reduction: Reduction = required()
    families: dict[str, Family] = required()
    winograd_images: int = count(default=1)
    winograd_fused: FusedWinograd | None = None
    source: str = ""
    calibration: str = ""

    def wants_channels_last(self, dtype: str) -> bool:
        """Do all its convolutions in a data type want maps whose channels lie side by side?

        Those of few filters are left out.
        """
        found = [
            family.channels_last
            for family in self.families.values()
            if family.convolves and not family.few and dtype in family.dtypes
        ]
        return bool(found) and all(found)

    def multiplies_one_tap(self, dtype: str) -> bool:
        """Is a convolution of one tap without gaps a product, in a data type, as it lies?"""
        found = [
            family.channels_last or family.gathers
            for family in self.families.values()
            if family.convolves and not family.few and dtype in family.dtypes
        ]
        return bool(found) and all(found)

    def faults(self) -> Iterator[tuple[str, str]]:
        if not 0 < self.dram_share <= 1:
            yield "dram_share", f"{self.dram_share:g}; expected a share, at most 1"
        if not self.families:
            yield "families", "none; expected at least one"
        fused = self.winograd_fused
        cores = [name for name, family in self.families.items() if family.unit == "cores"]
        if fused is not None and fused.like not in cores:
            known = ", ".join(cores)
            yield "winograd_fused.like", f"{fused.like!r}; expected one of CUDA cores: {known}"


@dataclass(frozen=True)
class Kernel:
    """One kernel of a library as a product runs it.

    family: its name in the library. split: parts of the reduction that blocks of their own add up.
    cluster: blocks, along m and n, that share what they load. by_column: blocks follow each other
    along m, not along n.
    """

    library: Library
    family: str
    tile: Tile
    split: int = 1
    cluster: tuple[int, int] = (1, 1)
    by_column: bool = False

    @property
    def traits(self) -> Family:
        return self.library.families[self.family]

    def __str__(self) -> str:
        split = f", split {self.split}" if self.split > 1 else ""
        return f"{self.family} {self.tile}{split}"


@cache
def load_library(name_or_path: str | Path) -> Library:
    """A shipped library of kernels by name, or one of your own by path.

    Raises ConfigError with every fault of the file, UnknownName for a name that is not shipped.
    """
    path = locate("kernel library", "kernels", name_or_path)
    return read(Library, Document(read_text(path), str(path)))


@cache
def library_of(name_or_path: str | Path, tensor_types: frozenset[str]) -> Library:
    """load_library's kernels that a GPU can run, whose tensor cores multiply these data types."""
    library = load_library(name_or_path)
    families = {}
    for name, family in library.families.items():
        runs = tuple(
            dtype for dtype in family.dtypes if family.unit == "cores" or dtype in tensor_types
        )
        if runs:
            families[name] = replace(family, dtypes=runs)
    return replace(library, families=families)


def find_kernel(library: Library, text: str, dtype: str, windows: bool = True) -> Kernel:
    """The tile of '128x64x32x4', 'ffma:128x64x8x3' or either with ',split=4'.

    It is in the first family that has it for the data type, else one of its own in the family whose
    tiles are nearest. windows: is it for a convolution, so that kernels of these may be meant?

    Raises HwsimError saying what was expected.
    """
    body, comma, option = text.partition(",")
    split = 1
    if comma:
        key, _, value = option.partition("=")
        if key != "split" or not re.fullmatch(r"[1-9]\d{0,3}", value):
            raise HwsimError(f"kernel {text}: {option!r}; expected split= and a whole number")
        split = int(value)
    named, colon, size = body.partition(":")
    if not colon:
        named, size = "", named
    families = {
        name: family
        for name, family in library.families.items()
        if dtype in family.dtypes and (windows or not family.convolves)
    }
    if not families:
        raise HwsimError(f"{library.name} has no kernels for {dtype}")
    if named and named not in families:
        known = ", ".join(families)
        raise HwsimError(
            f"kernel {text}: no family {named!r} for {dtype}{nearest(named, families)}; expected "
            f"one of {known}"
        )
    if named:
        families = {named: families[named]}
    if not TILE.fullmatch(size):
        raise HwsimError(f"kernel {shortened(repr(text))}; expected {TILE_FORM}")
    for name, family in families.items():
        for tile in family.shapes:
            if str(tile) == size:
                return Kernel(library, name, tile, split)
    name = next(iter(families))
    family = families[name]
    wanted = family.tile(size)
    near = min(family.shapes, key=lambda tile: abs(tile.m * tile.n - wanted.m * wanted.n))
    share = wanted.m * wanted.n / (near.m * near.n)
    registers = min(255, max(32, int(24 + (near.registers - 24) * share)))
    tile = replace(wanted, threads=near.threads, registers=registers)
    return Kernel(library, name, tile, split)
