"""A network's file: its entries as written, and the layers that they become.

Shapes are inferred from the input onwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from hwsim.describe.layer import DENSE, Density, Layer, PerAxis
from hwsim.describe.operators import OPERATORS, RIDING, Around, Shape, shape_text
from hwsim.describe.reading import Document, build, choice, count, per_axis, read, read_by
from hwsim.describe.schema import object_schema
from hwsim.describe.workload import Workload, numbered
from hwsim.errors import HwsimError, nearest

Size = tuple[int, int]  # rows and columns of an image
INPUT, BLOCK = "input", "block"  # what the network reads, and what a repeated block reads
MOST_LAYERS = 100_000


@dataclass(frozen=True)
class FeatureMap:
    """Channels, rows, columns of one image; or tokens of a sequence and the features of each."""

    c: int | None = count(default=None)
    h: int | None = count(default=None)
    w: int | None = count(default=None)
    tokens: int | None = count(default=None)
    features: int | None = count(default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        image, sequence = (self.c, self.h, self.w), (self.tokens, self.features)
        if any(image) and any(sequence):
            yield "", "both of an image and of a sequence; expected c, h, w, or tokens, features"
        elif self.tokens is None and None in image:
            missing = [name for name in "chw" if getattr(self, name) is None]
            yield "", f"missing key {missing[0]!r}; expected a whole number of at least 1"

    @property
    def shape(self) -> Shape:
        """(c, h, w), or (features, tokens): of token numbers, where no features are stated, one."""
        if self.tokens is not None:
            return (self.features or 1, self.tokens)
        return (self.c or 1, self.h or 1, self.w or 1)


@dataclass(frozen=True)
class InputText(FeatureMap):
    """What the network reads.

    context: tokens before it whose keys and values are kept. most: tokens, with those, that it has
    positions for.
    """

    context: int = count(default=0, least=0)
    most: int | None = count(default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        asked = (self.tokens or 0) + self.context
        if self.most is not None and asked > self.most:
            yield "tokens", f"{asked} with the context; expected at most {self.most}, its positions"


@dataclass(frozen=True)
class LayerText:
    """One entry of a workload's file. `from` names the inputs (default: the entry before); `out` is
    checked; `in` stands in place of what the inputs give.

    Several may have one name: it then means the last of them before. images: of this layer for one
    of the network's. then: operators that ride along on its outputs, which are still on the chip
    (in place of those that the file states for its op).
    """

    name: str
    op: str = choice(tuple(OPERATORS))
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
    batch: int | None = count(default=None)
    operand: Literal["weight", "data"] = "weight"
    heads: int | None = count(default=None)
    kv_heads: int | None = count(default=None)
    kv: int | None = count(default=None)
    causal: bool = False
    window: int | None = count(default=None)
    tokens: int | None = count(default=None)
    more: int | None = count(default=None)
    experts: int | None = count(default=None)
    active: int | None = count(default=None)
    inputs: int | None = count(default=None)
    images: int = count(default=1)
    then: tuple[str, ...] | None = None
    as_: str | None = None
    density: Density = DENSE
    in_: FeatureMap | None = None
    out: FeatureMap | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in OPERATORS[self.op].needs:
            if getattr(self, name) is None:
                yield (
                    "op",
                    f"{self.op!r} without {name!r}; expected {name}: a whole number of at least 1",
                )
        yield from then_faults("then", self.then or ())
        if self.op == "tokens" and (self.tokens is None) == (self.more is None):
            yield (
                "op",
                "'tokens' needs tokens, their number, or more, how many join those there are",
            )
        if self.op == "conv1d":
            for name in ("stride", "pad", "dilation"):
                if not isinstance(getattr(self, name), int):
                    yield name, "a list; expected one number, as conv1d has one axis"
            if self.s is not None:
                yield "s", f"{self.s}; expected r alone, as conv1d has one axis"


def then_faults(place: str, operators: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What is wrong with operators that ride along."""
    for operator in operators:
        if operator not in RIDING:
            yield place, f"{operator!r}; expected some of {', '.join(RIDING)}"


@dataclass(frozen=True)
class RepeatText:
    """Entries that come `repeat` times one after another; `block` names what their first reads."""

    repeat: int = count()
    layers: tuple[LayerText, ...] = ()


Entry = LayerText | RepeatText


def _read_entries(node: yaml.Node, path: str, document: Document) -> tuple[Entry, ...] | None:
    """A list of layers and of blocks of them."""
    if not isinstance(node, yaml.SequenceNode):
        document.fault(path, "no list; expected a list of layers", node)
        return None
    entries = []
    for index, child in enumerate(node.value):
        if document.is_full:
            return None
        place = f"{path}[{index}]"
        document.place(place, child)
        keys = [key.value for key, _ in getattr(child, "value", []) if hasattr(key, "value")]
        kind = RepeatText if isinstance(child, yaml.MappingNode) and "repeat" in keys else LayerText
        entries.append(build(kind, child, place, document))
    return tuple(entries)


def _entries_schema() -> dict[str, Any]:
    layer, block = object_schema(LayerText), object_schema(RepeatText)
    return {"type": "array", "items": {"anyOf": [layer, block]}}


@dataclass(frozen=True)
class WorkloadText:
    """A workload's file as written. notes: what its reader should know, as what was left out. then:
    operators that ride along on every layer of an op, by its name."""

    name: str
    source: str
    layers: tuple[Entry, ...] = read_by(_read_entries, _entries_schema)
    input: InputText | None = None
    notes: tuple[str, ...] = ()
    then: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def faults(self) -> Iterator[tuple[str, str]]:
        for op, operators in self.then.items():
            if op not in OPERATORS:
                known = nearest(op, OPERATORS)
                yield f"then.{op}", f"no operator; expected one of {', '.join(OPERATORS)}{known}"
            yield from then_faults(f"then.{op}", operators)


def layers_of(text: WorkloadText) -> Iterator[tuple[LayerText, str, bool]]:
    """Every entry in turn with its place in the file, and whether a repetition begins with it."""
    for index, entry in enumerate(text.layers):
        place = f"layers[{index}]"
        if isinstance(entry, LayerText):
            yield entry, place, False
            continue
        for _ in range(entry.repeat):
            for number, layer in enumerate(entry.layers):
                yield layer, f"{place}.layers[{number}]", number == 0


def build_workload(
    document: Document, batch: int, size: Size | None, context: int | None
) -> Workload:
    """The workload that a document says.

    size, context: in place of the file's, as of hwsim.load_workload. Raises ConfigError,
    HwsimError.
    """
    text = read(WorkloadText, document)
    if size is not None or context is not None:
        text = _resized(text, size, context)
    workload = _Builder(text, batch, document).workload()
    document.check()
    return workload


def _resized(text: WorkloadText, size: Size | None, context: int | None) -> WorkloadText:
    """A network on images or sequences of another size.

    Outputs that the file states are those of its own.
    """
    given = text.input
    if given is None:
        flag = "--input" if size is not None else "--context"
        raise HwsimError(f"{flag}: {text.name} has no input; expected a network of images")
    if any(layer.in_ is not None for layer, _, _ in layers_of(text)):
        raise HwsimError(
            f"{text.name}: its layers state their own inputs; expected no other --input, --context"
        )
    sequence = given.tokens is not None
    if context is not None:
        if not sequence:
            raise HwsimError(f"--context: {text.name} reads images; expected one of sequences")
        given = replace(given, context=context)
    if size is not None and sequence:
        if size[0] != size[1]:
            raise HwsimError(f"--input: {text.name} reads tokens; expected one number of them")
        given = replace(given, tokens=size[0])
    elif size is not None:
        given = replace(given, h=size[0], w=size[1])
    for _, why in given.faults():
        raise HwsimError(f"{text.name}: {why}")
    return replace(text, input=given, layers=tuple(map(_unchecked, text.layers)))


def _unchecked(entry: Entry) -> Entry:
    if isinstance(entry, RepeatText):
        return replace(entry, layers=tuple(replace(each, out=None) for each in entry.layers))
    return entry if entry.op == "copy" else replace(entry, out=None)


class _Builder:
    """Infers shapes entry by entry, noting each fault at its entry's place."""

    def __init__(self, text: WorkloadText, batch: int, document: Document) -> None:
        self.text, self.batch, self.document = text, batch, document
        self.shapes: dict[str, Shape | None] = {}
        self.names: dict[str, str] = {}  # as read -> as numbered, of the last layer of a name
        if text.input is not None:
            self.shapes[INPUT] = text.input.shape

    def workload(self) -> Workload:
        layers: dict[str, Layer] = {}
        inputs: dict[str, tuple[str, ...]] = {}
        riding: dict[str, tuple[str, ...]] = {}
        numbers: dict[str, int] = {}
        previous = INPUT
        for entry, place, begins in layers_of(self.text):
            if self.document.is_full:
                break
            if len(layers) >= MOST_LAYERS:
                self.document.fault(place, f"more than {MOST_LAYERS} layers; expected fewer")
                break
            if entry.name in (INPUT, BLOCK):
                self.document.fault(
                    f"{place}.name", f"{entry.name!r} is the network's own; expected another name"
                )
                continue
            if begins:
                self.shapes[BLOCK] = self.shapes.get(previous)
                self.names[BLOCK] = self.names.get(previous, previous)
            alone = entry.op == "gemm" or entry.in_ is not None
            sources = entry.from_ or (() if alone else (previous,))
            made = self._layer(entry, sources, place)
            self.shapes[entry.name] = made[1] if made else None
            name = numbered(entry.name, layers, numbers)
            previous = entry.name
            if made is None:
                continue
            layers[name], inputs[name] = (
                made[0],
                tuple(self.names.get(source, source) for source in sources),
            )
            self.names[entry.name] = name
            then = self.text.then.get(entry.op, ()) if entry.then is None else entry.then
            if then:
                riding[name] = then
            self._check_output(entry, *made, place)
        if not self.text.layers:
            self.document.fault("layers", "no layers; expected at least one")
        text = self.text
        return Workload(text.name, layers, inputs, text.source, self.batch, text.notes, riding)

    def _layer(
        self, entry: LayerText, sources: tuple[str, ...], place: str
    ) -> tuple[Layer, Shape] | None:
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
        if entry.in_ is not None:
            shapes = [entry.in_.shape]
        if any(shape is None for shape in shapes):
            return None
        context = 0 if self.text.input is None else self.text.input.context
        around = Around(
            [shape for shape in shapes if shape is not None], self.batch * entry.images, context
        )
        try:
            return OPERATORS[entry.op].make(entry, around)
        except HwsimError as error:
            self.document.fault(place, str(error))
            return None

    def _check_output(self, entry: LayerText, layer: Layer, shape: Shape, place: str) -> None:
        if entry.out is None or entry.out.shape == shape:
            return
        known = " (c, h, w)" if len(shape) == 3 else ""
        stated, gives = (
            (str(one) if len(one) == 3 else shape_text(one)) for one in (entry.out.shape, shape)
        )
        self.document.fault(
            f"{place}.out", f"states {stated}, but {layer.summary} gives {gives}{known}"
        )
