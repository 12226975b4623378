"""Lines and instructions: what a nest's walk through the caches counts."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.results.result import Sampling


@dataclass(frozen=True)
class LevelTraffic:
    """Lines of one tensor at one cache (or DRAM).

    They are looked up for reading and writing, missed, written back (or handed down to an exclusive
    cache), and brought before they were asked for. cold, capacity: of the misses, where they are
    told apart (hwsim.timing.caches.miss_kinds).
    """

    reads: float
    writes: float
    misses: float
    writebacks: float
    prefetches: float = 0.0
    cold: float = 0.0
    capacity: float = 0.0

    def times(self, share: float) -> LevelTraffic:
        """So large a share of it."""
        return LevelTraffic(
            self.reads * share,
            self.writes * share,
            self.misses * share,
            self.writebacks * share,
            self.prefetches * share,
            self.cold * share,
            self.capacity * share,
        )

    def __add__(self, other: LevelTraffic) -> LevelTraffic:
        return LevelTraffic(
            self.reads + other.reads,
            self.writes + other.writes,
            self.misses + other.misses,
            self.writebacks + other.writebacks,
            self.prefetches + other.prefetches,
            self.cold + other.cold,
            self.capacity + other.capacity,
        )


@dataclass(frozen=True)
class StreamResult:
    """Lines by (level, tensor), and instruction counts of the busiest unit.

    Levels go from the first cache to 'dram' last.

    steps: of the busiest unit, each with one tile of every tensor. entries: of all its loops.
    even_units: units in use, if all loaded and stored as much as the busiest.
    crowds: its fills of the first level by how many misses ago their set was filled. off: lines
    that a level's figures may be off where sets were sampled.
    """

    traffic: dict[tuple[str, str], LevelTraffic]
    vector_iterations: float
    loads: float
    stores: float
    sampling: Sampling | None
    steps: int = 0
    entries: int = 0
    even_units: float = 1.0
    crowds: tuple[int, ...] = ()
    off: tuple[float, ...] = ()
