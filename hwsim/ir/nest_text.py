"""Nests as the YAML that hwsim.ir.nest_file reads back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hwsim.describe.layer import Layer, lengths
from hwsim.ir.nest import Code, Hold, Loop, Nest
from hwsim.ir.nest_file import LAYERS


def nest_text(
    machine: str, algorithm: str, dtype: str, nests: Sequence[tuple[str, Layer, Nest]]
) -> str:
    """A file of (layer's name, layer, nest), to be read back by load_nests."""
    lines = [
        f"machine: {_word(machine)}",
        f"algorithm: {_word(algorithm)}",
        f"dtype: {dtype}",
        "nests:",
    ]
    for name, layer, nest in nests:
        lines += [
            f"  - layer: {_word(name)}",
            f"    shape: {_flow(_shape(layer))}",
            f"    stage: {_word(nest.stage.name)}",
            f"    dataflow: {nest.dataflow}",
            *(["    packed: true"] if nest.packed else []),
            *([f"    code: {_flow(_code(nest.code))}"] if nest.code != Code() else []),
            "    nest:",
            *(f"      - {_flow(_item(item))}" for item in nest.items),
        ]
    return "\n".join(lines) + "\n"


def _code(code: Code) -> dict[str, Any]:
    plain = Code()
    return {name: value for name, value in vars(code).items() if value != getattr(plain, name)}


def _shape(layer: Layer) -> dict[str, Any]:
    op = next(op for op, kind in LAYERS.items() if isinstance(layer, kind))
    return {"op": op, **{name: getattr(layer, name) for name in lengths(type(layer))}}


def _item(item: Loop | Hold) -> dict[str, Any]:
    if isinstance(item, Loop):
        return (
            {"for": item.dim, "step": item.tile}
            if item.spatial is None
            else {"par": item.dim, "step": item.tile, "on": item.spatial}
        )
    plain = Hold(item.level, item.tensors)
    extra = {
        name: getattr(item, name)
        for name in ("halo", "buffers", "multicast", "reduce", "parts")
        if getattr(item, name) != getattr(plain, name)
    }
    return {"hold": item.level, "tensors": list(item.tensors), **extra}


def _flow(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_word(value)}" for key, value in values.items()) + "}"


def _word(value: Any) -> str:
    """A value as YAML: text in quotes unless it is a plain word that YAML takes for text."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_word(each) for each in value)}]"
    if isinstance(value, str):
        return (
            value if WORD.fullmatch(value) and value.lower() not in NO_TEXT else json.dumps(value)
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


WORD = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
NO_TEXT = ("yes", "no", "on", "off", "true", "false", "null")
