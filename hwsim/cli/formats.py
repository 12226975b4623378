"""hwsim formats: what sparsity formats take, and at which density they pay."""

from __future__ import annotations

import re

import click

from hwsim.cli.terminal import print_text, user_errors

DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
SHAPE = re.compile(r"[1-9]\d{0,8}(x[1-9]\d{0,8}){0,4}")


def _shape(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    if not SHAPE.fullmatch(text):
        raise click.BadParameter(f"{text!r}; expected lengths of axes, such as 256x13x13")
    return tuple(map(int, text.split("x")))


@click.command("formats")
@click.argument("shape", default="256x56x56", callback=_shape)
@click.option(
    "--bits",
    default=16,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Of a value.",
)
@user_errors
def command(shape: tuple[int, ...], bits: int) -> None:
    """Sizes of a tensor of SHAPE in every sparsity format, over its plain size.

    By density, zeros lying anywhere; and the density up to which a format is smaller than the plain
    tensor. A machine's DRAM takes one as `compression`.
    """
    from hwsim.describe.formats import FORMATS
    from hwsim.report.text_table import text_table

    rows = []
    for name in FORMATS:
        form = FORMATS[name]
        if form.widths and bits not in form.widths:
            continue
        shares = [form.share(shape, density, bits) for density in DENSITIES]
        cells = ["as it is" if share == 1 else f"{share:.3f}" for share in shares]
        rows.append([name, *cells, f"{form.break_even(shape, bits):.3f}"])
    text = "x".join(map(str, shape))
    print_text(f"{text} of {bits} bits, coded over plain, by density:\n")
    head = ["format", *(f"{density:g}" for density in DENSITIES), "up to"]
    print_text(text_table(head, rows, left=1))
