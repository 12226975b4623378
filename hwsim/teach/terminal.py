"""A lesson in a terminal of 80 columns."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from functools import singledispatch

from hwsim.report.drawing import lengths, number_text, title_text
from hwsim.report.text_table import LAST, WIDTH, text_table
from hwsim.teach.content import (
    Bars,
    Block,
    Code,
    Command,
    Lesson,
    Loops,
    Problem,
    Step,
    Table,
    Widget,
)

BAR = 30  # characters of the longest


def pages(lesson: Lesson, colour: bool) -> Iterator[str]:
    """The lesson's parts as text, one at a time: its question, its steps, its problems."""
    yield markdown(f"# {lesson.title}\n\n*{lesson.question}*", colour)
    for number, step in enumerate(lesson.steps(), start=1):
        yield step_text(number, step, colour)
    yield problems_text(lesson.problems(), colour)


def step_text(number: int, step: Step, colour: bool) -> str:
    parts = [markdown(f"## {number}. {step.title}\n\n{step.text}", colour)]
    parts += [block_text(block) for block in step.blocks]
    return "\n\n".join(part for part in parts if part)


def problems_text(problems: tuple[Problem, ...], colour: bool) -> str:
    """Questions first, then the answers."""
    asked = [f"{number}. {problem.question}" for number, problem in enumerate(problems, start=1)]
    told = [f"{number}. {problem.answer}" for number, problem in enumerate(problems, start=1)]
    body = "\n".join(["## Problems", "", *asked, "", "## Answers", "", *told])
    return markdown(body, colour)


def markdown(text: str, colour: bool) -> str:
    """Markdown at the terminal's width."""
    from rich.console import Console
    from rich.markdown import Markdown

    to = io.StringIO()
    console = Console(
        file=to, width=WIDTH, force_terminal=colour, no_color=not colour, highlight=False
    )
    console.print(Markdown(text, hyperlinks=False))
    return "\n".join(line.rstrip() for line in to.getvalue().strip("\n").splitlines())


@singledispatch
def block_text(block: Block) -> str:
    """One block as text."""
    raise TypeError(f"no text for {type(block).__name__}")


@block_text.register
def _(block: Loops) -> str:
    left, right = ["before:", *block.before.splitlines()], ["after:", *block.after.splitlines()]
    gap = max(map(len, left)) + 4
    if gap + max(map(len, right)) > WIDTH:
        return "\n".join([*left, "", *right])
    rows = max(len(left), len(right))
    left += [""] * (rows - len(left))
    right += [""] * (rows - len(right))
    return "\n".join(f"{a:<{gap}}{b}".rstrip() for a, b in zip(left, right, strict=True))


@block_text.register
def _(block: Code) -> str:
    return textwrap.indent(block.text, "  ")


@block_text.register
def _(block: Table) -> str:
    table = text_table(block.head, [list(row) for row in block.rows], left=block.left)
    return "\n\n".join([table, *_caption(block.caption)])


@block_text.register
def _(block: Bars) -> str:
    share, many, rows = lengths(block), len(block.values) > 1, []
    for number, label in enumerate(block.labels):
        shown = [(series, row[number]) for series, row in block.values.items()]
        for place, (series, value) in enumerate((s, v) for s, v in shown if v is not None):
            bar = "#" * max(1, round(BAR * share(value)))
            name = label if place == 0 else ""
            rows.append([name, *([series] if many else []), number_text(value), bar])
    head = ["", *([""] if many else []), block.unit, ""]
    title = "\n".join(textwrap.wrap(title_text(block), WIDTH))
    table = text_table(head, rows, left=1 + many, wrapped=LAST)
    return "\n\n".join([title, table, *_caption(block.caption)])


@block_text.register
def _(block: Command) -> str:
    lines = textwrap.wrap(block.line, WIDTH - 8, break_on_hyphens=False, break_long_words=False)
    return "  $ " + " \\\n      ".join(lines)


@block_text.register
def _(block: Widget) -> str:
    return block.text()


def _caption(text: str) -> list[str]:
    return ["\n".join(textwrap.wrap(text, WIDTH))] if text else []
