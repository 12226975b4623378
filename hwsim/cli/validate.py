"""hwsim validate: the models beside measured and published data."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hwsim.cli.terminal import print_text, progress_bar, user_errors
from hwsim.errors import HwsimError


@click.command()
@click.argument("name", required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Rows of your own, in the format of the reference file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@user_errors
def command(name: str | None, data: Path | None, as_json: bool) -> None:
    """The models beside measured and published data; all of it without NAME, or with all."""
    from hwsim.validate import CHECKS, run_check
    from hwsim.validate.text import validation_text

    name = None if name == "all" else name
    if data is not None and name is None:
        raise HwsimError(f"--data {data} without a name; expected one of {', '.join(CHECKS)}")
    with progress_bar("validating") as progress:
        reports = [
            run_check(check, data, progress)
            for check in ([name] if name else [each for each in CHECKS if CHECKS[each].file])
        ]
    if as_json:
        documents = [report.to_dict() for report in reports]
        print_text(json.dumps(documents[0] if name else documents, indent=1))
    else:
        print_text("\n\n".join(validation_text(report) for report in reports))
