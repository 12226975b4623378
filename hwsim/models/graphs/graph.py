"""A model as a graph of nodes: what a format's reader hands on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from hwsim.errors import HwsimError

Dims = tuple[int, ...]  # of a value, outermost first; images or sequences are the first


@dataclass(frozen=True)
class Node:
    """kind: what it does, in this package's words (see layers.py). op: in the format's words.

    inputs, outputs: names of values, '' for one that is left out. attributes: what its kind needs
    to know beside shapes.
    """

    name: str
    kind: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """A model as a graph of nodes.

    nodes: in an order in which each comes after those it reads. dims: of every value that a layer
    reads or writes. constants: values that do not depend on the input. inputs: those that a user
    gives.
    """

    name: str
    source: str
    nodes: tuple[Node, ...]
    dims: Mapping[str, Dims]
    constants: frozenset[str]
    inputs: tuple[str, ...]
    outputs: frozenset[str] = frozenset()

    def shape(self, node: Node, value: str) -> Dims:
        """The dims of a node's value. Raises HwsimError where the model does not say them."""
        if value not in self.dims:
            raise HwsimError(
                f"{self.name}: {node.op} {node.name!r}: the shape of {value!r} cannot be inferred; "
                f"expected a model whose shapes follow from its inputs'"
            )
        return self.dims[value]

    @cached_property
    def constant(self) -> frozenset[str]:
        """Constants, and what nodes make of constants alone: computed once, before any run."""
        found = set(self.constants)
        for node in self.nodes:
            given = [value for value in node.inputs if value]
            if node.kind == "shape" or all(value in found for value in given):
                found.update(node.outputs)
        return frozenset(found)

    @cached_property
    def readers(self) -> Counter[str]:
        """How many nodes read a value; a value that the model gives has one more."""
        reads = Counter(value for node in self.nodes for value in node.inputs if value)
        reads.update(self.outputs)
        return reads

    def data(self, node: Node) -> list[str]:
        """A node's inputs that are no constants."""
        return [value for value in node.inputs if value and value not in self.constant]


def elements(dims: Dims) -> int:
    """Of a value of these dims."""
    return prod(dims)
