"""JSON Schema (draft 7) of what hwsim reads and of what it writes.

The first is made from the dataclasses that read it, the second from the typed dicts that it writes
(hwsim.results.schemas).

Editors check and complete a YAML file by its first line: # yaml-language-server: $schema=...
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from hwsim.describe.reading import described_as, is_read, yaml_name

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
PLAIN: dict[Any, Schema] = {
    float: {"type": "number", "exclusiveMinimum": 0},
    bool: {"type": "boolean"},
    str: {"type": "string"},
}


def schema_of(cls: type[Any], title: str) -> Schema:
    """The schema of a file that is read as a dataclass."""
    return {"$schema": DRAFT, "title": title, **object_schema(cls)}


def object_schema(cls: type[Any], beside: Mapping[str, Schema] | None = None) -> Schema:
    """The schema of one mapping. beside: keys that its reader takes besides the fields."""
    hints = typing.get_type_hints(cls)
    specs = [spec for spec in dataclasses.fields(cls) if is_read(spec)]
    properties = {yaml_name(spec): _field(hints[spec.name], spec.metadata) for spec in specs}
    needed = [yaml_name(spec) for spec in specs if _is_required(spec)]
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0],
        "additionalProperties": False,
        "required": [*(beside or {}), *needed],
        "properties": {**(beside or {}), **properties},
    }


def _is_required(spec: dataclasses.Field[Any]) -> bool:
    none = dataclasses.MISSING
    return spec.default is none and spec.default_factory is none


def _field(hint: Any, meta: Mapping[str, Any]) -> Schema:
    if "schema" in meta:
        found: Schema = meta["schema"]()
        return found
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        return {"anyOf": [_field(arms[0], meta), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _field(typing.get_args(hint)[0], meta)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _field(typing.get_args(hint)[1], meta)}
    if "choices" in meta:
        return {"enum": list(meta["choices"])}
    if origin is Literal:
        return {"enum": list(typing.get_args(hint))}
    if "unit" in meta:
        return {"type": ["string", "number"], "description": described_as(hint, meta)}
    if hint is int:
        return {"type": "integer", "minimum": meta.get("least", 0)}
    if dataclasses.is_dataclass(hint):
        return object_schema(typing.cast(type[Any], hint))
    return dict(PLAIN[hint])


# -- what is written -------------------------------------------------------------------------------

WRITTEN: dict[Any, Schema] = {
    float: {"type": "number"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    type(None): {"type": "null"},
}


def document_schema(cls: type[Any], title: str) -> Schema:
    """The schema of a document that is written as a typed dict.

    Every dict inside it stands once, among the definitions.
    """
    definitions: dict[str, Schema] = {}
    return {
        "$schema": DRAFT,
        "title": title,
        **_written_object(cls, definitions),
        "definitions": definitions,
    }


def _written_object(cls: type[Any], definitions: dict[str, Schema]) -> Schema:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or "").replace("\n", " "),
        "additionalProperties": False,
        "required": [
            name
            for name, hint in hints.items()
            if typing.get_origin(hint) is not typing.NotRequired
        ],
        "properties": {name: _written(hint, definitions) for name, hint in hints.items()},
    }


def _written(hint: Any, definitions: dict[str, Schema]) -> Schema:
    """The schema of one field's type."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.NotRequired:
        return _written(inside[0], definitions)
    if origin is typing.Annotated:
        limits = {name: limit for name, limit in inside[1]._asdict().items() if limit is not None}
        return {**_written(inside[0], definitions), **limits}
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_written(arm, definitions) for arm in inside]}
    if origin is Literal:
        return {"enum": list(inside)}
    if origin is list:
        return {"type": "array", "items": _written(inside[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _written(inside[1], definitions)}
    if typing.is_typeddict(hint):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}  # its place, before those inside it
            definitions[hint.__name__] = _written_object(hint, definitions)
        return {"$ref": f"#/definitions/{hint.__name__}"}
    return dict(WRITTEN[hint])
