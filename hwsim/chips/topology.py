"""How chips are linked: directed graphs of chips and switches.

A topology is a function from a shape to the edges of a graph. Chips are numbered along a line that
goes to and fro through the axes, so that chips that follow each other are neighbours:

    0 1 2
    5 4 3      of a shape of 2 x 3
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING

from hwsim.errors import HwsimError, UnknownName

if TYPE_CHECKING:
    import networkx

Node = int | str
Edges = Iterator[tuple[Node, Node]]
SWITCH = "switch"


def places(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The chips' coordinates in the order of their numbers."""
    if not shape:
        return [()]
    inner = places(shape[1:])
    rows = [inner if row % 2 == 0 else inner[::-1] for row in range(shape[0])]
    return [(row, *place) for row, places_of in enumerate(rows) for place in places_of]


def switch(shape: tuple[int, ...]) -> Edges:
    """Every chip to one switch, which is never full."""
    for chip in range(len(places(shape))):
        yield chip, SWITCH


def full(shape: tuple[int, ...]) -> Edges:
    """Every chip to every other one."""
    chips = range(len(places(shape)))
    yield from ((one, other) for one, other in product(chips, chips) if one < other)


def mesh(shape: tuple[int, ...]) -> Edges:
    """Neighbours along every axis."""
    yield from _neighbours(shape, around=False)


def torus(shape: tuple[int, ...]) -> Edges:
    """Neighbours along every axis, and the last to the first of it."""
    yield from _neighbours(shape, around=True)


def ring(shape: tuple[int, ...]) -> Edges:
    """One after another, and the last to the first. Raises HwsimError for several axes."""
    if len(shape) != 1:
        raise HwsimError(f"a ring of shape {list(shape)}; expected one axis, such as [8]")
    yield from _neighbours(shape, around=True)


def _neighbours(shape: tuple[int, ...], around: bool) -> Edges:
    number = {place: index for index, place in enumerate(places(shape))}
    for place, index in number.items():
        for axis, length in enumerate(shape):
            step = list(place)
            step[axis] += 1
            if step[axis] == length and around and length > 2:
                step[axis] = 0
            if step[axis] < length:
                yield index, number[tuple(step)]


TOPOLOGIES: dict[str, Callable[[tuple[int, ...]], Edges]] = {
    "switch": switch,
    "full": full,
    "mesh": mesh,
    "torus": torus,
    "ring": ring,
}


def graph_of(topology: str, shape: tuple[int, ...]) -> networkx.DiGraph[Node]:
    """Chips 0 ... and switches as nodes, a link's two ways as two edges.

    Raises UnknownName for another topology, HwsimError for a shape that it has not.
    """
    import networkx

    if topology not in TOPOLOGIES:
        raise UnknownName("topology", topology, TOPOLOGIES)
    graph: networkx.DiGraph[Node] = networkx.DiGraph()
    graph.add_nodes_from(range(len(places(shape))))
    for one, other in TOPOLOGIES[topology](shape):
        graph.add_edge(one, other)
        graph.add_edge(other, one)
    return graph
