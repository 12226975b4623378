"""hwsim show: what was understood of a name or file."""

from __future__ import annotations

import click

from hwsim.cli.terminal import print_text, user_errors


@click.command()
@click.argument("name")
@user_errors
def command(name: str) -> None:
    """What was understood of a machine, system, workload, algorithm or dataflow, or a YAML file."""
    from hwsim.cli.listing import show

    print_text(show(name))
