"""A lesson as a page of HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import singledispatch
from html import escape
from pathlib import Path
from typing import Any

from hwsim.errors import UnknownName
from hwsim.report.drawing import bars
from hwsim.teach.content import Bars, Block, Code, Command, Lesson, Loops, Step, Table, Widget

WEB = Path(__file__).with_name("web")
Beside = dict[str, tuple[str, str] | None]
BASE = ("hwsim.js", "counting.js")  # of every page with a widget


def markdown(text: str) -> str:
    """Markdown as HTML."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def inline(text: str) -> str:
    """Markdown of one line, without a paragraph around it."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).renderInline(text))


def template(name: str) -> Any:
    """A page's template."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(markdown=markdown)
    return environment.get_template(name)


def lesson_page(lesson: Lesson, steps: list[Step], beside: Beside) -> str:
    """The whole page. beside: file and title of the lessons before and after."""
    kinds = dict.fromkeys(
        block.kind for step in steps for block in step.blocks if isinstance(block, Widget)
    )
    scripts = [*BASE, *(f"{kind}.js" for kind in kinds)] if kinds else []
    shown = [(step, [block_html(block) for block in step.blocks]) for step in steps]
    return str(
        template("lesson.html.j2").render(
            lesson=lesson, steps=shown, problems=lesson.problems(), scripts=scripts, beside=beside
        )
    )


@singledispatch
def block_html(block: Block) -> str:
    """One block as HTML."""
    raise TypeError(f"no page for {type(block).__name__}")


@block_html.register
def _(block: Loops) -> str:
    sides = (("before", block.before), ("after", block.after))
    return f'<div class="loops">{"".join(_listing(*side) for side in sides)}</div>'


def _listing(title: str, text: str) -> str:
    return f'<div><p class="label">{title}</p>{_code(text, f"loops {title}")}</div>'


def _code(text: str, label: str) -> str:
    return f'<pre tabindex="0" role="region" aria-label="{label}">{escape(text)}</pre>'


@block_html.register
def _(block: Code) -> str:
    return _code(block.text, "code")


@block_html.register
def _(block: Table) -> str:
    head = "".join(_cell("th", cell, column, block) for column, cell in enumerate(block.head))
    rows = "".join(
        f"<tr>{''.join(_cell('td', cell, column, block) for column, cell in enumerate(row))}</tr>"
        for row in block.rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    caption = f"<figcaption>{inline(block.caption)}</figcaption>" if block.caption else ""
    label = escape(", ".join(block.head))
    scroll = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>'
    return f'<figure class="table">{scroll}{caption}</figure>'


def _cell(tag: str, text: str, column: int, block: Table) -> str:
    words = ' class="words"' if column < block.left else ""
    scope = ' scope="col"' if tag == "th" else ""
    return f"<{tag}{scope}{words}>{escape(text)}</{tag}>"


@block_html.register
def _(block: Bars) -> str:
    caption = f"<figcaption>{inline(block.caption)}</figcaption>" if block.caption else ""
    return f'<figure class="plot">{bars(block)}{caption}</figure>'


@block_html.register
def _(block: Command) -> str:
    return f'<p class="command"><code>{escape(block.line)}</code></p>'


@block_html.register
def _(block: Widget) -> str:
    if not (WEB / f"{block.kind}.js").is_file():
        known = sorted(path.stem for path in WEB.glob("*.js"))
        raise UnknownName("widget", block.kind, known)
    data = json.dumps(block.data(), separators=(",", ":")).replace("<", "\\u003c")
    named = f'data-kind="{escape(block.kind)}" aria-label="{escape(block.label)}"'
    return (
        f'<section class="widget" {named}>'
        f'<script type="application/json">{data}</script>'
        f"<noscript><pre>{escape(block.text())}</pre></noscript></section>"
    )


def neighbours(names: list[str], titles: dict[str, str]) -> Iterator[Beside]:
    """For every lesson in turn, file and title of the one before and the one after."""
    for number, _ in enumerate(names):
        yield {
            key: (f"{names[other]}.html", titles[names[other]]) if 0 <= other < len(names) else None
            for key, other in (("before", number - 1), ("after", number + 1))
        }
