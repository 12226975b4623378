"""What every command does with the terminal: errors, output, progress."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hwsim.errors import HwsimError, PhysicsError, printable

if TYPE_CHECKING:
    from hwsim.jobs import Progress

F = TypeVar("F", bound=Callable[..., Any])


def user_errors(command: F) -> F:
    """One clear message and exit status 2 for what the user can put right; 3 for a bug of ours."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except HwsimError as error:
            click.echo(_wrapped(f"hwsim: {printable(str(error))}"), err=True)
            sys.exit(2)
        except PhysicsError as error:
            click.echo(
                f"hwsim: {error}\nhwsim: please report this with the command that caused it",
                err=True,
            )
            sys.exit(3)
        except KeyboardInterrupt:
            from hwsim.report.files import written

            what = (
                f"written before: {', '.join(map(str, written))}" if written else "nothing written"
            )
            click.echo(f"hwsim: interrupted, {what}", err=True)
            sys.stderr.flush()
            os._exit(130)  # simulations still running in other threads are not waited for
        except BrokenPipeError:
            os._exit(0)  # whoever read has seen enough

    return run  # type: ignore[return-value]


def _wrapped(text: str) -> str:
    """Lines as wide as the terminal that shows them; as they are where none does."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(
        textwrap.fill(
            line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        for line in text.splitlines()
    )


def print_text(text: str) -> None:
    """Print data on standard output. Raises HwsimError when it cannot be written."""
    try:
        click.echo(printable(text))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what is left in its buffer cannot be written either
        raise HwsimError(f"standard output: cannot be written: {error.strerror}") from None


def show(json_to: str | None, document: Mapping[str, Any], text: str) -> None:
    """Write a document as JSON where it was asked for, and print the text.

    Where standard output is to have the JSON, it is printed in the text's place.
    """
    if json_to is None:
        print_text(text)
        return
    written = json.dumps(document, indent=1)
    if json_to == "-":
        print_text(written)
        return
    from hwsim.report.files import write_file

    write_file(Path(json_to), written + "\n")
    print_text(text)


def check_outputs(*paths: Path | str | None) -> None:
    """Refuse, before any work, outputs that could not be written, or would replace what is read."""
    from hwsim.report.files import check_file

    files = [Path(path) for path in paths if path is not None and str(path) != "-"]
    words = Counter(map(Path, _words(click.get_current_context().params.values())))
    read = [path for path in words - Counter(files) if os.path.isfile(path)]
    for number, path in enumerate(files):
        check_file(path)
        is_file = os.path.isfile(path)
        if is_file and any(path.samefile(other) for other in read):
            raise HwsimError(f"{path}: read by this command; expected another file to write")
        twice = any(path.resolve() == other.resolve() for other in files[:number])
        if twice and (is_file or not path.exists()):  # a device takes both
            raise HwsimError(f"{path}: written twice by this command; expected two files")


def _words(values: Iterable[Any]) -> Iterator[str]:
    """Texts and paths among a command's arguments, and their parts: lists, and layers of a file."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _words(value)
        elif isinstance(value, (str, Path)):
            yield str(value)
            for part in str(value).split(","):
                yield from {part, part.rpartition(":")[0]} - {str(value)}


SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar on stderr while simulations run; plain lines where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hwsim.compiled import announce

    console = Console(stderr=True)
    announce(lambda text: console.print(text, highlight=False))
    if not console.is_terminal:
        yield _lines(title)
        return
    with Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _lines(title: str) -> Progress:
    """Progress as lines, no sooner than so many seconds after the start or the line before."""
    last = [time.monotonic()]

    def say(done: int, total: int) -> None:
        if time.monotonic() - last[0] >= SECONDS_BETWEEN_LINES:
            last[0] = time.monotonic()
            click.echo(f"hwsim: {title}: {done}{f' of {total}' if total else ''}", err=True)

    return say


class NamesOption(click.Option):
    """An option of names separated by commas. Given again, its names are added."""

    def __init__(self, *names: Any, default: str | None = None, **how: Any) -> None:
        how |= {"default": None if default is None else (default,), "multiple": True}
        super().__init__(*names, **how)

    def process_value(self, context: click.Context, value: Any) -> str | None:
        given = super().process_value(context, value)
        return ",".join(given) if given else None


def names_of(text: str, flag: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise HwsimError(f"{flag} {text!r}: an empty name; expected names separated by commas")
    return list(dict.fromkeys(names))
