"""Random: any line leaves, and the same one each time that the same run is simulated.

A set's word is the state of its generator, x -> 1103515245 x + 12345 mod 2^31, which begins with
where the set is.
"""

from __future__ import annotations

from hwsim.describe.policies import POLICIES, Policy, Tags

FACTOR, STEP, MASK = 1103515245, 12345, (1 << 31) - 1
LOW_BITS = 16  # which repeat soon


def any_place(tags: Tags, first: int, ways: int) -> int:
    state = int(tags[first + ways])
    if state < 0:
        state = int(first)
    state = (state * FACTOR + STEP) & MASK
    tags[first + ways] = state
    return int(first + (state >> LOW_BITS) % ways)


POLICIES.register("random")(
    Policy("any line leaves, the same in every run", words=lambda _: 1, room=any_place)
)
