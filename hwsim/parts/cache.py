"""An implicit memory: a set-associative cache that sees line addresses and decides by itself."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from hwsim.describe import prefetchers
from hwsim.describe.machine import PARTS, Machine, Memory
from hwsim.describe.policies import POLICIES, names
from hwsim.describe.prefetchers import NONE, PREFETCHERS
from hwsim.describe.reading import count, quantity
from hwsim.describe.units import Bandwidth, Duration, size_text
from hwsim.errors import nearest

LARGEST = 4 * 2**30
MOST_SHARERS = 1 << 20


@PARTS.register("cache")
@dataclass(frozen=True)
class Cache(Memory):
    """Lines of memory that were used last. `per: core` gives every core its own; capacity and
    bandwidth are those of one instance.

    writes: back, when a line leaves, or through, with every store. write_allocate: a store that
    misses brings its line; else it passes by. inclusion: inclusive of the levels before it, whose
    lines it all has; exclusive, with what left the level before it; or neither. prefetcher: which
    lines it fetches before they are asked for (hwsim.describe.prefetchers).

    shared_by: so many cores share an instance of a cache of the chip, a power of two; 0 for all.
    core_bandwidth: what one core gets of a shared cache, None for all of it. ports: one for lines
    that are fetched and written back, or one for each. write_fetch: a write miss fetches the rest
    of its line (false where whole sectors are written). in_flight: misses of an instance that wait
    at a time, 0 for any number. set_busy: cycles that a fill keeps its set; misses that follow each
    other in few sets wait for that. policy: which line leaves a full set (hwsim.describe.policies).
    reach: of a GPU's L2, bytes that may be touched between two uses of a line that is still found,
    where that was measured; its capacity where it was not.
    """

    kind: ClassVar[str] = "cache"
    management = "implicit"
    line: int = quantity("bytes")
    ways: int = count()
    bandwidth: Bandwidth = quantity("bandwidth")
    latency: Duration = quantity("duration")
    per: Literal["core", "chip"] = "core"
    write_fetch: bool = True
    shared_by: int = count(default=0, least=0)
    core_bandwidth: Bandwidth | None = quantity("bandwidth", default=None)
    ports: Literal["shared", "separate"] = "shared"
    in_flight: int = count(default=0, least=0)
    set_busy: int = count(default=0, least=0)
    policy: str = "lru"
    writes: Literal["back", "through"] = "back"
    write_allocate: bool = True
    inclusion: Literal["neither", "inclusive", "exclusive"] = "neither"
    prefetcher: str = NONE
    reach: int | None = quantity("bytes", default=None)
    energy: float | None = quantity("energy_pj_per_byte", default=None)

    @property
    def sets(self) -> int:
        return self.capacity // (self.line * self.ways)

    def most_in_a_set(self, addresses: Iterable[float]) -> int:
        """The most lines of some addresses, in bytes, that lie in one set."""
        lines = {int(address) // self.line for address in addresses}
        return max(Counter(line % self.sets for line in lines).values())

    @property
    def sharers(self) -> int:
        """Cores that share an instance; 0 for all."""
        return 1 if self.per == "core" else self.shared_by

    def copies(self, units: int) -> int:
        """Instances that so many cores need."""
        return -(-units // self.sharers) if self.sharers else 1

    def busy_copies(self, cores: float) -> float:
        """Instances as busy as the busiest, where so many cores are as busy as the busiest."""
        return max(1.0, cores / self.sharers) if self.sharers else 1.0

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.line & (self.line - 1):
            yield "line", f"a line of {self.line} bytes; expected a power of two"
        elif self.shared_by and self.per == "core":
            yield (
                "shared_by",
                f"{self.shared_by} cores share a core's own; expected per: chip",
            )
        elif self.shared_by & (self.shared_by - 1):
            yield "shared_by", f"{self.shared_by} cores; expected a power of two"
        elif self.shared_by > MOST_SHARERS:
            yield "shared_by", f"{self.shared_by} cores; expected at most {MOST_SHARERS}"
        elif self.policy not in POLICIES:
            yield (
                "policy",
                f"no policy {self.policy!r}; expected one of {', '.join(names())}"
                f"{nearest(self.policy, names())}",
            )
        elif self.prefetcher != NONE and self.prefetcher not in PREFETCHERS:
            yield (
                "prefetcher",
                f"no prefetcher {self.prefetcher!r}; expected one of "
                f"{', '.join(prefetchers.names())}{nearest(self.prefetcher, PREFETCHERS)}",
            )
        elif self.prefetcher != NONE and self.inclusion == "exclusive":
            yield "prefetcher", "an exclusive cache has only what left another; expected none"
        elif refusal := POLICIES[self.policy].refuses(self.ways):
            yield "policy", f"{refusal}; expected that or another policy"
        elif self.capacity > LARGEST:
            yield (
                "capacity",
                f"{size_text(self.capacity)}; expected at most {size_text(LARGEST)}, as every "
                f"line is simulated",
            )
        elif self.capacity % self.line:
            yield (
                "line",
                f"a line of {self.line} bytes does not divide the capacity of {self.capacity}; "
                f"expected a divisor",
            )
        elif self.ways > self.capacity // self.line:
            yield (
                "ways",
                f"{self.ways} ways, but only {self.capacity // self.line} lines; expected at most "
                f"that",
            )
        elif self.capacity % (self.line * self.ways):
            yield (
                "ways",
                f"{self.ways} ways do not divide {self.capacity // self.line} lines; expected a "
                f"divisor",
            )


def caches_of(machine: Machine) -> list[tuple[str, Cache]]:
    """A machine's caches by name, the first level first."""
    return [
        (name, part)
        for name in machine.chain("activation")[::-1]
        if isinstance(part := machine.parts[name], Cache)
    ]


def faults_of_chain(caches: Sequence[tuple[str, Cache]]) -> Iterator[tuple[str, str]]:
    """What does not go together along a chain, the first level first: (cache, what)."""
    through = True
    for number, (name, cache) in enumerate(caches):
        above = caches[number - 1][1] if number else None
        if cache.inclusion == "exclusive":
            if above is None:
                yield name, "exclusive of nothing: it is the first level; expected it further out"
            elif above.writes == "through" or not above.write_allocate:
                yield (
                    name,
                    f"exclusive, behind {caches[number - 1][0]} that passes stores on; expected it "
                    f"behind one that writes back and allocates",
                )
        if cache.writes == "through" and not through:
            yield (
                name,
                "writes through, behind a level that writes back; expected writes: back, or "
                "through in all levels before it",
            )
        through = through and cache.writes == "through"
