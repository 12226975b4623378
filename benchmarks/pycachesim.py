"""pycachesim beside hwsim in its convention: hits, misses and evictions of random traces.

    python -m venv v && v/bin/pip install pycachesim . && v/bin/python benchmarks/pycachesim.py 200

pycachesim is under the AGPL, so nothing of hwsim needs it: this script alone runs it.
"""

from __future__ import annotations

import random
import sys
import time

SHAPES = ((4, 2), (8, 4), (16, 4))  # sets and ways of each level
LINE, ACCESSES = 16, 20_000


def theirs(shapes, trace):
    from cachesim import Cache, CacheSimulator, MainMemory

    memory, inner = MainMemory(), None
    for number, (sets, ways) in reversed(list(enumerate(shapes))):
        links = {} if inner is None else {"store_to": inner, "load_from": inner}
        cache = Cache(f"L{number + 1}", sets, ways, LINE, "LRU", **links)
        if inner is None:
            memory.load_to(cache)
            memory.store_from(cache)
        inner = cache
    simulator = CacheSimulator(inner, memory)
    start = time.process_time()
    for address, size, write in trace:
        (simulator.store if write else simulator.load)(address, length=size)
    took = time.process_time() - start
    kinds = ("HIT_count", "MISS_count", "EVICT_count")
    return [[level[kind] for kind in kinds] for level in list(simulator.stats())[:-1]], took


def ours(shapes, trace):
    from hwsim.describe.units import Bandwidth, Duration
    from hwsim.parts.cache import Cache
    from hwsim.timing.caches.traces import Pycachesim

    fast, soon = Bandwidth(LINE, True), Duration(1, True)
    memory = Pycachesim(
        [Cache(sets * ways * LINE, LINE, ways, fast, soon) for sets, ways in shapes]
    )
    start = time.process_time()
    memory.replay(*zip(*((at, size, int(write)) for at, size, write in trace), strict=True))
    took = time.process_time() - start
    return [[row["hits"], row["misses"], row["evicted"]] for row in memory.counts()], took


def main() -> None:
    number, equal, seconds = int(sys.argv[1]) if sys.argv[1:] else 100, 0, [0.0, 0.0]
    for seed in range(number):
        dice = random.Random(seed)
        shapes = SHAPES[: dice.choice((1, 2, 3))]
        trace = [
            (dice.randrange(3000), dice.choice((1, 8, 40)), dice.random() < 0.4)
            for _ in range(ACCESSES)
        ]
        (one, first), (other, second) = theirs(shapes, trace), ours(shapes, trace)
        equal += one == other
        if seed:  # the first compiles
            seconds = [seconds[0] + first, seconds[1] + second]
    print(
        f"{equal} of {number} random traces of {ACCESSES} accesses: equal hits, misses, evictions"
    )
    print(f"pycachesim {seconds[0]:.2f} CPU-s, hwsim {seconds[1]:.2f} CPU-s")


if __name__ == "__main__":
    main()
