"""Collectives: what each chip of a group has before and after, and the messages in between.

    all-reduce       every chip has n words;    each ends with the sums of all chips' n
    reduce-scatter   every chip has n words;    each ends with the sums of its n/p
    all-gather       every chip has its n/p;    each ends with all n
    all-to-all       every chip has n words;    each sends n/p of them to every other
    send             the first chip has n;      the last one ends with them
    hand-over        the first half have n each;  their peers in the second half end with them

An algorithm is a module that registers a function from a number of chips to rounds; a message says
who sends how much of the buffer to whom. tests/test_chips.py carries words along the messages.
"""

from __future__ import annotations

from collections.abc import Callable

from hwsim.registry import Registry

Message = tuple[int, int, float]  # from, to, share of the buffer
Round = tuple[Message, ...]
Rounds = Callable[[int], list[Round] | None]

KINDS = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all", "send", "hand-over")


class Collectives(Registry[Rounds]):
    """Algorithms by 'kind algorithm'."""

    def fitting(self, kind: str, chips: int, known: tuple[str, ...]) -> list[str]:
        """Names of the algorithms of a kind that so many chips can run.

        They are of those known to the chips (all, where these name none); where none of them is of
        the kind, of all.
        """
        names = [name.split(" ") for name in self if self[name](chips) is not None]
        found = [algorithm for of_kind, algorithm in names if of_kind == kind]
        return [name for name in found if name in known] or found

    def rounds(self, kind: str, algorithm: str, chips: int) -> list[Round]:
        """The messages. Raises UnknownName for another kind or algorithm."""
        return self[f"{kind} {algorithm}"](chips) or []


COLLECTIVES = Collectives("collective", "hwsim.chips.collectives")
