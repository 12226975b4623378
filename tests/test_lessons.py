"""The lessons: their pages in a real browser, what the pages count against the Python model, and the terminal."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result as Ran
from playwright.sync_api import Browser, Page, sync_playwright

from hwsim.algorithms.winograd import transforms
from hwsim.choose.tiled import run_tiled
from hwsim.cli import main
from hwsim.count.tiling import Tiled, best_tiles, pareto, sweep
from hwsim.describe.machine import load_machine
from hwsim.errors import HwsimError
from hwsim.explore.what_if import BANDWIDTH, MULTIPLIERS, doubled
from hwsim.lessons import products, roofline, winograd
from hwsim.oracle.registers import step_product
from hwsim.report.files import write_folder
from hwsim.report.tables import WIDTH
from hwsim.teach import LESSONS, in_order
from hwsim.teach.content import Command
from hwsim.teach.pages import WEB
from hwsim.teach.questions import check, kinds, question
from hwsim.teach.site import site_files
from hwsim.timing.systolic.folds import Timing
from tests.test_browser import CHROMIUM

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
    else:
        write_folder(folder, site_files(), force=False)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "install chromium (on Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        shown = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield shown
        shown.close()


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
        stepped = step_product(a.astype(float), b.astype(float), stays, 6, 6, Timing())
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
    """hwsim/lessons/roofline.json is written by benchmarks/what_if.py: one machine and two of its changes again."""
    kept, some = roofline.kept()["tpu-v1"]["mobilenet-v1"], (MULTIPLIERS, BANDWIDTH)
    again = roofline.measured("tpu-v1", "mobilenet-v1", some)
    assert again == {
        "layers": kept["layers"],
        "doubled": {what: kept["doubled"][what] for what in some},
    }
    assert list(roofline.kept()) == list(roofline.MACHINES)


@pytest.mark.parametrize("name", ["h200", "tpu-v4", "xeon-8380", "eyeriss-v1"])
def test_each_resource_of_what_if_is_twice_as_good(name: str) -> None:
    machine = load_machine(name)
    for what, better in doubled(machine).items():
        assert better.parts != machine.parts, what
        assert sum(better.parts[part] != machine.parts[part] for part in machine.parts) == 1


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
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
            )  # type: ignore[arg-type]
            shown = context.new_page()
            faults: list[str] = []
            shown.on("console", lambda message, own=faults: own.append(message.text))  # type: ignore[misc]
            shown.on("pageerror", lambda error, own=faults: own.append(str(error)))  # type: ignore[misc]
            shown.on(
                "request",
                lambda request, own=faults: (
                    None
                    if request.url.startswith(("file://", "data:"))
                    else own.append(request.url)
                ),
            )  # type: ignore[misc]
            shown.goto((site / f"{name}.html").as_uri())
            faults += shown.evaluate(STICKS_OUT)
            assert not faults, (width, scheme)
            context.close()


def test_sliders_and_keys_give_the_numbers_of_the_model(site: Path, page: Page) -> None:
    """The tiling page by keyboard alone; what it counts is what Tiled counts; the address keeps it."""
    page.goto((site / "tiling.html").as_uri())
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
    assert "tiling.v1=13" in page.url
    again = page.context.new_page()
    again.goto(page.url)
    assert data(again, "tiling", "executed") == ran
    page.locator('[data-kind="tiling"] [data-name="n"]').focus()
    page.keyboard.press("Home")  # n = 4: tiles that no longer fit their dims shrink with it
    assert data(page, "tiling", "executed")["C"] == 16
    page.get_by_role("button", name="Show the proven best").click()
    assert data(page, "tiling", "best")[3] == best_tiles(4, 4, 4, 256).accesses


def test_the_game_ends_with_the_proven_best(site: Path, page: Page) -> None:
    page.goto((site / "tiling.html").as_uri() + "#tiling.n=48&tiling.budget=64")
    page.get_by_role("button", name="Set the sliders to it").click()
    assert data(page, "tiling", "best")[3] == best_tiles(48, 48, 48, 64).accesses
    assert "least there can be" in page.locator('[data-kind="tiling"]').inner_text()


def test_an_animation_is_stepped_paused_and_linked_to(site: Path, page: Page) -> None:
    """The small product: its loads are the executed ones, a step has an address, Play moves and Pause stops."""
    page.goto((site / "tiling.html").as_uri() + "#touch.loops=ragged&touch.step=17")
    widget = page.locator('[data-kind="touch"]')
    executed = Tiled(8, 8, 8, 3, 3, 2).executed or {}
    assert data(page, "touch", "loads") == {
        "A": executed["A loads"],
        "B": executed["B loads"],
        "C": executed["C stores"],
    }
    assert (
        widget.locator(".say").inner_text().startswith("C[2][2] += A[2][1]")
    )  # 9 products a step of k: the 18th is the last of the first tile
    widget.get_by_role("button", name="Step").click()
    assert "touch.step=18" in page.url
    widget.get_by_role("button", name="Play").click()
    page.wait_for_function("location.hash.includes('touch.step=20')")
    widget.get_by_role("button", name="Pause").click()
    stopped = page.url
    page.wait_for_timeout(400)
    assert page.url == stopped


def test_winograds_page_ends_with_the_direct_result(site: Path, page: Page) -> None:
    for kind in winograd.KINDS:
        page.goto("about:blank")
        page.goto((site / "winograd.html").as_uri() + f"#winograd.tile={kind}")
        direct = np.array(winograd.example(kind)["direct"])
        assert np.allclose(data(page, "winograd", "out"), direct)
        widget = page.locator('[data-kind="winograd"]')
        widget.locator('[data-name="step"]').focus()
        page.keyboard.press("End")
        assert (
            f"{(kind == 'f4' and 36) or 16} multiplications by Winograd"
            in widget.locator(".say").inner_text()
        )


def test_the_other_widgets_state_what_the_model_counts(site: Path, page: Page) -> None:
    page.goto(
        (site / "systolic.html").as_uri()
        + "#systolic.stays=os&systolic.m=3&systolic.n=2&systolic.k=4"
    )
    assert (
        data(page, "systolic", "cycles")
        == step_product(np.ones((3, 4)), np.ones((4, 2)), "os", 4, 4, Timing()).cycles
    )
    page.goto((site / "memories.html").as_uri() + "#memories.tiles=8,8,2")
    total = data(page, "memories", "total")
    tiled = Tiled(16, 16, 16, 8, 8, 2)
    assert total["shared"] == sum(tiled.loads)
    assert total["dma"] == tiled.accesses
    page.goto(
        (site / "roofline.html").as_uri()
        + "#roofline.machine=h200&roofline.network=vgg16&roofline.better=twice+the+multipliers"
    )
    kept = roofline.kept()["h200"]["vgg16"]
    gain = sum(layer[3] for layer in kept["layers"]) / sum(
        us for us, _ in kept["doubled"]["twice the multipliers"]
    )
    assert data(page, "roofline", "gain") == pytest.approx(gain, abs=1e-4)
    page.goto((site / "products.html").as_uri() + "#matrices.step=11")  # filter 1, output (0, 2)
    assert data(page, "matrices", "value") == products.small_example()["outputs"][1][0][2]
    page.goto(
        (site / "reuse.html").as_uri() + "#reuse.word=activation&reuse.n=1&reuse.k=3&reuse.step=12"
    )
    assert (
        data(page, "reuse", "uses") == 9 * 3
    )  # the word in the middle: nine windows, three filters


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


def test_the_terminal_and_the_page_show_the_same_tables(site: Path) -> None:
    """Every cell of a table in the terminal stands on the page too."""
    page = re.sub(r"<[^>]+>", " ", (site / "systolic.html").read_text(encoding="utf-8"))
    numbers = re.findall(r"\b\d[\d,.]*\b", run("teach", "systolic").output)
    missing = [number for number in numbers if number.rstrip(".,") not in page]
    assert not missing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["teach", "tilling"], "did you mean 'tiling'"),
        (["teach", "tiling", "--site", "x"], "the site has all lessons"),
        (["teach", "--open"], "expected --site FOLDER"),
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
    """What the lessons say to try, each once."""
    found: dict[str, None] = {}
    for name in in_order():
        for step in LESSONS[name].steps():
            found.update((block.line, None) for block in step.blocks if isinstance(block, Command))
    return list(found)


@pytest.mark.slow
def test_every_command_of_the_lessons_runs() -> None:
    """Those that validate run in the tests of hwsim validate."""
    for line in lesson_commands():
        program, *arguments = shlex.split(line)
        assert program == "hwsim"
        if arguments[0] != "validate":
            ran = run(*arguments)
            assert ran.exit_code == 0, (line, ran.output)
