"""The report in a real browser: at desktop and phone width, light and dark, picked and sorted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hwsim
from hwsim.report.html import write_html
from tests.conftest import CHROMIUM
from tests.layers import small_network


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    comparison = hwsim.compare(
        small_network().only(("conv3", "conv5", "fc7")),
        ["tpu-v1", "tpu-v4"],
        ["direct", "winograd-f2"],
        what_if=True,
    )
    write_html(comparison, path)
    return path


@pytest.fixture(params=[(1280, "light"), (390, "dark")])
def page(request: pytest.FixtureRequest, browser: Any, path: Path) -> Iterator[Any]:
    """The report open, every chart drawn; nothing in the console, and nothing asked for."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(path.as_uri())
    draw_all(opened)
    yield opened
    context.close()
    assert said == []
    assert asked == [path.as_uri()]  # and nothing else


def draw_all(page: Any) -> None:
    """Bring every chart near the window, and wait until it is drawn."""
    for figure in page.query_selector_all(".charts figure"):
        figure.scroll_into_view_if_needed()
        figure.wait_for_selector(".chart svg, .chart .empty")


def test_chromium_is_there() -> None:
    """The browser tests must run: .ci/run installs Chromium from Debian's packages."""
    assert CHROMIUM is not None, "install chromium (on Debian: apt-get install chromium)"


def test_the_page_is_one_small_file(path: Path) -> None:
    """Under 2 MB, and forbidden to ask for anything."""
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 2_000_000
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!#)', text.split("<script>")[0])


def test_nothing_sticks_out_and_every_pick_filters(page: Any) -> None:
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    charts = page.query_selector_all(".charts figure")
    assert len(charts) == 14
    for figure in charts:
        chart = figure.query_selector(".chart")
        drawing = figure.query_selector(".chart svg").bounding_box()
        frame = chart.bounding_box()
        assert drawing["x"] + drawing["width"] <= frame["x"] + frame["width"] + 1
        assert drawing["height"] <= frame["height"] + 1
    filters(page)


def filters(page: Any) -> None:
    """A machine, a variant and a layer picked reach charts, tables and titles."""
    page.select_option("#pick-machine", "tpu-v4")
    draw_all(page)
    assert page.inner_text("#causes .title").startswith("Where the time goes: tpu-v4")
    assert "tpu-v1" not in page.inner_text("#time .chart")
    runs = page.query_selector_all("table.sortable:not(#layer-table) >> nth=0 >> tbody tr")
    assert [row.is_visible() for row in runs] == [False, False, True, True]
    page.select_option("#pick-variant", "winograd-f2")
    page.select_option("#pick-layer", "conv5")
    draw_all(page)
    assert page.inner_text("#causes .title") == "Where the time goes: tpu-v4 winograd-f2"
    assert len(page.query_selector_all("#layer-table tbody tr")) == 1
    assert "tpu-v4 winograd-f2" in page.inner_text("#memory-of")
    page.click("#pick-none")
    draw_all(page)
    assert len(page.query_selector_all("#layer-table tbody tr")) == 3


def test_a_mark_picks_and_a_head_sorts(browser: Any, path: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    draw_all(page)
    page.locator("#time .chart .mark-symbol path").nth(3).click()
    draw_all(page)
    assert page.input_value("#pick-machine") == "tpu-v4"
    assert page.input_value("#pick-variant") == "winograd-f2"
    table = page.locator("#layer-table")
    page.click("#pick-none")
    table.locator("th button", has_text="layer").click()
    names = table.locator("tbody tr td:first-child").all_inner_texts()
    table.locator("th button", has_text="layer").click()
    assert table.locator("tbody tr td:first-child").all_inner_texts() == names[::-1]
    table.locator("th button", has_text="multiplications").click()
    counts = table.locator("tbody tr td:nth-child(6)").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.value))"
    )
    assert counts == sorted(counts)
    page.close()
