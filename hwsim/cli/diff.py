"""hwsim diff: what moved between two files of results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hwsim.cli.terminal import print_text, user_errors


def _share(context: click.Context, parameter: click.Parameter, text: str) -> float:
    """1% or 0.01."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise click.BadParameter(f"{text!r}; expected a share such as 1%, or 0.01")
    return value


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    default="0",
    show_default=True,
    callback=_share,
    help="Changes up to this share count as none: 1%.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@user_errors
def command(before: Path, after: Path, tolerance: float, as_json: bool) -> None:
    """What moved from BEFORE to AFTER, files that run or compare wrote with --json.

    Exit status 0 where nothing did, 1 where something did, 2 for files that cannot be compared.
    """
    from hwsim.report.difference import difference_text
    from hwsim.results.diff import difference

    found = difference(before, after, tolerance)
    print_text(json.dumps(found.to_dict(), indent=1) if as_json else difference_text(found))
    sys.exit(0 if found.is_none else 1)
