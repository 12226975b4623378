"""Quick tests and slow ones: `make test` runs the quick, `make test-slow` the slow, `.ci/run` both.

@pytest.mark.slow            the whole test is slow
@pytest.mark.slow(keep=2)    its first two cases are quick, so that every test has some
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["HWSIM_KEEP"] = "0"  # what is tested is what is computed now
# for commands that are run as a user runs them: what these sources computed before is kept
AS_A_USER = {name: value for name, value in os.environ.items() if name != "HWSIM_KEEP"}

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a worker: .ci/run installs it from Debian's packages."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "install chromium (on Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        shown = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield shown
        shown.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the mark off the cases that are kept.

    Tests of the lessons' site come first, so that one worker gets them all, and makes the site
    once.
    """
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
