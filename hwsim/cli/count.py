"""hwsim count: operations under every algorithm."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.cli.inputs import context_option, input_option
from hwsim.cli.terminal import NamesOption, check_outputs, names_of, show, user_errors
from hwsim.errors import HwsimError


@click.command()
@click.argument("workload")
@click.option(
    "--algorithms",
    "-a",
    cls=NamesOption,
    help="Names separated by commas (default: all that `hwsim list` names).",
)
@click.option(
    "--batch", "-b", default=1, show_default=True, type=click.IntRange(1), help="Images at once."
)
@input_option
@context_option
@click.option("--layer", "-l", "layers", multiple=True, help="Only this layer; may be repeated.")
@click.option("--weights", type=float, help="Share of the weights that is not zero.")
@click.option("--activations", type=float, help="Share of the activations that is not zero.")
@click.option(
    "--structure",
    default="unstructured",
    show_default=True,
    help="Of the weights' zeros: also 2:4 (N of every M), 16x16 (whole blocks), channels (whole "
    "input channels).",
)
@click.option(
    "--arrays",
    type=click.Path(path_type=Path),
    help="NumPy .npz with LAYER.weights [k,c,r,s] (convtranspose: [c,k,r,s]), LAYER.activations "
    "[n,c,h,w].",
)
@click.option(
    "--json", "json_to", metavar="FILE", help="Write the counts as JSON; - for standard output."
)
@user_errors
def command(
    workload: str,
    algorithms: str | None,
    batch: int,
    size: tuple[int, int] | None,
    context: int | None,
    layers: tuple[str, ...],
    weights: float | None,
    activations: float | None,
    structure: str,
    arrays: Path | None,
    json_to: str | None,
) -> None:
    """Count WORKLOAD's operations under every algorithm.

    Multiplications of data by data, those whose operands are both not zero, constants, shifts,
    additions, and the memory for temporaries; nothing is simulated. WORKLOAD as in `hwsim run`.
    """
    from hwsim.algorithms import find_algorithm, user_algorithms
    from hwsim.count.operations import count_algorithms, load_arrays
    from hwsim.describe.layer import Density
    from hwsim.describe.networks import find_workload
    from hwsim.report.counting import counts_document, counts_text

    check_outputs(json_to)
    network = find_workload(workload, batch, size, context)
    if layers:
        network = network.only(layers)
    if weights is not None or activations is not None or structure != "unstructured":
        if arrays is not None:
            raise HwsimError(f"--arrays {arrays} beside densities; expected one or the other")
        network = network.with_density(
            Density(
                1.0 if weights is None else weights,
                1.0 if activations is None else activations,
                structure,
            )
        )
    names = [
        name
        for name in user_algorithms()
        if any(find_algorithm(name).refuses(layer) is None for layer in network.layers.values())
    ]
    if algorithms is not None:
        names = names_of(algorithms, "--algorithms")
    rows = count_algorithms(network, names, load_arrays(arrays, network) if arrays else None)
    title = f"{network.name}, batch {batch}"
    show(json_to, counts_document(network.name, rows), counts_text(title, rows))
