"""By halves: chips at a distance of p/2, p/4, ... 1 exchange half of what they still have.

    for d in p/2, p/4, ... 1:  chip i and chip i xor d exchange half of their part and add
    for d in 1, 2, ... p/2:    they exchange all they have               (all-gather)

Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH",
2005: 2 log2 p rounds, 2 n (p - 1) / p words. For powers of two.
"""

from __future__ import annotations

from hwsim.chips.collectives import COLLECTIVES, Round


def _halving(chips: int) -> list[Round] | None:
    """Parts of 1/2, 1/4, ... 1/p."""
    if chips & (chips - 1):
        return None
    rounds, distance, share = [], chips // 2, 0.5
    while distance:
        rounds.append(tuple((i, i ^ distance, share) for i in range(chips)))
        distance, share = distance // 2, share / 2
    return rounds


def _doubling(chips: int) -> list[Round] | None:
    found = _halving(chips)
    return None if found is None else found[::-1]


def _both(chips: int) -> list[Round] | None:
    found = _halving(chips)
    return None if found is None else found + found[::-1]


COLLECTIVES.register("reduce-scatter halving")(_halving)
COLLECTIVES.register("all-gather halving")(_doubling)
COLLECTIVES.register("all-reduce halving")(_both)
