"""hwsim teach: the lessons."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hwsim.cli.terminal import print_text, progress_bar, user_errors
from hwsim.errors import HwsimError


@click.command()
@click.argument("lesson", required=False)
@click.option("--site", type=click.Path(path_type=Path), help="Write all lessons as pages here.")
@click.option("--open", "opened", is_flag=True, help="Open the pages in a browser, with --site.")
@click.option("--ask", metavar="KIND", help="A question of a kind; 'kinds' lists them.")
@click.option("--seed", type=click.IntRange(0), help="Another question, with --ask.")
@click.option("--answer", help="Check an answer to it, with --ask.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@user_errors
def command(
    lesson: str | None,
    site: Path | None,
    opened: bool,
    ask: str | None,
    seed: int | None,
    answer: str | None,
    force: bool,
) -> None:
    """Lessons on loop tiling, convolution and memory.

    \b
    hwsim teach                      the list
    hwsim teach tiling               one lesson, step by step
    hwsim teach --site lessons       all of them as pages that open offline
    hwsim teach --ask tile-loads --seed 3             a fresh question
    hwsim teach --ask tile-loads --seed 3 --answer 4096
    """
    if lesson is not None and (site or ask):
        flag = "--site" if site else "--ask"
        raise HwsimError(f"{flag} with {lesson!r}; {flag} is not of one lesson")
    if site is not None and ask is not None:
        raise HwsimError("--site with --ask; expected one of them")
    if site is None and (opened or force):
        flag = "--open" if opened else "--force"
        raise HwsimError(f"{flag} without --site; expected --site FOLDER, which it is about")
    if ask is None and (answer is not None or seed is not None):
        flag = "--seed" if answer is None else "--answer"
        raise HwsimError(f"{flag} without --ask; expected --ask KIND, the question it is about")
    if site is not None:
        _write_site(site, opened, force)
    elif ask is not None:
        print_text(_question(ask, seed or 0, answer))
    elif lesson is None:
        print_text(_listing())
    else:
        _show(lesson)


def _listing() -> str:
    from hwsim.report.text_table import WIDTH
    from hwsim.teach import LESSONS, in_order

    lines = ["Lessons:", ""]
    for name in in_order():
        lines += [f"  {name}", click.wrap_text(LESSONS[name].question, WIDTH, "    ", "    ")]
    return "\n".join(
        [*lines, "", "hwsim teach NAME shows one; hwsim teach --site FOLDER, all as pages."]
    )


def _question(kind: str, seed: int, answer: str | None) -> str:
    """A question, or what an answer to it is worth."""
    from hwsim.report.text_table import WIDTH
    from hwsim.teach.questions import check, kinds, question

    if kind == "kinds":
        if answer is not None:
            raise HwsimError("--answer with --ask kinds, which is no question")
        return "\n".join(kinds())
    asked = question(kind, seed)
    if answer is None:
        return str(click.wrap_text(asked.text, WIDTH))
    given: float | str = answer if asked.choices else _number(answer)
    return str(click.wrap_text(str(check(given, asked)), WIDTH))


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise HwsimError(f"--answer {text!r}; expected a number") from None


def _show(name: str) -> None:
    """Step by step where someone reads, all at once where the output goes to a file."""
    from hwsim.teach import LESSONS
    from hwsim.teach.terminal import pages

    lesson = LESSONS[name]
    asked = sys.stdin.isatty() and sys.stdout.isatty()
    for number, page in enumerate(pages(lesson, colour=sys.stdout.isatty())):
        if number and asked and not _go_on():
            return
        click.echo(page + "\n")


def _go_on() -> bool:
    click.echo("[Enter: next, q: stop] ", nl=False, err=True)
    key = click.getchar()
    click.echo("", err=True)
    return key not in ("q", "Q", "\x1b")


def _write_site(folder: Path, opened: bool, force: bool) -> None:
    from hwsim.report.files import check_folder, write_folder
    from hwsim.teach.site import site_files

    check_folder(folder, force)
    with progress_bar("lessons") as progress:
        files = site_files(progress)
    write_folder(folder, files, force)
    index = folder / "index.html"
    click.echo(f"wrote {index}", err=True)
    if opened:
        click.launch(index.resolve().as_uri())
