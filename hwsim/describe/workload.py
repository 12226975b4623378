"""A workload: a graph of named layers, shapes inferred from the input onwards."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from itertools import count as count_from
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hwsim.describe.catalog import locate
from hwsim.describe.layer import (
    DENSE,
    ConvLayer,
    ConvTransposeLayer,
    Density,
    ElementwiseLayer,
    GemmLayer,
    Layer,
    LinearLayer,
    PerAxis,
    PoolLayer,
    both_axes,
    lengths,
)
from hwsim.describe.reading import Document, count, per_axis, read, read_text
from hwsim.errors import ConfigError, HwsimError, UnknownName, nearest, shortened

if TYPE_CHECKING:
    import networkx

Op = Literal[
    "conv",
    "conv1d",
    "convtranspose",
    "linear",
    "maxpool",
    "avgpool",
    "global_avgpool",
    "add",
    "relu",
    "lrn",
    "gemm",
]


Size = tuple[int, int]  # rows and columns of an image


@dataclass(frozen=True)
class FeatureMap:
    """Channels, rows, columns of one image."""

    c: int = count()
    h: int = count()
    w: int = count()


@dataclass(frozen=True)
class LayerText:
    """One entry of a workload's file. `from` names the inputs (default: the entry before); `out` is
    checked.

    Several may have one name: it then means the last of them before.
    """

    name: str
    op: Op
    from_: tuple[str, ...] = ()
    k: int | None = count(default=None)
    r: int | None = count(default=None)
    s: int | None = count(default=None)
    m: int | None = count(default=None)
    n: int | None = count(default=None)
    stride: PerAxis = per_axis(default=1)
    pad: PerAxis = per_axis(default=0, least=0, sides=True)
    dilation: PerAxis = per_axis(default=1)
    groups: int = count(default=1)
    output_pad: PerAxis = per_axis(default=0, least=0)
    density: Density = DENSE
    out: FeatureMap | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        needed = {
            "conv": ("k", "r"),
            "conv1d": ("k", "r"),
            "convtranspose": ("k", "r"),
            "linear": ("k",),
            "maxpool": ("r",),
            "avgpool": ("r",),
            "gemm": ("m", "n", "k"),
        }
        for name in needed.get(self.op, ()):
            if getattr(self, name) is None:
                yield (
                    "op",
                    f"{self.op!r} without {name!r}; expected {name}: a whole number of at least 1",
                )
        if self.op == "conv1d":
            for name in ("stride", "pad", "dilation"):
                if not isinstance(getattr(self, name), int):
                    yield name, "a list; expected one number, as conv1d has one axis"
            if self.s is not None:
                yield "s", f"{self.s}; expected r alone, as conv1d has one axis"


@dataclass(frozen=True)
class WorkloadText:
    """A workload's file as written."""

    name: str
    source: str
    layers: tuple[LayerText, ...]
    input: FeatureMap | None = None


def numbered(name: str, taken: Container[str]) -> str:
    """The name itself, or when it is taken with a number behind it: conv, conv (2), conv (3)."""
    if name not in taken:
        return name
    return next(free for number in count_from(2) if (free := f"{name} ({number})") not in taken)


def _is_number_of(known: str, name: str) -> bool:
    number = known.removeprefix(f"{name} (").removesuffix(")")
    return known == f"{name} ({number})" and number.isdecimal()


@dataclass(frozen=True)
class Workload:
    """Named layers in order, and for each the layers it reads. batch: images at once."""

    name: str
    layers: dict[str, Layer]
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ""
    batch: int = 1

    @property
    def graph(self) -> networkx.DiGraph[str]:
        """Layers as nodes, feature maps as edges."""
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(self.layers)
        graph.add_edges_from(
            (source, name)
            for name, sources in self.inputs.items()
            for source in sources
            if source in self.layers
        )
        return graph

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers.values())

    @property
    def conv_macs(self) -> int:
        return sum(
            layer.macs
            for layer in self.layers.values()
            if isinstance(layer, (ConvLayer, ConvTransposeLayer))
        )

    def only(self, names: tuple[str, ...]) -> Workload:
        """The named layers alone, all of a name that several have. Raises UnknownName."""
        wanted = set()
        for name in names:
            found = [known for known in self.layers if known == name or _is_number_of(known, name)]
            if not found:
                raise UnknownName(f"layer in {self.name}", name, self.layers)
            wanted.update(found)
        kept = {name: layer for name, layer in self.layers.items() if name in wanted}
        return replace(self, layers=kept, inputs={name: self.inputs.get(name, ()) for name in kept})

    def with_density(self, density: Density) -> Workload:
        """The same workload with these shares of non-zero weights and activations in every layer
        that multiplies."""
        return replace(
            self,
            layers={
                name: layer
                if isinstance(layer, (PoolLayer, ElementwiseLayer))
                else replace(layer, density=density)
                for name, layer in self.layers.items()
            },
        )

    def with_dtype(self, dtype: str) -> Workload:
        return replace(
            self, layers={name: replace(layer, dtype=dtype) for name, layer in self.layers.items()}
        )

    def with_batch(self, batch: int) -> Workload:
        """The same workload on so many images at once. Raises HwsimError for less than one."""
        if batch < 1:
            raise HwsimError(f"batch {batch}; expected at least 1")
        layers: dict[str, Layer] = {}
        for name, layer in self.layers.items():
            if isinstance(layer, GemmLayer):
                layers[name] = replace(layer, m=layer.m // self.batch * batch)
            else:
                layers[name] = replace(layer, n=layer.n // self.batch * batch)
        return replace(self, layers=layers, batch=batch)

    def with_layout(self, layout: Literal["nchw", "nhwc"]) -> Workload:
        """The same workload with its convolutions' maps in this layout."""
        return replace(
            self,
            layers={
                name: replace(layer, layout=layout)
                if isinstance(layer, (ConvLayer, ConvTransposeLayer))
                else layer
                for name, layer in self.layers.items()
            },
        )


def single(layer: Layer, name: str = "layer", batch: int | None = None) -> Workload:
    """A workload of one layer; batch: its n, where none is given, and 1 for a product."""
    if batch is None:
        batch = 1 if isinstance(layer, GemmLayer) else layer.n
    return Workload(name, {name: layer}, {name: ()}, batch=batch)


def load_workload(name_or_path: str | Path, batch: int = 1, size: Size | None = None) -> Workload:
    """A shipped network by name, or your own by path, for `batch` images; size: rows and columns
    of an image, in place of the file's.

    Raises ConfigError with every fault of the file (shapes that do not fit at their line),
    UnknownName, HwsimError for a size where the file has no input.
    """
    if batch < 1:
        raise HwsimError(f"batch {batch}; expected at least 1")
    path = locate("workload", "workloads", name_or_path)
    document = Document(read_text(path), str(path))
    text = read(WorkloadText, document)
    if size is not None:
        text = _resized(text, size)
    builder = _Builder(text, batch, document)
    workload = builder.workload()
    document.check()
    return workload


def _resized(text: WorkloadText, size: Size) -> WorkloadText:
    """A network on images of another size. Outputs that the file states are those of its own."""
    if text.input is None:
        raise HwsimError(f"--input: {text.name} has no input; expected a network of images")
    height, width = size
    layers = tuple(replace(layer, out=None) for layer in text.layers)
    return replace(text, input=replace(text.input, h=height, w=width), layers=layers)


SHAPES: dict[
    str, tuple[type[ConvLayer | ConvTransposeLayer | LinearLayer | GemmLayer], tuple[str, ...]]
] = {
    "gemm": (GemmLayer, ("m", "n", "k")),
    "linear": (LinearLayer, ("n", "c", "k")),
    "conv": (ConvLayer, ("c", "h", "w", "k", "r", "s", "stride", "pad")),
    "convtranspose": (ConvTransposeLayer, ("c", "h", "w", "k", "r", "s", "stride", "pad")),
}

PER_AXIS = ("stride", "pad", "dilation", "output_pad")
MOST_DIGITS = 15


def find_workload(text: str, batch: int = 1, size: Size | None = None) -> Workload:
    """A workload by name or path, one of its layers as NAME:LAYER, or a shape; size: as of
    load_workload.

    gemm:256,256,256 (m,n,k; m times the batch)   linear:1,4096,1000 (n,c,k)
    conv:64,56,56,128,3,3,1,1 (c,h,w,k,r,s,stride,pad)
    conv:c=64,h=56,w=56,k=128,r=3,s=3,pad=1,groups=2        any field by name        convtranspose:
    as conv
    conv:c=40,h=1,w=101,k=24,r=1,s=9,stride=1x2,pad=0x4     rows x columns; pads also top x left x
    bottom x right

    Raises HwsimError for a shape that cannot be read, and as load_workload does.
    """
    head, _, rest = text.partition(":")
    if head in SHAPES and rest:
        if size is not None:
            raise HwsimError(f"--input beside {head}:{rest}; expected the size in the shape alone")
        return single(_shape(head, rest, batch), head, batch if head == "gemm" else None)
    if rest and not Path(text).exists():
        return load_workload(head, batch, size).only((rest,))
    return load_workload(text, batch, size)


def _shape(op: str, text: str, batch: int) -> Layer:
    kind, order = SHAPES[op]
    form = f"{op}:{','.join(order)}"
    known = lengths(kind)
    values: dict[str, Any] = {} if op == "gemm" else {"n": batch}
    for number, part in enumerate(text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            if number >= len(order):
                raise HwsimError(f"{op}:{text}: more than {len(order)} numbers; expected {form}")
            name, value = order[number], part
        if name.strip() not in known:
            raise HwsimError(
                f"{op}:{text}: no field {name.strip()!r}{nearest(name.strip(), known)}; expected "
                f"{', '.join(known)}"
            )
        parts = value.strip().split("x") if name.strip() in PER_AXIS else [value.strip()]
        if not all(part.isdecimal() and len(part) <= MOST_DIGITS for part in parts):
            raise HwsimError(
                f"{op}:{shortened(text)}: {name.strip()} is {shortened(repr(value))}; expected a "
                f"whole number, as in {form}"
            )
        values[name.strip()] = int(value) if len(parts) == 1 else tuple(int(part) for part in parts)
    missing = [name for name, needed in known.items() if needed and name not in values]
    if missing:
        raise HwsimError(f"{op}:{text}: {', '.join(missing)} missing; expected {form}")
    if op == "gemm":
        values["m"] *= batch
    made: Any = kind
    layer: Layer = made(**values)
    return layer


class _Builder:
    """Infers shapes entry by entry, noting each fault at its entry's place."""

    def __init__(self, text: WorkloadText, batch: int, document: Document) -> None:
        self.text, self.batch, self.document = text, batch, document
        self.shapes: dict[str, tuple[int, int, int] | None] = {}
        self.names: dict[str, str] = {}  # as read -> as numbered, of the last layer of a name
        if text.input is not None:
            self.shapes["input"] = (text.input.c, text.input.h, text.input.w)

    def workload(self) -> Workload:
        layers: dict[str, Layer] = {}
        inputs: dict[str, tuple[str, ...]] = {}
        previous = "input"
        for index, entry in enumerate(self.text.layers):
            if self.document.is_full:
                break
            place = f"layers[{index}]"
            if entry.name == "input":
                self.document.fault(
                    f"{place}.name", "'input' is the network's own; expected another name"
                )
                continue
            sources = () if entry.op == "gemm" else entry.from_ or (previous,)
            layer = self._layer(entry, sources, place)
            self.shapes[entry.name] = layer.output if layer else None
            name = numbered(entry.name, layers)
            if layer is not None:
                layers[name], inputs[name] = (
                    layer,
                    tuple(self.names.get(source, source) for source in sources),
                )
                self.names[entry.name] = name
            previous = entry.name
            if layer is not None:
                self._check_output(entry, layer, place)
        if not self.text.layers:
            self.document.fault("layers", "no layers; expected at least one")
        return Workload(self.text.name, layers, inputs, self.text.source, self.batch)

    def _layer(self, entry: LayerText, sources: tuple[str, ...], place: str) -> Layer | None:
        shapes = []
        for number, source in enumerate(sources):
            if source not in self.shapes:
                where = f"{place}.from[{number}]" if entry.from_ else place
                known = list(self.shapes)
                self.document.fault(
                    where,
                    f"no layer {source!r} before this one; expected one of "
                    f"{', '.join(known[-8:]) or 'a file with an input'}{nearest(source, known)}",
                )
                return None
            shapes.append(self.shapes[source])
        if any(shape is None for shape in shapes):
            return None
        try:
            return self._make(entry, [shape for shape in shapes if shape is not None])
        except HwsimError as error:
            self.document.fault(place, str(error))
            return None

    def _make(self, entry: LayerText, shapes: list[tuple[int, int, int]]) -> Layer:
        n = self.batch
        if entry.op == "gemm":
            return GemmLayer((entry.m or 1) * n, entry.n or 1, entry.k or 1, density=entry.density)
        c, h, w = shapes[0]
        if entry.op == "conv":
            r = entry.r or 1
            return ConvLayer(
                n,
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
                density=entry.density,
            )
        if entry.op == "conv1d":
            if h != 1:
                raise HwsimError(
                    f"conv1d of {c}x{h}x{w}; expected one row, its axis being the columns"
                )
            return ConvLayer(
                n,
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
        if entry.op == "convtranspose":
            r = entry.r or 1
            return ConvTransposeLayer(
                n,
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
        if entry.op == "linear":
            return LinearLayer(n, c * h * w, entry.k or 1, density=entry.density)
        if entry.op == "global_avgpool":
            return PoolLayer(n, c, h, w, h, w, op="avg")
        if entry.op in ("maxpool", "avgpool"):
            r = entry.r or 1
            return PoolLayer(
                n,
                c,
                h,
                w,
                r,
                entry.s or r,
                entry.stride,
                entry.pad,
                "max" if entry.op == "maxpool" else "avg",
            )
        if any(shape != shapes[0] for shape in shapes):
            raise HwsimError(f"{entry.op} of unequal shapes {shapes}; expected one shape")
        return ElementwiseLayer(n, c, h, w, len(shapes), entry.op)

    def _check_output(self, entry: LayerText, layer: Layer, place: str) -> None:
        if entry.out is None:
            return
        stated = (entry.out.c, entry.out.h, entry.out.w)
        if stated != layer.output:
            self.document.fault(
                f"{place}.out",
                f"states {stated}, but {layer.summary} gives {layer.output} (c, h, w)",
            )


def _columns(value: PerAxis, rows: int) -> PerAxis:
    return (rows, both_axes(value)[1])


__all__ = ["ConfigError", "Workload", "find_workload", "load_workload", "single"]
