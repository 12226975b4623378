"""hwsim split: a network on several chips."""

from __future__ import annotations

import re

import click

from hwsim.cli.inputs import context_option, input_option
from hwsim.cli.terminal import check_outputs, progress_bar, show, user_errors

ANY = click.IntRange(1, 4096)


def _shape(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """4 or 2x2x4."""
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,3}(x[1-9]\d{0,3}){0,3}", text):
        raise click.BadParameter(f"{text!r}; expected chips, or chips along each axis: 4, 2x2x4")
    return tuple(map(int, text.split("x")))


@click.command("split")
@click.argument("system")
@click.argument("workload")
@click.option("--algorithm", "-a", default="auto", show_default=True, help="Of every layer.")
@click.option("--batch", "-b", default=1, show_default=True, type=click.IntRange(1))
@click.option("--dtype", "-t", help="Data type (default: the chip's).")
@input_option
@context_option
@click.option("--chips", "shape", callback=_shape, metavar="N[xN..]", help="So many chips.")
@click.option("--tensor", type=ANY, help="Chips that share every layer (default: searched).")
@click.option("--pipeline", type=ANY, help="Stages of layers (default: searched).")
@click.option("--data", type=ANY, help="Copies, each with a part of the batch.")
@click.option("--microbatches", type=ANY, help="Parts of a copy's batch in the pipeline.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Lines shown.")
@click.option("--layers", is_flag=True, help="Show how the quickest splits every layer.")
@click.option("--json", "json_to", metavar="FILE", help="Write JSON; - for standard output.")
@user_errors
def command(
    system: str,
    workload: str,
    algorithm: str,
    batch: int,
    dtype: str | None,
    size: tuple[int, int] | None,
    context: int | None,
    shape: tuple[int, ...] | None,
    tensor: int | None,
    pipeline: int | None,
    data: int | None,
    microbatches: int | None,
    top: int,
    layers: bool,
    json_to: str | None,
) -> None:
    """Lay WORKLOAD on the chips of SYSTEM, every way there is, quickest first.

    SYSTEM is a name (hwsim list systems) or a YAML file; WORKLOAD is as for run. Layers are split
    over chips (tensor), cut into stages (pipeline), or copied for parts of the batch (data).
    """
    from hwsim.chips.text import layers_text, split_document, split_text
    from hwsim.describe.networks import find_workload
    from hwsim.describe.system import load_system
    from hwsim.searches import split

    check_outputs(json_to)
    chips = load_system(system)
    network = find_workload(workload, batch, size, context)
    with progress_bar("simulating") as progress:
        found = split(
            network,
            chips if shape is None else chips.of_shape(shape),
            algorithm,
            dtype=dtype,
            tensor=tensor,
            pipeline=pipeline,
            data=data,
            microbatches=microbatches,
            progress=progress,
        )
    text = split_text(found, top)
    if layers:
        text += f"\n\n{layers_text(found.best)}"
    show(json_to, split_document(found), text)
