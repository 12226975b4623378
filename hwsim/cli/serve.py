"""hwsim serve: answers for programs."""

from __future__ import annotations

import click

from hwsim.cli.terminal import user_errors


@click.command()
@click.option("--mcp", is_flag=True, help="Speak the Model Context Protocol on standard input.")
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    help="A call without an answer ends after so many.",
)
@user_errors
def command(mcp: bool, seconds: float) -> None:
    """Serve four tools that only read: show, run, compare, map."""
    from hwsim.errors import HwsimError
    from hwsim.serve import server

    if not mcp:
        raise HwsimError("serve: expected --mcp, the one protocol that is spoken")
    server(seconds).run("stdio")
