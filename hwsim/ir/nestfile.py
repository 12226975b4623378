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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from hwsim.config import Document, count, read, read_text
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.verify import verify_nest
from hwsim.spec.layer import ConvLayer, GemmLayer, Layer, LinearLayer
from hwsim.spec.machine import Machine
from hwsim.units import DTYPE_BYTES

LAYERS: dict[str, type[ConvLayer | LinearLayer | GemmLayer]] = {"conv": ConvLayer, "linear": LinearLayer, "gemm": GemmLayer}


@dataclass(frozen=True)
class Item:
    """A line of a nest: `hold` a level's tensors, `for` a temporal loop, or `par` a spatial one."""

    hold: str | None = None
    tensors: tuple[str, ...] = ()
    halo: Literal["keep", "refetch"] = "keep"
    buffers: int = count(default=1)
    multicast: bool = True
    reduce: bool = True
    for_: str | None = None
    par: str | None = None
    step: int | None = count(default=None)
    on: str | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        kinds = [name for name, value in (("hold", self.hold), ("for", self.for_), ("par", self.par)) if value is not None]
        if len(kinds) != 1:
            yield "", f"{' and '.join(kinds) or 'none'} of hold, for, par; expected exactly one of them"
        elif self.hold is None and self.step is None:
            yield "", f"a loop over {self.for_ or self.par} without a step; expected step: a whole number of at least 1"
        elif self.par is not None and self.on is None:
            yield "", f"a spatial loop over {self.par} that says not where; expected on: the name of a mesh axis"


@dataclass(frozen=True)
class Shape:
    """A layer: op and its lengths, as hwsim.ConvLayer, LinearLayer and GemmLayer name them."""

    op: Literal["conv", "linear", "gemm"]
    n: int | None = count(default=None)
    c: int | None = count(default=None)
    h: int | None = count(default=None)
    w: int | None = count(default=None)
    k: int | None = count(default=None)
    r: int | None = count(default=None)
    s: int | None = count(default=None)
    m: int | None = count(default=None)
    stride: int = count(default=1)
    pad: int = count(default=0, least=0)
    dilation: int = count(default=1)
    groups: int = count(default=1)

    def faults(self) -> Iterator[tuple[str, str]]:
        missing = [spec.name for spec in fields(LAYERS[self.op]) if spec.default is MISSING and getattr(self, spec.name) is None]
        if missing:
            yield "", f"{self.op} without {', '.join(missing)}"
            return
        try:
            self.layer("fp32")
        except HwsimError as error:
            yield "", str(error)

    def layer(self, dtype: str) -> Layer:
        """The layer itself. Raises HwsimError where its lengths do not fit together."""
        names = {spec.name for spec in fields(LAYERS[self.op])} - {"dtype"}
        return LAYERS[self.op](**{name: getattr(self, name) for name in names}, dtype=dtype)


@dataclass(frozen=True)
class Entry:
    """One stage's nest."""

    layer: str
    shape: Shape
    stage: str
    nest: tuple[Item, ...]
    dataflow: str = "mapped"


@dataclass(frozen=True)
class NestFile:
    """A file of nests."""

    machine: str
    algorithm: str
    dtype: str
    nests: tuple[Entry, ...]

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.dtype not in DTYPE_BYTES:
            yield "dtype", f"unknown data type {self.dtype!r}; expected one of {', '.join(DTYPE_BYTES)}{nearest(self.dtype, DTYPE_BYTES)}"
        if not self.nests:
            yield "nests", "no nests; expected at least one"


def load_nests(path: str | Path) -> tuple[NestFile, Document]:
    """A file of nests, and its document for faults found later. Raises ConfigError with every fault."""
    document = Document(read_text(Path(path)), str(path))
    return read(NestFile, document), document


def bind(file: NestFile, number: int, stage: Stage, machine: Machine, document: Document) -> Nest:
    """Entry `number` as a nest of the stage. Raises ConfigError for names the stage or machine lacks, at their lines."""
    entry = file.nests[number]
    items: list[Loop | Hold] = []
    names = tuple(tensor.name for tensor in stage.tensors)
    left = dict(stage.bounds)
    for index, item in enumerate(entry.nest):
        place = f"nests[{number}].nest[{index}]"
        if item.hold is not None:
            if item.hold not in machine.memories:
                document.fault(f"{place}.hold", f"no memory {item.hold!r} in {machine.name}{nearest(item.hold, machine.memories)}; "
                                                f"expected one of {', '.join(machine.memories)}")
            for name in item.tensors:
                if name not in names:
                    document.fault(f"{place}.tensors", f"no tensor {name!r} in {stage.name}{nearest(name, names)}; "
                                                       f"expected {', '.join(names)}")
            items.append(Hold(item.hold, item.tensors, item.halo, item.buffers, item.multicast, item.reduce))
            continue
        dim, step = item.for_ or item.par or "", item.step or 1
        if dim not in left:
            document.fault(place, f"no dim {dim!r} in {stage.name}{nearest(dim, left)}; expected one of {', '.join(left)}")
        elif step > left[dim]:
            document.fault(f"{place}.step", f"a step of {step} over {dim}, of which {left[dim]} are left")
        else:
            left[dim] = step
        items.append(Loop(dim, step, item.on if item.par is not None else None))
    if not document.faults:
        for dim, step in left.items():
            if step > 1:
                document.fault(f"nests[{number}].nest", f"dim {dim} ends in steps of {step}; expected a loop of step 1")
    document.check()
    try:
        return verify_nest(Nest(stage, tuple(items), entry.dataflow))
    except HwsimError as error:
        document.fault(f"nests[{number}].nest", str(error))
        document.check()
        raise


def nest_text(machine: str, algorithm: str, dtype: str, nests: Sequence[tuple[str, Layer, Nest]]) -> str:
    """A file of (layer's name, layer, nest), to be read back by load_nests."""
    lines = [f"machine: {machine}", f"algorithm: {algorithm}", f"dtype: {dtype}", "nests:"]
    for name, layer, nest in nests:
        lines += [f"  - layer: {name}", f"    shape: {_flow(_shape(layer))}", f"    stage: {nest.stage.name}",
                  f"    dataflow: {nest.dataflow}", "    nest:", *(f"      - {_flow(_item(item))}" for item in nest.items)]
    return "\n".join(lines) + "\n"


def _shape(layer: Layer) -> dict[str, Any]:
    op = next(op for op, kind in LAYERS.items() if isinstance(layer, kind))
    return {"op": op, **{spec.name: getattr(layer, spec.name) for spec in fields(layer) if spec.name != "dtype"}}


def _item(item: Loop | Hold) -> dict[str, Any]:
    if isinstance(item, Loop):
        return {"for": item.dim, "step": item.tile} if item.spatial is None else {"par": item.dim, "step": item.tile, "on": item.spatial}
    plain = Hold(item.level, item.tensors)
    extra = {name: getattr(item, name) for name in ("halo", "buffers", "multicast", "reduce")
             if getattr(item, name) != getattr(plain, name)}
    return {"hold": item.level, "tensors": list(item.tensors), **extra}


def _flow(values: Mapping[str, Any]) -> str:
    def word(value: Any) -> str:
        if isinstance(value, list):
            return f"[{', '.join(value)}]"
        return str(value).lower() if isinstance(value, bool) else str(value)

    return "{" + ", ".join(f"{key}: {word(value)}" for key, value in values.items()) + "}"
