"""hwsim map: the best loop nest, with a proof."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

import click

from hwsim.cli.terminal import check_outputs, print_text, progress_bar, user_errors
from hwsim.errors import HwsimError


@click.command("map")
@click.argument("machine")
@click.argument("layer")
@click.option(
    "--objective", "-o", default="edp", show_default=True, help="latency, energy, edp or dram."
)
@click.option(
    "--algorithm", "-a", default="direct", show_default=True, help="How layers are lowered."
)
@click.option(
    "--batch", "-b", default=1, show_default=True, type=click.IntRange(1), help="Images at once."
)
@click.option("--dtype", "-t", help="Data type (default: the machine's).")
@click.option("--one-dim-per-axis", is_flag=True, help="Give an axis of the array to one dim only.")
@click.option(
    "--convention",
    default="exact",
    show_default=True,
    help="exact, or timeloop: without drain reads, first and last tiles.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="Stop a stage's search after so long, and state the gap.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the nests for `hwsim run --nest`."
)
@click.option(
    "--json", "json_to", metavar="FILE", help="Write what was found as JSON; - for standard output."
)
@user_errors
def command(
    machine: str,
    layer: str,
    objective: str,
    algorithm: str,
    batch: int,
    dtype: str | None,
    one_dim_per_axis: bool,
    convention: Any,
    seconds: float | None,
    out: Path | None,
    json_to: str | None,
) -> None:
    """Find the best loop nest of LAYER on MACHINE, and prove it.

    LAYER is WORKLOAD:LAYER, a shape such as gemm:256,256,256 (M,N,K) or conv:64,56,56,64,3,3,1,1
    (C,H,W,K,R,S,STRIDE,PAD), or a whole WORKLOAD. Ctrl-C gives the best so far.
    """
    from hwsim.api import map_layers
    from hwsim.describe.workload import find_workload
    from hwsim.report.files import write_file

    if seconds is not None and not isfinite(seconds):
        raise HwsimError(f"--seconds {seconds}; expected a number of seconds")
    check_outputs(json_to, out)
    network = find_workload(layer, batch)
    with progress_bar("mapping") as progress:
        mappings = map_layers(
            network,
            machine,
            objective,
            algorithm=algorithm,
            dtype=dtype,
            mixed=not one_dim_per_axis,
            convention=convention,
            seconds=seconds,
            progress=progress,
        )
    text = json.dumps(mappings.to_dict(), indent=1)
    if out is not None:
        write_file(out, mappings.nest_file(machine))
        click.echo(f"wrote {out}; run it with: hwsim run --nest {out}", err=True)
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    print_text(text if json_to == "-" else mappings.text())
