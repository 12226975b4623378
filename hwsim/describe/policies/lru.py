"""LRU: the line that was used longest ago leaves.

A set's places hold its lines in order of use, youngest first, so the policy keeps no words: the
look-up moves the lines (hwsim.timing.caches.look_ups.look_up).
"""

from __future__ import annotations

from hwsim.describe.policies import LRU, POLICIES, Policy, Tags


def oldest(tags: Tags, first: int, ways: int) -> int:
    return first + ways - 1


POLICIES.register(LRU)(
    Policy("the line that was used longest ago leaves", words=lambda _: 0, room=oldest)
)
