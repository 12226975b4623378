"""Quick tests and slow ones: `make test` runs the quick, `make test-slow` the slow, `.ci/run` both.

@pytest.mark.slow            the whole test is slow
@pytest.mark.slow(keep=2)    its first two cases are quick, so that every test has some
"""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take the mark off the cases that are kept. Tests of the lessons' site come first, so that one
    worker gets them all, and makes the site once."""
    items.sort(key=lambda item: "site" not in getattr(item, "fixturenames", ()))
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("slow")
        if mark is None:
            continue
        name = item.nodeid.partition("[")[0]
        seen[name] += 1
        if seen[name] <= mark.kwargs.get("keep", 0):
            item.own_markers = [own for own in item.own_markers if own.name != "slow"]
