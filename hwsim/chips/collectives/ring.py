"""Around a ring: every chip passes a p-th of the buffer to the next one, all at once.

    for step in 1 ... p - 1:  chip i sends part i - step to chip i + 1, which adds it or keeps it

Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", JPDC 2009: 2 (p - 1) rounds of n / p,
the least bytes that an all-reduce can do with.
"""

from __future__ import annotations

from hwsim.chips.collectives import COLLECTIVES, Round


def _passes(chips: int) -> list[Round]:
    """p - 1 rounds in one direction."""
    return [tuple((i, (i + 1) % chips, 1 / chips) for i in range(chips))] * (chips - 1)


def _both_ways(chips: int) -> list[Round] | None:
    """Half of every part in each direction, where these are different links."""
    if chips < 3:
        return None
    onward = [(i, (i + 1) % chips, 0.5 / chips) for i in range(chips)]
    back = [((i + 1) % chips, i, 0.5 / chips) for i in range(chips)]
    return [(*onward, *back)] * (chips - 1)


def _twice(rounds: list[Round] | None) -> list[Round] | None:
    return None if rounds is None else rounds * 2


COLLECTIVES.register("reduce-scatter ring")(_passes)
COLLECTIVES.register("all-gather ring")(_passes)
COLLECTIVES.register("all-reduce ring")(lambda chips: _twice(_passes(chips)))
COLLECTIVES.register("reduce-scatter two-rings")(_both_ways)
COLLECTIVES.register("all-gather two-rings")(_both_ways)
COLLECTIVES.register("all-reduce two-rings")(lambda chips: _twice(_both_ways(chips)))
