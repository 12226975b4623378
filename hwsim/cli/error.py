"""hwsim error: what rounding costs."""

from __future__ import annotations

import click

from hwsim.cli.terminal import NamesOption, check_outputs, names_of, progress_bar, show, user_errors


@click.command()
@click.argument("layer")
@click.option(
    "--algorithms",
    "-a",
    cls=NamesOption,
    default="direct,winograd-f2,winograd-f4,winograd-f6,fft",
    show_default=True,
    help="Names, separated by commas.",
)
@click.option(
    "--formats",
    cls=NamesOption,
    default="fp32,fp16",
    show_default=True,
    help="Of the numbers, separated by commas.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Of the random inputs and filters.",
)
@click.option(
    "--json", "json_to", metavar="FILE", help="Write the errors as JSON; - for standard output."
)
@user_errors
def command(layer: str, algorithms: str, formats: str, seed: int, json_to: str | None) -> None:
    """Measure what rounding costs LAYER under each algorithm.

    The layer is computed in fp32 and fp16 on random numbers in [-1, 1] and compared with direct
    convolution in float64. "of direct's" is relative to direct convolution in the same format,
    where that is among the algorithms. LAYER is WORKLOAD:LAYER or a shape such as
    conv:64,56,56,64,3,3,1,1; of a WORKLOAD, its convolutions.
    """
    from hwsim.count.rounding import measure
    from hwsim.describe.networks import find_workload
    from hwsim.report.counting import errors_document, errors_text

    check_outputs(json_to)
    network = find_workload(layer)
    with progress_bar("computing") as progress:
        found = measure(
            network,
            names_of(algorithms, "--algorithms"),
            names_of(formats, "--formats"),
            seed,
            progress,
        )
    show(json_to, errors_document(network.name, seed, found), errors_text(found))
