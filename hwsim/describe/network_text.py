"""A workload's text as YAML: what `hwsim import` writes, one line an entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from json import dumps
from typing import Any

from hwsim.describe.layer import DENSE, Density
from hwsim.describe.network_file import (
    Entry,
    FeatureMap,
    LayerText,
    RepeatText,
    WorkloadText,
)
from hwsim.describe.reading import yaml_name

SCHEMA = "# yaml-language-server: $schema=../docs/schemas/workload.json"


def workload_yaml(text: WorkloadText) -> str:
    """YAML that reads as the same text; fields that have their default are left out."""
    lines = [f"name: {_scalar(text.name)}", f"source: {_scalar(text.source)}"]
    if text.notes:
        lines += ["notes:", *(f"  - {_scalar(note)}" for note in text.notes)]
    if text.input is not None:
        lines.append(f"input: {_flow(text.input)}")
    return "\n".join([*lines, "layers:", *_entries(text.layers, "  ")]) + "\n"


def _entries(entries: tuple[Entry, ...], indent: str) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, RepeatText):
            yield f"{indent}- repeat: {entry.repeat}"
            yield f"{indent}  layers:"
            yield from _entries(entry.layers, indent + "    ")
        else:
            yield f"{indent}- {_flow(entry)}"


def _flow(value: LayerText | FeatureMap | Density) -> str:
    """{name: conv1, op: conv, k: 64, r: 7}"""
    stated = [
        f"{yaml_name(spec)}: {_value(getattr(value, spec.name))}"
        for spec in fields(value)
        if spec.default is MISSING or getattr(value, spec.name) != spec.default
    ]
    return "{" + ", ".join(stated) + "}"


def _value(value: Any) -> str:
    if isinstance(value, (FeatureMap, Density)):
        return _flow(value) if value != DENSE else "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _scalar(value) if isinstance(value, str) else str(value)


def _scalar(text: str) -> str:
    """Text in quotes where YAML would read it as something else."""
    plain = text.isascii() and text.replace("_", "a").replace("-", "a").isalnum()
    if plain and text[0].isalpha() and text.lower() not in NOT_TEXT:
        return text
    return dumps(text, ensure_ascii=False)


NOT_TEXT = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
