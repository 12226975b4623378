"""A system: chips of one kind, how they are linked, and what a collective takes beside its bytes.

name: dgx-h100
chip: h100
shape: [8]
topology: switch
link: {bandwidth: 450 GB/s}
protocols:
  quick: {start: 7 us, step: 1.4 us, share: 0.44}
  wide: {start: 20 us, step: 2 us, share: 0.8}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

import yaml

from hwsim.describe.catalog import check_text, locate, shipped
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.reading import (
    Document,
    build,
    mapping,
    quantity,
    read,
    read_by,
    read_text,
    required,
)
from hwsim.describe.units import Bandwidth, Duration
from hwsim.errors import HwsimError

MOST_CHIPS = 4096


@dataclass(frozen=True)
class Link:
    """Between two neighbours, or a chip and its switch. bandwidth: one way. latency: of a hop,
    beside what the protocols' steps have of it."""

    bandwidth: Bandwidth = quantity("bandwidth")
    latency: Duration = quantity("duration", default=Duration(0.0, False))

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.bandwidth.per_cycle:
            yield "bandwidth", "bytes a cycle; expected bytes a second, as a link has no clock here"
        if self.latency.in_cycles:
            yield "latency", "cycles; expected a time, as a link has no clock here"


@dataclass(frozen=True)
class Protocol:
    """A way of sending. start: of a collective. step: of each of its rounds. share: of a link's
    bandwidth that it reaches."""

    start: Duration = quantity("duration")
    step: Duration = quantity("duration")
    share: float = required()

    def faults(self) -> Iterator[tuple[str, str]]:
        if not 0 < self.share <= 1:
            yield "share", f"{self.share:g}; expected a share of the bandwidth, at most 1"


def _read_protocols(
    node: yaml.Node, path: str, document: Document
) -> tuple[tuple[str, Protocol], ...] | None:
    pairs = mapping(node, path, document)
    if pairs is None:
        return None
    if not pairs:
        document.fault(path, "none; expected at least one, such as plain", node)
    found = [
        (name, build(Protocol, value, f"{path}.{name}", document))
        for name, (_, value) in pairs.items()
    ]
    return tuple((name, protocol) for name, protocol in found if protocol is not None)


def _protocols_schema() -> dict[str, Any]:
    from hwsim.describe.schema import object_schema

    return {
        "type": "object",
        "additionalProperties": object_schema(Protocol),
        "minProperties": 1,
    }


def _read_shape(node: yaml.Node, path: str, document: Document) -> tuple[int, ...] | None:
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    texts = [item.value for item in items if isinstance(item, yaml.ScalarNode)]
    whole = [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) < 6]
    if len(whole) != len(items) or not whole or min(whole) < 1:
        document.fault(path, "expected a list of chips along each axis, such as [4, 4, 4]", node)
        return None
    if prod(whole) > MOST_CHIPS:
        document.fault(path, f"{prod(whole)} chips; expected at most {MOST_CHIPS}", node)
        return None
    return tuple(whole)


def _shape_schema() -> dict[str, Any]:
    return {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1}


@dataclass(frozen=True)
class System:
    """Chips and their links. chip: a machine's name or path. shape: chips along every axis.
    topology: how they are linked (hwsim.chips.topology). algorithms: of collectives, that its
    library has; all that there are (hwsim.chips.collectives) where it names none.
    """

    name: str
    description: str
    chip: str = required()
    shape: tuple[int, ...] = read_by(_read_shape, _shape_schema)
    topology: Literal["switch", "full", "mesh", "torus", "ring"] = required()
    link: Link = required()
    protocols: tuple[tuple[str, Protocol], ...] = read_by(_read_protocols, _protocols_schema)
    algorithms: tuple[str, ...] = ()
    source: str = ""
    assumptions: str = ""

    def faults(self) -> Iterator[tuple[str, str]]:
        try:
            load_machine(self.chip)
        except HwsimError as error:
            yield "chip", str(error)
        if self.topology == "ring" and len(self.shape) > 1:
            yield "shape", f"a ring of shape {list(self.shape)}; expected one axis, such as [8]"

    @property
    def chips(self) -> int:
        return prod(self.shape)

    @cached_property
    def machine(self) -> Machine:
        return load_machine(self.chip)

    def of_shape(self, shape: tuple[int, ...]) -> System:
        """The same links between more or fewer chips. Raises HwsimError for too many."""
        if not shape or min(shape) < 1 or prod(shape) > MOST_CHIPS:
            raise HwsimError(f"{shape} chips; expected 1 to {MOST_CHIPS}")
        return replace(self, shape=shape)


def list_systems() -> list[str]:
    """Names of the shipped systems."""
    return sorted(shipped("systems"))


def load_system(name_or_path: str | Path) -> System:
    """A shipped system by name, or one of your own by path.

    Raises ConfigError with every fault of the file, UnknownName for a name that is not shipped.
    """
    path = locate("system", "systems", name_or_path)
    text = read_text(path)
    check_text("systems", path, text)
    return read(System, Document(text, str(path)))
