"""hwsim list: what there is."""

from __future__ import annotations

import click

from hwsim.cli.terminal import print_text, user_errors


@click.command("list")
@click.argument("kind", required=False)
@user_errors
def command(kind: str | None) -> None:
    """What there is: machines, systems, workloads, algorithms, dataflows and so on."""
    from hwsim.cli.listing import listing

    print_text(listing(kind))
