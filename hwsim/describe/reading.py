"""The one reader: YAML text to frozen dataclasses, all of a file's faults at once, with places.

A field says what it takes by its type and, for a quantity, by `quantity("bytes")`. A dataclass with
cross-field rules has a method `faults()` yielding (field, message); the message stands at that
field's place in the file.
"""

from __future__ import annotations

import dataclasses
import stat
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import yaml

from hwsim.describe.units import PARSERS
from hwsim.errors import ConfigError, Fault, HwsimError, is_plain, nearest, shortened

MAX_BYTES = 16 << 20
MAX_DEPTH = 32
MAX_NODES = 1_000_000
MAX_FAULTS = 100
MAX_DIGITS = 40
MAX_NAME = 255  # bytes in UTF-8, as a name may become a file's
SMALLEST, LARGEST = 1e-15, 1e15  # of a plain number

# keys of names
NAMES = (
    "name",
    "layer",
    "stage",
    "dataflow",
    "machine",
    "links",
    "from",
    "tensors",
    "for",
    "par",
    "hold",
    "on",
)

UNREAD = "unread"  # in the metadata of a field that no file states
UNIONS = (types.UnionType, typing.Union)

T = TypeVar("T")


def quantity(unit: str, *, default: Any = dataclasses.MISSING, key: str | None = None) -> Any:
    """A dataclass field written as text with a unit, under its own name or `key`.

    The unit is a key of units.PARSERS.
    """
    return field(default=default, metadata={"unit": unit, **({"key": key} if key else {})})


def count(*, default: Any = dataclasses.MISSING, least: int = 1) -> Any:
    """A dataclass field holding a whole number of at least `least`."""
    return field(default=default, metadata={"least": least})


def read_by(
    reader: Callable[[yaml.Node, str, Document], Any],
    schema: Callable[[], dict[str, Any]],
    *,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A dataclass field that `reader(node, path, document)` makes; schema: JSON Schema of it."""
    return field(default=default, metadata={"read": reader, "schema": schema})


def per_axis(*, default: Any = dataclasses.MISSING, least: int = 1, sides: bool = False) -> Any:
    """A dataclass field holding one whole number for both axes, or a list [rows, columns].

    sides: also [top, left, bottom, right], as ONNX writes pads.
    """
    lengths = (2, 4) if sides else (2,)

    def reader(node: yaml.Node, path: str, doc: Document) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            return _scalar(int, {"least": least}, node, path, doc)
        values = _sequence(int, {"least": least}, node, path, doc)
        if values is not None and len(values) not in lengths:
            doc.fault(
                path,
                f"a list of {len(values)}; expected a whole number, [rows, columns]"
                f"{' or [top, left, bottom, right]' if sides else ''}",
                node,
            )
            return None
        return values

    def schema() -> dict[str, Any]:
        number = {"type": "integer", "minimum": least}
        lists = [
            {"type": "array", "items": number, "minItems": length, "maxItems": length}
            for length in lengths
        ]
        return {"anyOf": [number, *lists]}

    return field(default=default, metadata={"read": reader, "schema": schema})


def choice(names: tuple[str, ...]) -> Any:
    """A dataclass field holding one of these words."""
    return field(metadata={"choices": names})


def unread(default: Any) -> Any:
    """A dataclass field that no file states."""
    return field(default=default, metadata={UNREAD: True})


def is_read(spec: dataclasses.Field[Any]) -> bool:
    """Does a file state this field of a dataclass?"""
    return spec.init and UNREAD not in spec.metadata


def required() -> Any:
    """A dataclass field with neither unit nor bound, which must be given."""
    return field()


@dataclass(frozen=True)
class Place:
    """Where a node of a YAML file stands (1-based)."""

    file: str
    line: int
    column: int


class Document:
    """One parsed YAML file: its node tree, the faults found so far, and the place of every path."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.faults: list[Fault] = []
        self.places: dict[str, Place] = {"": Place(name, 1, 1)}
        self.root = self._compose(text)

    def fault(self, path: str, what: str, node: yaml.Node | None = None) -> None:
        """Note a fault at a node, or at the deepest known place on `path`."""
        if node is not None:
            line, column = node.start_mark.line + 1, node.start_mark.column + 1
        else:
            place = self._place(path)
            line, column = place.line, place.column
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(self.name, line, column, path or "file", what))

    def place(self, path: str, node: yaml.Node) -> None:
        """Remember where a path stands."""
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.places[path] = Place(self.name, line, column)

    @property
    def is_full(self) -> bool:
        """Enough faults were found: no need to look on."""
        return len(self.faults) >= MAX_FAULTS

    def check(self) -> None:
        """Raise ConfigError if any fault was noted."""
        if self.faults:
            raise ConfigError(self.faults)

    def _place(self, path: str) -> Place:
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.places[path]

    def _compose(self, text: str) -> yaml.Node | None:
        if len(text.encode("utf-8", "replace")) > MAX_BYTES:
            self.fault("", f"file is larger than {MAX_BYTES} bytes; expected a small description")
            return None
        try:
            if self._is_refused(text):
                return None
            node = yaml.compose(text, Loader=LOADER)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self._not_yaml(text, error)
            return None
        if node is None:
            self.fault("", "file is empty; expected a mapping")
        return None if self.faults else node

    def _is_refused(self, text: str) -> bool:
        """Aliases, depth and size, event by event, before anything is built."""
        depth = seen = 0
        for event in yaml.parse(text, Loader=LOADER):
            seen += isinstance(event, yaml.NodeEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
                event, yaml.CollectionEndEvent
            )
            alias = isinstance(event, yaml.AliasEvent)
            if alias or depth > MAX_DEPTH or seen > MAX_NODES:
                what = (
                    "aliases are not accepted; expected the value itself"
                    if alias
                    else f"nested deeper than {MAX_DEPTH}"
                    if depth > MAX_DEPTH
                    else f"more than {MAX_NODES} values"
                )
                mark = cast(yaml.Mark, event.start_mark)
                self.faults.append(Fault(self.name, mark.line + 1, mark.column + 1, "file", what))
                return True
        return False

    def _not_yaml(self, text: str, error: Exception) -> None:
        place: Any = getattr(error, "problem_mark", None)
        line, column = (place.line + 1, place.column + 1) if place else (1, 1)
        problem = getattr(error, "problem", None) or "nested too deeply or not text"
        if isinstance(error, yaml.reader.ReaderError):
            line, column, problem = _first_strange(text)
        elif "".join(text.split("\n")[line - 1 : line])[:column].strip(" ") == "\t":
            problem = "a tab; expected spaces"
        self.faults.append(Fault(self.name, line, column, "file", f"not valid YAML: {problem}"))


LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _first_strange(text: str) -> tuple[int, int, str]:
    """Where the first character stands that YAML does not take, and what it is."""
    for number, line in enumerate(text.split("\n"), 1):
        for column, character in enumerate(line, 1):
            if not is_plain(character) and character not in "\t\r":
                return number, column, f"the character {character!a}; expected printable text"
    return 1, 1, "a character that is none"


def read_text(path: Path, most: int = MAX_BYTES) -> str:
    """The text of an input file.

    Raises HwsimError when it cannot be read, is larger than `most` bytes, or no regular file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise HwsimError(
                f"{path}: a {'folder' if path.is_dir() else 'device or pipe'}; expected a file"
            )
        if status.st_size > most:
            raise HwsimError(f"{path}: {status.st_size} bytes; expected at most {most}")
        return path.read_text(encoding="utf-8-sig")
    # a UnicodeDecodeError is a ValueError, as is a name with a NUL
    except (OSError, ValueError) as error:
        raise HwsimError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None


def read(cls: type[T], document: Document) -> T:
    """The document's root as a `cls`; raises ConfigError with every fault found."""
    value = build(cls, document.root, "", document) if document.root is not None else None
    document.check()
    return cast(T, value)


def build(cls: Any, node: yaml.Node, path: str, doc: Document) -> Any:
    """A frozen dataclass from a mapping node, or None after noting faults."""
    pairs = mapping(node, path, doc)
    if pairs is None:
        return None
    wanted = {f.name: f for f in dataclasses.fields(cls) if is_read(f)}
    hints = _hints(cls)
    before = len(doc.faults)
    values: dict[str, Any] = {}
    names = {yaml_name(spec): name for name, spec in wanted.items()}
    for key, (key_node, value) in pairs.items():
        if key not in names:
            doc.fault(
                _join(path, key),
                f"unknown key; expected one of {', '.join(sorted(names))}{nearest(key, names)}",
                key_node,
            )
        else:
            spec = wanted[names[key]]
            values[spec.name] = _value(
                hints[spec.name], spec.metadata, value, _join(path, key), doc
            )
    for spec in wanted.values():
        if (
            spec.name not in values
            and spec.default is dataclasses.MISSING
            and spec.default_factory is dataclasses.MISSING
        ):
            doc.fault(
                path,
                f"missing key {yaml_name(spec)!r}; expected "
                f"{described_as(hints[spec.name], spec.metadata)}",
                node,
            )
    if len(doc.faults) > before:
        return None
    try:
        made = cls(**values)
    except HwsimError as error:  # a spec that checks itself wherever it is made
        doc.fault(path, str(error), node)
        return None
    for name, what in getattr(made, "faults", tuple)():
        doc.fault(_join(path, name), what)
    return made


@lru_cache(maxsize=256)
def _hints(cls: Any) -> dict[str, Any]:
    """The types of a dataclass' fields."""
    return typing.get_type_hints(cls)


def mapping(
    node: yaml.Node, path: str, doc: Document
) -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
    """{key: (key node, value node)}, noting duplicates and keys that are not words."""
    if not isinstance(node, yaml.MappingNode):
        doc.fault(path, f"{_kind(node)}; expected a mapping of keys to values", node)
        return None
    pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key_node, value in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            doc.fault(path, f"{_kind(key_node)} as a key; expected a word", key_node)
            continue
        key = str(key_node.value)
        wrong = name_fault(key)
        if wrong:
            doc.fault(path, wrong, key_node)
            continue
        if key in pairs:
            first = pairs[key][0].start_mark.line + 1
            doc.fault(_join(path, key), f"duplicate key; first given on line {first}", key_node)
            continue
        pairs[key] = (key_node, value)
        doc.place(_join(path, key), value)
    return pairs


def name_fault(name: str) -> str:
    """What is wrong with a name, '' for one that will do.

    It must be printable text on one line, and not too long.
    """
    if len(name.encode("utf-8", "replace")) > MAX_NAME:
        return f"{shortened(repr(name))}; expected a name of at most {MAX_NAME} bytes"
    strange = next((character for character in name if not is_plain(character)), None)
    return (
        f"{shortened(repr(name))} holds {strange!a}; expected printable text on one line"
        if strange
        else ""
    )


def yaml_name(spec: dataclasses.Field[Any]) -> str:
    """The key of a field in a file: its own name, or the one it declares.

    An own name is without a keyword's underscore.
    """
    return str(spec.metadata.get("key", spec.name.rstrip("_")))


def _join(path: str, key: str) -> str:
    if not key:
        return path
    return f"{path}.{key}" if path else key


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else shortened(repr(node.value))


def _value(hint: Any, meta: Mapping[str, Any], node: yaml.Node, path: str, doc: Document) -> Any:
    if "read" in meta:
        return meta["read"](node, path, doc)
    origin = typing.get_origin(hint)
    if origin in UNIONS and isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
        return None
    if origin in UNIONS:
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        origin = typing.get_origin(hint)
    if origin is tuple:
        return _sequence(typing.get_args(hint)[0], meta, node, path, doc)
    if origin is dict:
        return _dict(typing.get_args(hint)[1], meta, node, path, doc)
    if "choices" in meta:
        return _choice(list(meta["choices"]), node, path, doc)
    if origin is Literal:
        return _choice([str(choice) for choice in typing.get_args(hint)], node, path, doc)
    if dataclasses.is_dataclass(hint) and "unit" not in meta:
        return build(hint, node, path, doc)
    if (
        hint is str
        and isinstance(node, yaml.ScalarNode)
        and path.rpartition(".")[2].partition("[")[0] in NAMES
        and name_fault(node.value)
    ):
        doc.fault(path, name_fault(node.value), node)
        return None
    return _scalar(hint, meta, node, path, doc)


def _sequence(
    item: Any, meta: Mapping[str, Any], node: yaml.Node, path: str, doc: Document
) -> tuple[Any, ...] | None:
    if not isinstance(node, yaml.SequenceNode):
        doc.fault(path, f"{_kind(node)}; expected a list", node)
        return None
    values = []
    for index, child in enumerate(node.value):
        if doc.is_full:
            return None
        doc.place(f"{path}[{index}]", child)
        values.append(_value(item, meta, child, f"{path}[{index}]", doc))
    return tuple(values)


def _dict(
    item: Any, meta: Mapping[str, Any], node: yaml.Node, path: str, doc: Document
) -> dict[str, Any] | None:
    pairs = mapping(node, path, doc)
    if pairs is None:
        return None
    return {
        key: _value(item, meta, value, _join(path, key), doc) for key, (_, value) in pairs.items()
    }


def _choice(choices: list[str], node: yaml.Node, path: str, doc: Document) -> Any:
    if isinstance(node, yaml.ScalarNode) and node.value in choices:
        return node.value
    hint = nearest(str(node.value), choices) if isinstance(node, yaml.ScalarNode) else ""
    doc.fault(path, f"{_kind(node)}; expected one of {', '.join(choices)}{hint}", node)
    return None


def _scalar(hint: Any, meta: Mapping[str, Any], node: yaml.Node, path: str, doc: Document) -> Any:
    try:
        if not isinstance(node, yaml.ScalarNode):
            raise ValueError(f"{_kind(node)}; expected {described_as(hint, meta)}")
        if "unit" in meta:
            return PARSERS[meta["unit"]](node.value)
        return _PLAIN[hint](node, meta)
    except ValueError as error:
        doc.fault(path, str(error), node)
        return None


def _integer(node: yaml.ScalarNode, meta: Mapping[str, Any]) -> int:
    try:
        if not node.tag.endswith(":int") or len(node.value) > MAX_DIGITS:
            raise ValueError
        value = int(str(yaml.SafeLoader.construct_yaml_int(yaml.SafeLoader(""), node)))
    except ValueError:
        raise ValueError(
            f"{shortened(repr(node.value))} is not a whole number; "
            f"expected {described_as(int, meta)}"
        ) from None
    least = meta.get("least", 0)
    if not least <= value < 2**53:
        raise ValueError(
            f"{shortened(node.value)} is out of range; expected {described_as(int, meta)}"
        )
    return value


def _float(node: yaml.ScalarNode, meta: Mapping[str, Any]) -> float:
    try:
        value = float(node.value)
    except ValueError:
        raise ValueError(
            f"{shortened(repr(node.value))} is not a number; expected a positive number"
        ) from None
    if not SMALLEST <= value <= LARGEST:
        raise ValueError(
            f"{shortened(repr(node.value))} is out of range; expected a positive number, from "
            f"{SMALLEST:g} to {LARGEST:g}"
        )
    return value


def _boolean(node: yaml.ScalarNode, meta: Mapping[str, Any]) -> bool:
    if not node.tag.endswith(":bool"):
        raise ValueError(f"{shortened(repr(node.value))}; expected true or false")
    return str(node.value).lower() in ("true", "yes", "on")


def _string(node: yaml.ScalarNode, meta: Mapping[str, Any]) -> str:
    if not str(node.value).strip():
        raise ValueError("empty; expected text")
    strange = next(
        (character for character in node.value if not is_plain(character) and character != "\n"),
        None,
    )
    if strange is not None:
        raise ValueError(
            f"{shortened(repr(node.value))} holds {strange!a}; expected printable text"
        )
    return str(node.value)


_PLAIN: dict[Any, Callable[[yaml.ScalarNode, Mapping[str, Any]], Any]] = {
    int: _integer,
    float: _float,
    bool: _boolean,
    str: _string,
}

_EXAMPLES = {
    "bytes": "a size such as '24 MiB'",
    "bandwidth": "a rate such as '34 GB/s' or '64 B/cycle'",
    "frequency_hz": "a frequency such as '700 MHz'",
    "duration": "a time such as '100 ns' or '40 cycles'",
    "energy_pj": "an energy such as '1.3 pJ'",
    "energy_pj_per_byte": "an energy such as '8 pJ/bit'",
    "power_w": "a power such as '700 W'",
}


_FORMS = {"array": "a list", "object": "a mapping", "string": "text", "integer": "a whole number"}


def described_as(hint: Any, meta: Mapping[str, Any]) -> str:
    """What is expected of a field, in words."""
    if "unit" in meta:
        return _EXAMPLES[meta["unit"]]
    if hint is int:
        return f"a whole number of at least {meta.get('least', 0)}"
    if "choices" in meta:
        return f"one of {', '.join(sorted(meta['choices']))}"
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    if "schema" in meta:
        return _FORMS.get(meta["schema"]().get("type", ""), "a mapping")
    names = {float: "a positive number", bool: "true or false", str: "text"}
    return names.get(hint, "a list" if typing.get_origin(hint) is tuple else "a mapping")


def fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of a dataclass' fields, for printing what was understood."""
    for spec in dataclasses.fields(value):
        yield yaml_name(spec), getattr(value, spec.name)
