"""What rounds of messages take on the links.

    a round     step + hops of the longest way + bytes of the fullest link / its bandwidth
    a call      start + its rounds, by the protocol and the algorithm that are soonest done

Messages take a shortest way; those that share a link share its bandwidth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from hwsim.chips.collectives import COLLECTIVES, Round
from hwsim.chips.topology import Node, graph_of
from hwsim.describe.system import System

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True)
class Load:
    """Of a round: hops of the longest way, and words over the fullest link."""

    hops: int
    words: float


@dataclass(frozen=True)
class Call:
    """A collective's time and what it was done by."""

    seconds: float
    algorithm: str = ""
    protocol: str = ""


class Network:
    """A system's links, and how long collectives take on them."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._ways: dict[tuple[int, int], list[Node]] = {}
        self._loads: dict[tuple[str, str, tuple[int, ...]], list[tuple[int, Load]]] = {}

    @cached_property
    def graph(self) -> networkx.DiGraph[Node]:
        return graph_of(self.system.topology, self.system.shape)

    def collective(self, kind: str, chips: tuple[int, ...], size: float) -> Call:
        """The soonest done of all algorithms and protocols.

        size: bytes of the whole buffer, as each chip has, or ends with, all of it.
        """
        if len(chips) < 2 or size <= 0:
            return Call(0.0)
        bandwidth = self.system.link.bandwidth.bytes_per_cycle(1.0)
        hop = self.system.link.latency.cycles(1.0)
        best = Call(float("inf"))
        for algorithm in COLLECTIVES.fitting(kind, len(chips), self.system.algorithms):
            for name, protocol in self.system.protocols:
                start, step = protocol.start.cycles(1.0), protocol.step.cycles(1.0)
                rounds = self._rounds(kind, algorithm, chips)
                seconds = start + sum(
                    times
                    * (step + load.hops * hop + load.words * size / (bandwidth * protocol.share))
                    for times, load in rounds
                )
                if seconds < best.seconds:
                    best = Call(seconds, algorithm, name)
        return best

    def _rounds(self, kind: str, algorithm: str, chips: tuple[int, ...]) -> list[tuple[int, Load]]:
        """(how often, load) of each distinct round, words as shares of the buffer."""
        key = kind, algorithm, chips
        if key not in self._loads:
            rounds = COLLECTIVES.rounds(kind, algorithm, len(chips))
            distinct = Counter(rounds)
            self._loads[key] = [(times, self.load(one, chips)) for one, times in distinct.items()]
        return self._loads[key]

    def load(self, messages: Round, chips: tuple[int, ...]) -> Load:
        """What a round puts on the links of some chips."""
        words: Counter[tuple[Node, Node]] = Counter()
        hops = 0
        for source, target, share in messages:
            way = self._way(chips[source], chips[target])
            hops = max(hops, len(way) - 1)
            for edge in pairwise(way):
                words[edge] += share  # type: ignore[assignment]
        return Load(hops, max(words.values(), default=0.0))

    def _way(self, source: int, target: int) -> list[Node]:
        import networkx

        if (source, target) not in self._ways:
            self._ways[source, target] = networkx.shortest_path(self.graph, source, target)
        return self._ways[source, target]
