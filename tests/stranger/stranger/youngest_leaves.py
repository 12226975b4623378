"""A replacement policy: the line that was used last leaves. A set's word is its place."""

from hwsim.describe.policies import POLICIES, Policy


def note(tags, first, ways, place):
    tags[first + ways] = place - first


def last(tags, first, ways):
    return first + tags[first + ways]


POLICIES.register("youngest-leaves")(
    Policy(
        "the line that was used last leaves", words=lambda _: 1, room=last, used=note, filled=note
    )
)
