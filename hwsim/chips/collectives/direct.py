"""Every chip to every other one at once, the first to the last, or half of them to their peers."""

from __future__ import annotations

from hwsim.chips.collectives import COLLECTIVES, Round


def _exchange(chips: int) -> list[Round]:
    """A p-th of the buffer from each to each, in one round."""
    return [tuple((i, j, 1 / chips) for i in range(chips) for j in range(chips) if i != j)]


def _twice(chips: int) -> list[Round]:
    """Each adds its part of all, then sends it to all."""
    return _exchange(chips) * 2


def _send(chips: int) -> list[Round]:
    return [((0, chips - 1, 1.0),)]


def _hand_over(chips: int) -> list[Round] | None:
    half, odd = divmod(chips, 2)
    return None if odd else [tuple((i, half + i, 1.0) for i in range(half))]


COLLECTIVES.register("all-reduce direct")(_twice)
COLLECTIVES.register("reduce-scatter direct")(_exchange)
COLLECTIVES.register("all-gather direct")(_exchange)
COLLECTIVES.register("all-to-all direct")(_exchange)
COLLECTIVES.register("send direct")(_send)
COLLECTIVES.register("hand-over direct")(_hand_over)
