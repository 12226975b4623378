"""A collective: everybody sends everything to the first chip, which sends the sums back."""

from hwsim.chips.collectives import COLLECTIVES


@COLLECTIVES.register("all-reduce by-way-of-one")
def rounds(chips):
    there = tuple((chip, 0, 1.0) for chip in range(1, chips))
    return [there, tuple((receiver, sender, share) for sender, receiver, share in there)]
