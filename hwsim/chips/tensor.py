"""The quickest way to split every layer over the chips of a group, found layer by layer.

    for layer in order:
        for every state that the maps still needed may be in:
            for way of the layer:  time of a chip's part + what moves so that it has its inputs
                                                         + what moves so that its sums are whole
            of all that end in one state, the soonest is kept

A map that is split becomes whole by an all-gather; one that is whole is split for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hwsim.chips.shards import State, Way, channels_needed, output_bytes, sum_bytes, ways_of
from hwsim.describe.layer import Layer
from hwsim.describe.workload import Workload

MOST_STATES = 128  # of the maps still needed, kept at a time
Times = Callable[[str, Layer], float]  # (layer, its part) -> seconds
Moves = Callable[[str, int], float]  # (collective, bytes of the whole buffer) -> seconds


@dataclass(frozen=True)
class Chosen:
    """A layer's way: seconds of a chip's part, and of what moves before and after it.

    leaves: bytes on each chip of the maps that are needed behind it.
    """

    name: str
    way: Way
    computing: float
    moving: float
    leaves: int

    @property
    def seconds(self) -> float:
        return self.computing + self.moving


@dataclass(frozen=True)
class _Path:
    """The soonest way to one state: its seconds, its last choice, and the path before."""

    seconds: float
    last: Chosen | None = None
    before: _Path | None = None

    def chosen(self) -> list[Chosen]:
        found, path = [], self
        while path.last is not None and path.before is not None:
            found.append(path.last)
            path = path.before
        return found[::-1]


_States = tuple[tuple[str, State], ...]


def split_layers(workload: Workload, chips: int, times: Times, moves: Moves) -> list[Chosen]:
    """A way for every layer, in order. times: seconds of a layer's part, see `ways_of`."""
    last_use, needed = _last_uses(workload), channels_needed(workload, chips)
    paths: dict[_States, _Path] = {(): _Path(0.0)}
    for name, layer in workload.layers.items():
        found: dict[_States, _Path] = {}
        for states, path in paths.items():
            ways = ways_of(layer, chips, needed.get(name, 0))
            for state, chosen in _steps(workload, name, ways, dict(states), times, moves):
                kept = tuple(sorted((m, s) for m, s in state.items() if last_use[m] != name))
                left = sum(
                    output_bytes(workload.layers[m]) // (chips if s == "split" else 1)
                    for m, s in kept
                )
                one = Chosen(name, chosen.way, chosen.computing, chosen.moving, left)
                seconds = path.seconds + one.seconds
                if kept not in found or seconds < found[kept].seconds:
                    found[kept] = _Path(seconds, one, path)
        soonest = sorted(found.items(), key=lambda entry: entry[1].seconds)[:MOST_STATES]
        paths = dict(soonest)
    return min(paths.values(), key=lambda path: path.seconds).chosen()


def _last_uses(workload: Workload) -> dict[str, str]:
    """{map: the last layer that reads it}; a map that nobody reads is its own layer's."""
    uses = {name: name for name in workload.layers}
    for name, sources in workload.inputs.items():
        uses.update({source: name for source in sources if source in uses})
    return uses


def _steps(
    workload: Workload,
    name: str,
    ways: Sequence[Way],
    states: Mapping[str, State],
    times: Times,
    moves: Moves,
) -> Iterator[tuple[dict[str, State], Chosen]]:
    """Every way of a layer from one state: the state behind it, and what it takes."""
    read = [source for source in workload.inputs.get(name, ()) if source in states]
    layer = workload.layers[name]
    for way in ways:
        after = dict(states)
        moving = 0.0
        if way.takes == "whole":
            for source in read:
                if states[source] == "split":
                    moving += moves("all-gather", output_bytes(workload.layers[source]))
                    after[source] = "whole"
        if way.collective:
            moving += moves(way.collective, sum_bytes(layer))
        after[name] = way.gives
        yield after, Chosen(name, way, times(name, way.layer), moving, 0)
