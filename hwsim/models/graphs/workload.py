"""A graph as a workload's text: what is a layer, what rides along with one, what costs nothing.

    y = Conv(x, W, b)                      - {name: conv1, op: conv, k: 64, r: 3, in: {...}}
    z = Relu(BatchNormalization(y))   ->     (both ride along: their elements are still on the chip)
    u = Reshape(z)                           (nothing moves)
    v = Einsum(u, c)                       - {name: einsum1, op: copy, as: Einsum, in: {...}}

As runtimes do, an operator of one element at a time is done with the layer whose output it alone
reads. What is not modelled costs what it moves. Notes say which operators became what.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from hwsim.describe.network_file import INPUT, LayerText, WorkloadText
from hwsim.describe.operators import RIDING
from hwsim.describe.units import si
from hwsim.errors import HwsimError
from hwsim.models.graphs.graph import Graph, Node, elements
from hwsim.models.graphs.layers import CARRIES, FREE, entry


@dataclass
class _Found:
    """Entries so far, and what became of operators, by their names in the format.

    home: of a value, the entry that writes it. shared: values that several read, under another name
    too. kinds: of entries.
    """

    entries: list[LayerText] = field(default_factory=list)
    home: dict[str, str] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    riding: Counter[str] = field(default_factory=Counter)
    free: Counter[str] = field(default_factory=Counter)
    once: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    moved_words: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


def workload_text(graph: Graph) -> WorkloadText:
    """Every node as a layer, or in the notes.

    Raises HwsimError for a graph of no layers, and for shapes that the model does not say.
    """
    found = _Found(home=dict.fromkeys(graph.inputs, INPUT))
    for node in graph.nodes:
        _place(graph, node, found)
    if not found.entries:
        raise HwsimError(f"{graph.name}: no layer; expected a model that computes something")
    return WorkloadText(graph.name, graph.source, tuple(found.entries), None, _notes(found))


def _place(graph: Graph, node: Node, found: _Found) -> None:
    """File one node under what it is."""
    if node.kind == "shape" or all(value in graph.constant for value in node.outputs):
        found.once[node.op] += 1
        return
    data = graph.data(node)
    found.shared |= {value for value in data if graph.readers[value] > 1}
    homes = list(dict.fromkeys(found.home[value] for value in data if value in found.home))
    if node.kind in FREE:
        found.free[node.op] += 1
        if found.shared.intersection(data):
            found.shared.update(node.outputs)
        found.home |= dict.fromkeys(node.outputs, homes[0] if homes else INPUT)
        return
    if _rides_along(graph, node, data, found):
        found.riding[node.op] += 1
        _let_ride(str(node.attributes.get("as", "elementwise")), homes[0], found)
        found.home |= dict.fromkeys(node.outputs, homes[0])
        return
    # what the user gives is no entry: it has no name in a workload without an input
    sources = tuple(home for home in homes if home != INPUT)
    made = entry(graph, node, sources)
    found.entries.append(made)
    found.kinds[made.name] = node.kind
    found.home |= dict.fromkeys(node.outputs, made.name)
    if node.kind == "other":
        found.moved[node.op] += 1
        found.moved_words[node.op] += sum(
            elements(graph.dims[value])
            for value in (*node.inputs, *node.outputs)
            if value in graph.dims
        )


def _rides_along(graph: Graph, node: Node, data: list[str], found: _Found) -> bool:
    """Is it done to elements that the layer before has just made, and nobody else reads?"""
    if node.kind not in ("pointwise", "elementwise") or len(data) != 1:
        return False
    if graph.shape(node, data[0]) != graph.shape(node, node.outputs[0]):
        return False
    home = found.home.get(data[0], INPUT)
    return data[0] not in found.shared and found.kinds.get(home) in CARRIES


def _let_ride(op: str, home: str, found: _Found) -> None:
    """Note an operator of one element at a time with the entry whose outputs it goes over."""
    number = next(n for n in reversed(range(len(found.entries))) if found.entries[n].name == home)
    made = found.entries[number]
    step = op if op in RIDING else "elementwise"
    found.entries[number] = replace(made, then=(*(made.then or ()), step))


def _notes(found: _Found) -> tuple[str, ...]:
    words = sum(found.moved_words.values())
    return tuple(
        f"{what}: {_counts(counter)}{beside}"
        for what, counter, beside in (
            ("done with the layer before", found.riding, ""),
            ("nothing moves", found.free, ""),
            ("computed once, before any run", found.once, ""),
            ("not modelled but for what they move", found.moved, f"; {si(words)} words"),
        )
        if counter
    )


def _counts(counter: Counter[str]) -> str:
    """Relu 49, Reshape 1"""
    return ", ".join(f"{name} {number}" for name, number in sorted(counter.items()))
