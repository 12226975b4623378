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
from dataclasses import dataclass, field
from math import prod
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
from hwsim.describe.machine import Machine
from hwsim.describe.reading import Document, count, per_axis, read, read_text
from hwsim.describe.units import DTYPE_BYTES
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import NO_VECTORS, Code, Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.stationary import keeps_filters
from hwsim.ir.tensor import Array
from hwsim.ir.verify import verify_nest

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
    """A file of nests, and its document for faults found later. Raises ConfigError with every
    fault."""
    document = Document(read_text(Path(path)), str(path))
    return read(NestFile, document), document


def bind(file: NestFile, number: int, stage: Stage, machine: Machine, document: Document) -> Nest:
    """Entry `number` as a nest of the stage. Raises ConfigError for names the stage or machine
    lacks, at their lines."""
    entry = file.nests[number]
    items: list[Loop | Hold] = []
    names = tuple(tensor.name for tensor in stage.tensors)
    left = dict(stage.bounds)
    for index, item in enumerate(entry.nest):
        place = f"nests[{number}].nest[{index}]"
        if item.hold is not None:
            levels = (
                *machine.memories,
                *(
                    (machine.compute_name,)
                    if machine.compute.rows * machine.compute.cols > 1
                    else ()
                ),
            )
            if item.hold not in levels:
                document.fault(
                    f"{place}.hold",
                    f"no memory {item.hold!r} in {machine.name}{nearest(item.hold, levels)}; "
                    f"expected one of {', '.join(levels)}",
                )
            for name in item.tensors:
                if name not in names:
                    document.fault(
                        f"{place}.tensors",
                        f"no tensor {name!r} in {stage.name}{nearest(name, names)}; "
                        f"expected {', '.join(names)}",
                    )
            items.append(
                Hold(
                    item.hold,
                    item.tensors,
                    item.halo,
                    item.buffers,
                    item.multicast,
                    item.reduce,
                    parts=item.parts,
                )
            )
            continue
        dim, step = item.for_ or item.par or "", item.step or 1
        if dim not in left:
            document.fault(
                place,
                f"no dim {dim!r} in {stage.name}{nearest(dim, left)}; expected one of "
                f"{', '.join(left)}",
            )
        elif step > left[dim]:
            document.fault(
                f"{place}.step", f"a step of {step} over {dim}, of which {left[dim]} are left"
            )
        else:
            left[dim] = step
        items.append(Loop(dim, step, item.on if item.par is not None else None))
    if not document.faults:
        _check_machine(file, number, items, stage, machine, document)
    if (entry.packed or entry.code != Code()) and machine.compute.family != "cpu":
        document.fault(
            f"nests[{number}].{'packed' if entry.packed else 'code'}",
            f"{machine.name} has no CPU cores, which it is about",
        )
    if entry.code.vector not in ("", NO_VECTORS, *left):
        document.fault(
            f"nests[{number}].code.vector",
            f"no dim {entry.code.vector!r} in {stage.name}{nearest(entry.code.vector, left)}; "
            f"expected one of {', '.join(left)}, {NO_VECTORS}",
        )
    if not document.faults:
        for dim, step in left.items():
            if step > 1:
                document.fault(
                    f"nests[{number}].nest",
                    f"dim {dim} ends in steps of {step}; expected a loop of step 1",
                )
    document.check()
    try:
        return verify_nest(
            Nest(stage, tuple(items), entry.dataflow, packed=entry.packed, code=entry.code)
        )
    except HwsimError as error:
        document.fault(f"nests[{number}].nest", str(error))
        document.check()
        raise


def _check_machine(
    file: NestFile,
    number: int,
    items: Sequence[Loop | Hold],
    stage: Stage,
    machine: Machine,
    document: Document,
) -> None:
    """Note what the machine cannot do: levels out of their order or on the wrong side of the array,
    more neighbours than cells."""
    reached: dict[str, int] = {}
    used = dict.fromkeys(machine.compute.axes, 1)
    left = dict(stage.bounds)
    spatial = 0
    for index, item in enumerate(items):
        place = f"nests[{number}].nest[{index}]"
        if isinstance(item, Hold) and item.level == machine.compute_name:
            _check_cells(place, item, items[index + 1 :], stage, document)
            continue
        if isinstance(item, Hold):
            if machine.memories[item.level].management == "implicit":
                document.fault(
                    f"{place}.hold",
                    f"{item.level} is a cache, which keeps what was used last; expected a memory "
                    f"that software fills",
                )
                continue
            for name in item.tensors:
                role = stage.tensor(name).role
                chain = machine.chain(role)
                if item.level not in chain:
                    document.fault(
                        f"{place}.tensors",
                        f"{item.level} holds no {role}s; expected one of {', '.join(chain)}",
                    )
                elif chain.index(item.level) < reached.get(name, 0):
                    document.fault(
                        f"{place}.hold",
                        f"{name} reaches {item.level} again or too late; expected the order "
                        f"{', '.join(chain)}",
                    )
                else:
                    reached[name] = chain.index(item.level) + 1
            owner = machine.memories[item.level].per
            per_cell = owner == "pe"
            if spatial and owner == "chip":
                document.fault(
                    f"{place}.hold",
                    f"{item.level} is the chip's, inside a spatial loop; expected it outside",
                )
            if per_cell and any(
                isinstance(other, Loop) and other.spatial for other in items[index:]
            ):
                document.fault(
                    f"{place}.hold",
                    f"{item.level} is a cell's own, outside a spatial loop; expected it inside",
                )
            continue
        if item.spatial is not None:
            spatial += 1
            axes = machine.compute.axes
            if item.spatial not in axes:
                document.fault(
                    f"{place}.on",
                    f"no axis {item.spatial!r} of {machine.compute_name}"
                    f"{nearest(item.spatial, axes)}; expected one of {', '.join(axes)}",
                )
            else:
                used[item.spatial] *= -(-left[item.dim] // item.tile)
        left[item.dim] = item.tile
    _check_levels(f"nests[{number}].nest", items, stage, machine, document)
    _check_array(Nest(stage, tuple(items)), used, machine, f"nests[{number}].nest", document)


def _check_cells(
    place: str, hold: Hold, inside: Sequence[Loop | Hold], stage: Stage, document: Document
) -> None:
    """Note what the cells of an array cannot hold: more than one tensor, or one that the loops
    inside move."""
    loops = [item for item in inside if isinstance(item, Loop)]
    if any(loop.spatial is not None for loop in loops):
        document.fault(
            f"{place}.hold",
            f"{hold.level} is outside a spatial loop; expected it inside all of them",
        )
    if len(hold.tensors) != 1:
        document.fault(
            f"{place}.tensors",
            f"{', '.join(hold.tensors)}; expected one tensor, of which each cell holds a word",
        )
        return
    tensor = stage.tensor(hold.tensors[0])
    moving = [loop.dim for loop in loops if loop.spatial is None and loop.dim in tensor.dims]
    if moving:
        document.fault(
            f"{place}.tensors",
            f"{tensor.name} moves with the loop over {moving[0]} inside; expected a tensor that "
            f"stays",
        )


def _check_levels(
    place: str, items: Sequence[Loop | Hold], stage: Stage, machine: Machine, document: Document
) -> None:
    """Note memories that a tensor passes by: data moves along the links, so each on its way holds
    it, or lets it by.

    A tensor may begin in a memory that keeps its kind from layer to layer instead of in DRAM.
    """
    for tensor in stage.tensors if stage.view is not None else ():
        held = [
            item.level for item in items if isinstance(item, Hold) and tensor.name in item.tensors
        ]
        chain = machine.chain(tensor.role)
        starts = next((level for level in held if level in chain), "")
        kept = tensor.role in machine.memories[starts].keeps if starts else False
        needed = chain[chain.index(starts) :] if kept else chain
        missing = [
            level
            for level in needed
            if level not in held and not machine.memories[level].may_pass_by
        ]
        if missing:
            document.fault(
                place,
                f"{tensor.name} passes by {' and '.join(missing)}; expected every memory from "
                f"{needed[0]} to the "
                f"multipliers to hold it ({', '.join(needed)}), or bypass: true in {machine.name}",
            )


def _check_array(
    nest: Nest, used: Mapping[str, int], machine: Machine, place: str, document: Document
) -> None:
    """Neighbours along every axis, and all of them together; row-stationary bands may be wider than
    the array."""
    compute = machine.compute
    if not keeps_filters(nest, machine):
        for axis, most in compute.axes.items():
            if used[axis] > most:
                document.fault(place, f"{used[axis]} neighbours on {axis}, which has {most}")
    everywhere = prod(used.values())
    if everywhere > compute.cells:
        document.fault(place, f"{everywhere} neighbours on {compute.cells} cells")
