"""The lessons: their pages in a real browser, what the pages count against the Python model, and the terminal."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shlex
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result as Ran
from playwright.sync_api import Browser, Page

from hwsim.algorithms.winograd import transforms
from hwsim.choose.tiled import run_tiled
from hwsim.cli import main
from hwsim.count.tiling import Tiled, best_tiles, pareto, sweep
from hwsim.describe.machine import load_machine
from hwsim.errors import HwsimError
from hwsim.lessons import ladder, products, roofline, tiling, winograd
from hwsim.oracle.registers import step_product
from hwsim.parts.doubled import BANDWIDTH, MEMORY, MULTIPLIERS, PORTS, START, doubled
from hwsim.parts.dram import Dram
from hwsim.report.files import write_folder
from hwsim.report.text_table import WIDTH
from hwsim.teach import LESSONS, in_order
from hwsim.teach.pages import WEB
from hwsim.teach.questions import check, kinds, question
from hwsim.teach.site import site_files
from hwsim.timing.systolic.folds import FoldRules

STEPS = {
    name: re.findall(
        r"yield Step\(",
        Path(sys.modules[type(LESSONS[name]).__module__].__file__ or "").read_text(),
    )
    for name in LESSONS
}
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
ASKS_FOR = re.compile(r"https?://|@import|url\((?!data:)|fetch\(|XMLHttpRequest|WebSocket")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once for all workers: the first makes it, others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, begun = shared / "lessons", shared / "lessons-begun"
    try:
        begun.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 300
        while not folder.exists() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert folder.exists(), "the other worker did not make the site"
    else:
        write_folder(folder, site_files(), force=False)
    return folder


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails its test for any error in its console."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    shown = context.new_page()
    faults: list[str] = []
    shown.on(
        "console",
        lambda message: (
            faults.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    shown.on("pageerror", lambda error: faults.append(str(error)))
    yield shown
    context.close()
    assert not faults


@pytest.fixture
def counting(page: Page) -> Page:
    """An empty page with what the lessons' pages count by."""
    page.set_content("<main></main>")
    for name in ("hwsim.js", "counting.js", "systolic.js", "reuse.js"):
        page.add_script_tag(path=str(WEB / name))
    return page


def visit(page: Page, address: str) -> None:
    """Load a page afresh.

    From a page to itself at another `#setting`, Chromium only says that the hash changed, and the
    page loads itself anew some time later: until then it shows the setting before.
    """
    page.goto("about:blank")
    page.goto(address)


def data(page: Page, kind: str, name: str) -> Any:
    """What a widget of the page states of itself."""
    value = page.locator(f'[data-kind="{kind}"]').get_attribute(f"data-{name}")
    assert value is not None
    return json.loads(value)


def run(*arguments: str) -> Ran:
    return CliRunner().invoke(main, list(arguments))


# ---- what the pages count, against the Python model


def test_the_pages_count_tiles_as_the_model_does(counting: Page) -> None:
    """Formulas, the closed form and the executed loops, on random products and tiles, ragged ones included."""
    rng = random.Random(5)
    for _ in range(60):
        n = rng.choice([1, 2, 3, 5, 8, 13, 16, 24])
        v1, v2, v3 = (rng.randint(1, n) for _ in range(3))
        tiled = Tiled(n, n, n, v1, v2, v3)
        exact, ran, formulas = counting.evaluate(
            "([n, a, b, c]) => [counting.exact(n, a, b, c), counting.execute(n, a, b, c), counting.formulas(n, a, b, c)]",
            [n, v1, v2, v3],
        )
        words = {
            "A": "A loads",
            "B": "B loads",
            "C": "C stores",
            "ra": "A registers",
            "rb": "B registers",
            "rc": "C registers",
        }
        assert {words[name]: value for name, value in ran.items()} == tiled.executed == tiled.closed
        assert {words[name]: value for name, value in exact.items()} == {
            name: tiled.closed[name] for name in ("A loads", "B loads", "C stores")
        }
        assert {words[name]: value for name, value in formulas.items()} == pytest.approx(
            {name: value for name, (_, value) in tiled.formulas.items()}
        )


def test_the_page_sweeps_and_finds_the_best_as_the_model_does(counting: Page) -> None:
    """The same points for powers of two; and the tiles of least traffic for any budget."""
    found = counting.evaluate("counting.sweep(16)")
    ours = sweep(16, 16, 16)
    powers = {1, 2, 4, 8, 16}
    same = [tiled for tiled in ours if {tiled.v1, tiled.v2, tiled.v3} <= powers]
    assert sorted(map(tuple, found)) == sorted(
        (t.v1, t.v2, t.v3, t.footprint, t.accesses) for t in same
    )
    assert [point[3:] for point in counting.evaluate("counting.pareto(counting.sweep(16))")] == [
        [t.footprint, t.accesses] for t in pareto(same)
    ]
    for n, budget in ((16, 30), (20, 3), (24, 77), (48, 256), (64, 1024), (12, 10_000)):
        best = counting.evaluate("([n, budget]) => counting.best(n, budget)", [n, budget])
        assert best["moved"] == best_tiles(n, n, n, budget).accesses


@pytest.mark.parametrize("n", [12, 16, 24, 40, 64])
def test_the_pages_cache_misses_what_the_simulated_one_does(counting: Page, n: int) -> None:
    """Line by line, tiles in registers or not: misses of each array and lines written back on toy-cpu."""
    machine, rng = load_machine("toy-cpu"), random.Random(n)
    sizes = {
        "capacity": 4096,
        "line": 64,
        "ways": 4,
        "registers": machine.memories["registers"].capacity // 4,
    }
    for _ in range(6):
        tiles = [rng.randint(1, n) for _ in range(3)]
        page = counting.evaluate(
            "([n, a, b, c, machine]) => counting.onCache(n, a, b, c, machine)", [n, *tiles, sizes]
        )
        (stage,) = run_tiled(Tiled(n, n, n, *tiles), machine).online
        dram = stage.accesses["dram"]
        assert page["missed"] == [dram[name].reads for name in "ABC"], tiles
        assert page["writebacks"] == sum(access.writes for access in dram.values())


@pytest.mark.parametrize("stays", ["ws", "os", "is"])
def test_the_pages_array_steps_as_the_oracle_does(counting: Page, stays: Any) -> None:
    """The product, the cycles until its last result has left, and the multiplications, one fold at a time."""
    dice, rng = np.random.default_rng(1), random.Random(1)
    for _ in range(25):
        m, n, k = (rng.randint(1, 6) for _ in range(3))
        a, b = dice.integers(-4, 5, (m, k)), dice.integers(-4, 5, (k, n))
        shown = counting.evaluate(
            "([a, b, s]) => { const r = counting.systolic(a, b, s); return [r.values, r.cycles.length, r.cycles.reduce((sum, c) => sum + c.work, 0)]; }",
            [a.tolist(), b.tolist(), stays],
        )
        stepped = step_product(a.astype(float), b.astype(float), stays, 6, 6, FoldRules())
        assert np.array_equal(shown[0], a @ b)
        assert shown[1:] == [stepped.cycles, stepped.products]


def test_the_page_finds_every_use_of_a_word(counting: Page) -> None:
    """Uses of each word, against a walk through all the products of the convolution."""
    shape = {"n": 2, "c": 2, "k": 3, "h": 5, "r": 3}
    p = 3
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for n, k, y, x, c, r, s in np.ndindex(2, 3, p, p, 2, 3, 3):
        for key in (
            ("activation", (n, c, y + r, x + s)),
            ("weight", (k, c, r, s)),
            ("sum", (n, k, y, x)),
        ):
            found[key] = found.get(key, 0) + 1
    for (kind, at), uses in found.items():
        assert (
            len(
                counting.evaluate(
                    "([shape, kind, at]) => counting.uses(shape, kind, at)", [shape, kind, list(at)]
                )
            )
            == uses
        )


def test_the_toys_matrices_are_those_of_the_lecture() -> None:
    half, made = Fraction(1, 2), transforms(3, 2)
    assert made.b_t == ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))  # type: ignore[comparison-overlap,unused-ignore]
    assert made.g == ((1, 0), (half, half), (half, -half), (0, 1))  # type: ignore[comparison-overlap,unused-ignore]
    assert made.a_t == ((1, 1, 1, 0), (0, 1, -1, 0), (0, 1, 1, 1))  # type: ignore[comparison-overlap,unused-ignore]


def test_what_the_roofline_lesson_keeps_is_what_is_simulated_now() -> None:
    """hwsim/lessons/roofline.json is written by benchmarks/what_if.py: one machine and one of its changes again."""
    kept, some = roofline.kept()["tpu-v1"]["mobilenet-v1"], (BANDWIDTH,)
    again = roofline.measured("tpu-v1", "mobilenet-v1", some)
    assert again == {
        "layers": kept["layers"],
        "doubled": {what: kept["doubled"][what] for what in some},
    }
    assert list(roofline.kept()) == [*roofline.MACHINES, *roofline.OTHERS]


@pytest.mark.parametrize("name", ["h200", "tpu-v4", "xeon-8380", "eyeriss-v1"])
def test_each_resource_of_what_if_is_twice_as_good(name: str) -> None:
    """The multipliers, what DRAM moves a second, scratchpads or the largest cache, or what it takes to start; nothing else."""
    machine = load_machine(name)
    better = doubled(machine)
    for what, other in better.items():
        changed = {part for part in machine.parts if other.parts[part] != machine.parts[part]}
        if what == MEMORY and machine.management == "explicit":
            assert changed == machine.memories.keys() - {machine.dram_name}
        elif what != PORTS:
            assert len(changed) == 1, what
    peaks = [
        each.compute.peak_macs_per_cycle(machine.dtype) for each in (machine, better[MULTIPLIERS])
    ]
    assert peaks[1] == 2 * peaks[0]
    dram = [each.part(machine.dram_name, Dram) for each in (machine, better[BANDWIDTH])]
    assert dram[1].bandwidth.value == 2 * dram[0].bandwidth.value
    assert dram[0].timing is None or dram[1].channels == 2 * dram[0].channels
    for level, memory in better[MEMORY].memories.items():
        before = machine.memories[level]
        assert memory == before or memory.capacity == 2 * before.capacity
    largest = [
        max(
            memory.capacity for level, memory in each.memories.items() if level != machine.dram_name
        )
        for each in (machine, better[MEMORY])
    ]
    assert largest[1] == 2 * largest[0]
    starts = [
        each.compute.launch_cycles(each.clock_hz)
        or each.part(machine.dram_name, Dram).latency.cycles(each.clock_hz)
        for each in (machine, better[START])
    ]
    assert starts[1] == starts[0] / 2


# ---- the site


def test_the_site_asks_for_nothing_and_is_small(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not ASKS_FOR.search(text), path.name
    index = (site / "index.html").read_text(encoding="utf-8")
    for name in in_order():
        assert f'href="{name}.html"' in index
        page = (site / f"{name}.html").read_text(encoding="utf-8")
        assert page.count("<details>") == 2  # two problems, their answers folded
        assert LESSONS[name].question.replace("'", "&#39;") in page
        for step in LESSONS[name].topics.values():
            assert f'<h2 id="step{step}">' in page


STICKS_OUT = """() => {
  const faults = [], wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
  const hidden = (node) => node.closest('.scroll, pre, .board');
  for (const node of document.querySelectorAll('main *, nav *')) {
    const box = node.getBoundingClientRect();
    if (!box.width || hidden(node)) continue;
    if (box.right > wide + 1 || box.left < -1) faults.push(`${node.tagName} sticks out: ${node.textContent.slice(0, 40)}`);
  }
  for (const drawing of document.querySelectorAll('svg')) {
    const frame = drawing.getBoundingClientRect();
    const texts = [...drawing.querySelectorAll('text')].filter((text) => text.textContent.trim());
    const boxes = texts.map((text) => text.getBoundingClientRect());
    boxes.forEach((box, at) => {
      if (box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2 || box.bottom > frame.bottom + 3)
        faults.push(`cut: ${texts[at].textContent}`);
      for (let other = 0; other < at; other++) {
        const wide = Math.min(box.right, boxes[other].right) - Math.max(box.left, boxes[other].left);
        const high = Math.min(box.bottom, boxes[other].bottom) - Math.max(box.top, boxes[other].top);
        if (wide > 3 && high > 5) faults.push(`${texts[other].textContent} and ${texts[at].textContent} overlap`);
      }
    });
  }
  return faults.slice(0, 8);
}"""


@pytest.mark.parametrize("name", ["index", *in_order()])
def test_nothing_is_cut_and_nothing_is_asked_for(site: Path, browser: Browser, name: str) -> None:
    """At both widths, light and dark: no error, no request, no text cut, none over another; also with motion reduced."""
    for width, height in SIZES.values():
        context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce"
        )
        shown = context.new_page()
        faults: list[str] = []
        shown.on("console", lambda message, own=faults: own.append(message.text))  # type: ignore[misc]
        shown.on("pageerror", lambda error, own=faults: own.append(str(error)))  # type: ignore[misc]
        shown.on("request", lambda request, own=faults: own.append(request.url))  # type: ignore[misc]
        visit(shown, (site / f"{name}.html").as_uri())
        for scheme in ("light", "dark"):
            shown.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            faults += shown.evaluate(STICKS_OUT)
        asked = [fault for fault in faults if not fault.startswith(("file://", "data:"))]
        assert not asked, width
        context.close()


def test_sliders_and_keys_give_the_numbers_of_the_model(site: Path, page: Page) -> None:
    """The tiling page by keyboard alone; what it counts is what Tiled counts; the address keeps it."""
    visit(page, (site / "tiling.html").as_uri())
    slider = page.locator('[data-kind="tiling"] [data-name="v1"]')
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    tiled = Tiled(64, 64, 64, 13, 8, 4)
    assert tiled.executed is not None
    ran = data(page, "tiling", "executed")
    assert [ran["A"], ran["B"], ran["C"]] == [
        tiled.executed[name] for name in ("A loads", "B loads", "C stores")
    ]
    assert f"{tiled.executed['A loads']:,}" in page.locator('[data-kind="tiling"]').inner_text()
    page.wait_for_url("**#tiling.v1=13")
    again = page.context.new_page()
    visit(again, page.url)
    assert data(again, "tiling", "executed") == ran
    page.locator('[data-kind="tiling"] [data-name="n"]').focus()
    page.keyboard.press("Home")  # n = 4: tiles that no longer fit their dims shrink with it
    assert data(page, "tiling", "executed")["C"] == 16
    page.get_by_role("button", name="Show the proven best").click()
    assert data(page, "tiling", "best")[3] == best_tiles(4, 4, 4, 256).accesses


def test_the_game_ends_with_the_proven_best(site: Path, page: Page) -> None:
    visit(page, (site / "tiling.html").as_uri() + "#tiling.n=48&tiling.budget=64")
    page.get_by_role("button", name="Set the sliders to it").click()
    assert data(page, "tiling", "best")[3] == best_tiles(48, 48, 48, 64).accesses
    assert "least there can be" in page.locator('[data-kind="tiling"]').inner_text()


def test_an_animation_is_stepped_paused_and_linked_to(site: Path, page: Page) -> None:
    """The small product: its loads are the executed ones, a step has an address, Play moves and Pause stops."""
    visit(page, (site / "tiling.html").as_uri() + "#touch.loops=ragged&touch.step=17")
    widget = page.locator('[data-kind="touch"]')
    executed = Tiled(8, 8, 8, 3, 3, 2).executed or {}
    assert data(page, "touch", "loads") == {
        "A": executed["A loads"],
        "B": executed["B loads"],
        "C": executed["C stores"],
    }
    # 9 products a step of k: the 18th is the last of the first tile
    assert widget.locator(".say").inner_text().startswith("C[2][2] += A[2][1]")
    widget.get_by_role("button", name="Step").click()
    page.wait_for_url("**touch.step=18*")
    widget.get_by_role("button", name="Play").click()
    page.wait_for_function("Number(/touch.step=(\\d+)/.exec(location.hash)?.[1]) >= 20")
    widget.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(400)  # the address is written a moment after
    stopped = page.url
    page.wait_for_timeout(600)
    assert page.url == stopped


def test_winograds_page_ends_with_the_direct_result(site: Path, page: Page) -> None:
    for kind in winograd.KINDS:
        visit(page, (site / "winograd.html").as_uri() + f"#winograd.tile={kind}")
        direct = np.array(winograd.example(kind)["direct"])
        assert np.allclose(data(page, "winograd", "out"), direct)
        widget = page.locator('[data-kind="winograd"]')
        widget.locator('[data-name="step"]').focus()
        page.keyboard.press("End")
        assert (
            f"{(kind == 'f4' and 36) or 16} multiplications by Winograd"
            in widget.locator(".say").inner_text()
        )


def plain_cache(n: int, v1: int, v2: int, v3: int) -> list[int]:
    """Look-ups, misses, hits and words of a cache of 16 lines, 4 ways, whose lines are rows of n words: lists, least recently used first."""
    sets: list[list[int]] = [[] for _ in range(4)]
    looked = missed = 0
    last: dict[str, tuple[int, ...]] = {}

    def look(line: int) -> None:
        nonlocal looked, missed
        held = sets[line % 4]
        looked += 1
        missed += line not in held
        held[:] = [*(other for other in held if other != line), line][-4:]

    for i, j, k in itertools.product(range(0, n, v1), range(0, n, v2), range(0, n, v3)):
        rows, deep = range(i, min(n, i + v1)), range(k, min(n, k + v3))
        if last.get("A") != (i, k):
            for row in rows:
                look(row)
        if last.get("B") != (k, j):
            for row in deep:
                look(n + row)
        if "C" in last and last["C"] != (i, j):
            for row in range(last["C"][0], min(n, last["C"][0] + v1)):
                look(2 * n + row)
        last = {"A": (i, k), "B": (k, j), "C": (i, j)}
    for row in range(last["C"][0], min(n, last["C"][0] + v1)):
        look(2 * n + row)
    return [looked, missed, looked - missed, missed * n]


def test_links_lead_to_steps_and_settings(site: Path, page: Page) -> None:
    """A topic of the index scrolls to its step and keeps its address; a setting pasted into an open page is taken; a broken one is not."""
    visit(page, (site / "tiling.html").as_uri() + "#step5")
    page.wait_for_timeout(400)
    assert page.url.endswith("#step5")
    assert page.evaluate(
        "document.getElementById('step5').getBoundingClientRect().top"
    ) == pytest.approx(0, abs=2)
    page.evaluate("location.hash = '#tiling.v1=24'")
    page.wait_for_function("document.querySelector('[data-name=v1]')?.value === '23'")
    page.wait_for_function(
        "Math.abs(document.querySelector('[data-kind=tiling]').getBoundingClientRect().top) < 3"
    )
    visit(
        page,
        (site / "tiling.html").as_uri() + "#touch.step=1.5&touch.loops=constructor&tiling.n=-3",
    )
    assert data(page, "tiling", "executed")["C"] == 16  # the nearest n that there is


def test_the_other_widgets_state_what_the_model_counts(site: Path, page: Page) -> None:
    visit(
        page,
        (site / "systolic.html").as_uri()
        + "#systolic.stays=os&systolic.m=3&systolic.n=2&systolic.k=4",
    )
    assert (
        data(page, "systolic", "cycles")
        == step_product(np.ones((3, 4)), np.ones((4, 2)), "os", 4, 4, FoldRules()).cycles
    )
    visit(page, (site / "memories.html").as_uri() + "#memories.tiles=8,8,2")
    total = data(page, "memories", "total")
    tiled = Tiled(16, 16, 16, 8, 8, 2)
    assert total["shared"] == sum(tiled.loads)
    assert total["dma"] == tiled.accesses
    assert [total[name] for name in ("looked", "missed", "hits", "dram")] == plain_cache(
        16, 8, 8, 2
    )
    visit(
        page,
        (site / "roofline.html").as_uri()
        + "#roofline.machine=h200&roofline.network=vgg16&roofline.better=twice+the+multipliers",
    )
    kept = roofline.kept()["h200"]["vgg16"]
    gain = sum(layer[3] for layer in kept["layers"]) / sum(
        us for us, _ in kept["doubled"]["twice the multipliers"]
    )
    assert data(page, "roofline", "gain") == pytest.approx(gain, abs=1e-4)
    visit(page, (site / "products.html").as_uri() + "#matrices.step=11")  # filter 1, output (0, 2)
    assert data(page, "matrices", "value") == products.small_example()["outputs"][1][0][2]
    visit(
        page,
        (site / "reuse.html").as_uri() + "#reuse.word=activation&reuse.n=1&reuse.k=3&reuse.step=12",
    )
    # the word in the middle: nine windows, three filters
    assert data(page, "reuse", "uses") == 9 * 3


# ---- what the text says of the tables


def test_the_text_of_the_tiling_lesson_is_true() -> None:
    """4, 4, 4 at n = 64 and 48: the scratchpad moves 11 and 8 times the least, the cache 26 and 10; the front has square tiles, v3 = 1."""
    machine, found = load_machine("toy-cpu"), []
    for n in (64, 48):
        tiled = Tiled(n, n, n, 4, 4, 4)
        found += [
            round(tiled.accesses / (3 * n * n)),
            round(run_tiled(tiled, machine).dram_bytes / 4 / (3 * n * n)),
        ]
    assert found == [11, 26, 8, 10]
    front = [tiled for tiled in pareto(sweep(1024, 1024, 1024)) if tiled.footprint < 300_000]
    assert all(tiled.v3 == 1 and tiled.v2 in (tiled.v1, 2 * tiled.v1) for tiled in front)
    squares = [tiled for tiled in front if tiled.v1 == tiled.v2][:-2]
    assert all(
        later.accesses / first.accesses == pytest.approx(0.5, abs=0.07)
        for first, later in itertools.pairwise(squares)
    )
    rows = tiling._tiled_rows()
    assert len(rows) == 48
    for row in rows:
        loads = sum(Tiled(row["M"], row["N"], row["K"], row["BM"], row["BN"], row["BK"]).loads)
        assert loads == row["l1_global_load_sectors"] * tiling.SECTOR_WORDS


def test_the_text_of_the_ladder_is_true() -> None:
    """Measured: a seventh of the library's speed at first, ten times fewer words, a quarter of the warps; on the core, what longer rows bring."""
    rungs = list(ladder.rungs().values())
    assert ladder._library_us("fp32") / (rungs[0]["time_ns"] / 1e3) == pytest.approx(1 / 7, rel=0.1)
    assert rungs[0]["l1_global_load_sectors"] == 10 * rungs[1]["l1_global_load_sectors"]
    assert rungs[-1]["occupancy_pct"] == pytest.approx(25, abs=2)
    gains = [
        ladder._on_core(opt, "ijk", 0)[0] / ladder._on_core(opt, "ijk", 0, longer=True)[0]
        for opt in (ladder.SCALAR, ladder.VECTOR)
    ]  # type: ignore[index]
    assert gains == [pytest.approx(1.8, abs=0.05), pytest.approx(3.8, abs=0.05)]
    tiled = [
        ladder._on_core(opt, "tiled", tile)[0]
        for opt in (ladder.SCALAR, ladder.VECTOR)
        for tile in (8, 32, 128)
    ]  # type: ignore[index]
    plain = [
        ladder._on_core(opt, "ikj", 0)[0]
        for opt in (ladder.SCALAR, ladder.VECTOR)
        for _ in range(3)
    ]  # type: ignore[index]
    assert all(time > best for time, best in zip(tiled, plain, strict=True))


def test_the_text_of_the_roofline_lesson_is_true() -> None:
    """Who wants what: of each machine and network, the change that helps most; and memory on the chip helps by 4% at most."""
    best, most_of_memory = {}, 1.0
    for machine in roofline.MACHINES:
        for network, run in roofline.kept()[machine].items():
            gains = {
                what: sum(layer[3] for layer in run["layers"]) / sum(us for us, _ in times)
                for what, times in run["doubled"].items()
            }
            best[machine, network] = max(gains, key=lambda what: gains[what])
            if (machine, network) == ("h200", "mobilenet-v1"):
                assert max(gains.values()) < 1.05
            most_of_memory = max(most_of_memory, gains[MEMORY])
    assert most_of_memory == pytest.approx(1.035, abs=0.002)
    vgg = {machine: what for (machine, network), what in best.items() if network == "vgg16"}
    assert vgg == {
        **dict.fromkeys(("h200", "xeon-8380", "cortex-a76"), MULTIPLIERS),
        **dict.fromkeys(("tpu-v1", "tpu-v4", "edge-tpu"), BANDWIDTH),
    }
    mobile = {machine: what for (machine, network), what in best.items() if network != "vgg16"}
    assert mobile == {
        **dict.fromkeys(("h200", "tpu-v1", "tpu-v4", "edge-tpu", "cortex-a76"), MULTIPLIERS),
        "xeon-8380": BANDWIDTH,
    }


def test_the_table_of_the_lecture_names_steps_that_there_are() -> None:
    """docs/teaching.md: every lesson and step of its table exists, and every lesson is in it."""
    text = (Path(__file__).parent.parent / "docs" / "teaching.md").read_text(encoding="utf-8")
    text = text.partition("|---|---|")[2].partition("## ")[0]
    named = re.findall(r"^\| [^|]+ \| (\w+), ([^|]+) \|$", text, re.M)
    assert {name for name, _ in named} == set(LESSONS)
    for name, steps in named:
        numbers = [int(number) for number in re.findall(r"\b(\d)\b", steps)]
        assert numbers and max(numbers) <= len(STEPS[name]), name


# ---- the terminal


def test_teach_lists_and_shows_within_the_terminals_width() -> None:
    listed = run("teach").output
    assert all(name in listed for name in LESSONS)
    shown = run("teach", "tiling").output
    assert max(map(len, shown.splitlines())) <= WIDTH
    tiled = Tiled(64, 64, 64, 8, 8, 4)
    assert f"{tiled.closed['A loads']:,}" in shown and "Answers" in shown
    for line in run(
        "tile", "--n", "64", "--tiles", "8,8,4", "--machine", "toy-cpu"
    ).output.splitlines():
        assert line in shown  # the lesson shows what the command prints


@pytest.mark.parametrize("name", ["systolic", "reuse", "memories"])
def test_the_terminal_and_the_page_show_the_same_tables(site: Path, name: str) -> None:
    """Row by row: the cells of every table on the page are a line in the terminal."""
    page = (site / f"{name}.html").read_text(encoding="utf-8")
    lines = {" ".join(line.split()) for line in run("teach", name).output.splitlines()}
    rows = [
        " ".join(unescape(" ".join(re.findall(r"<td[^>]*>([^<]*)</td>", row))).split())
        for row in re.findall(r"<tr>(.*?)</tr>", page)
    ]
    assert len(rows) > 8
    assert not [row for row in rows if row and row not in lines]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["teach", "tilling"], "did you mean 'tiling'"),
        (["teach", "tiling", "--site", "x"], "--site is not of one lesson"),
        (["teach", "tiling", "--ask", "roofline"], "--ask is not of one lesson"),
        (["teach", "--site", "x", "--ask", "roofline"], "expected one of them"),
        (["teach", "--open"], "expected --site FOLDER"),
        (["teach", "tiling", "--force"], "expected --site FOLDER"),
        (["teach", "--answer", "3"], "expected --ask KIND"),
        (["teach", "tiling", "--seed", "3"], "expected --ask KIND"),
        (["teach", "--ask", "roofline", "--answer", "nan"], "expected a number"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], message: str) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert message in ran.output


@pytest.mark.parametrize("kind", kinds())
def test_questions_are_fresh_and_their_answers_right(kind: str) -> None:
    """Another one for each seed, the same for the same; the answer is told from a wrong one."""
    asked = [question(kind, seed) for seed in range(6)]
    assert question(kind, 0) == asked[0]
    assert len({one.text for one in asked}) > 1
    for one in asked:
        verdict = check(one.answer, one)
        assert verdict.right and one.working in str(verdict)
        wrong: Any = (
            next(choice for choice in one.choices if choice != one.answer)
            if one.choices
            else float(one.answer) * 1.1
        )
        assert not check(wrong, one)
        with pytest.raises(HwsimError, match="expected"):
            check("seven" if one.choices else "many", one)


def test_a_question_is_asked_and_answered_in_the_terminal() -> None:
    assert "How many words of" in run("teach", "--ask", "tile-loads", "--seed", "3").output
    answer = question("tile-loads", 3).answer
    assert run(
        "teach", "--ask", "tile-loads", "--seed", "3", "--answer", f"{answer:,}"
    ).output.startswith("Right.")
    assert run("teach", "--ask", "tile-loads", "--seed", "3", "--answer", "7").output.startswith(
        "No: 7 is"
    )
    assert "did you mean 'tile-loads'" in run("teach", "--ask", "tile-load").output


def lesson_commands() -> list[str]:
    """What the lessons say to try, each once, read off their files."""
    found: dict[str, None] = {}
    for name in in_order():
        source = Path(sys.modules[type(LESSONS[name]).__module__].__file__ or "")
        lines = re.findall(r'Command\(\s*((?:"[^"]*"\s*)+)', source.read_text(encoding="utf-8"))
        found.update(("".join(re.findall(r'"([^"]*)"', line)), None) for line in lines)
    return list(found)


@pytest.mark.slow
def test_every_command_of_the_lessons_runs() -> None:
    """Those that validate run in the tests of hwsim validate."""
    assert len(lesson_commands()) > 20
    for line in lesson_commands():
        program, *arguments = shlex.split(line)
        assert program == "hwsim"
        if arguments[0] != "validate":
            ran = run(*arguments)
            assert ran.exit_code == 0, (line, ran.output)


def test_half_the_latency_is_of_the_start_too() -> None:
    """On a chip that takes 1.5 ms to start, nothing was said to help."""
    machine = load_machine("edge-tpu")
    assert machine.start is not None
    sooner = doubled(machine)[START]
    assert sooner.start == machine.start.halved()
