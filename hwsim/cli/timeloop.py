"""hwsim timeloop: what a mapping of Timeloop's moves."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hwsim.cli.terminal import print_text, user_errors


@click.command("timeloop")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@user_errors
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """Count what a Timeloop design moves: FILES have its problem, architecture, mapping.

    Versions 0.2, 0.3 and 0.4. Words are counted twice: as Timeloop does, of one instance, and as
    they are moved, of all. What cannot be said here is refused by its name.
    """
    from hwsim.foreign.timeloop.design import load_design
    from hwsim.foreign.timeloop.text import design_document, design_text

    design = load_design(files)
    print_text(json.dumps(design_document(design), indent=1) if as_json else design_text(design))
