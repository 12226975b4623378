"""hwsim map: the best loop nest, with a proof."""

from __future__ import annotations

import shlex
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.cli.terminal import check_outputs, names_of, progress_bar, show, user_errors
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.job import Job
    from hwsim.schedule.mapper import Options


@click.command("map")
@click.argument("machine")
@click.argument("layer")
@click.option(
    "--objective", "-o", help="latency, energy, edp or dram (default: edp; with --curve: dram)."
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
    "--curve",
    metavar="MEMORY",
    help="The least DRAM traffic by the size of a memory, 1/64 to 8 times its own.",
)
@click.option(
    "--fuse",
    metavar="A,B",
    help="Fuse two layers of the workload: what lies between them stays on the chip.",
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
    objective: str | None,
    algorithm: str,
    batch: int,
    dtype: str | None,
    one_dim_per_axis: bool,
    convention: Any,
    seconds: float | None,
    curve: str | None,
    fuse: str | None,
    out: Path | None,
    json_to: str | None,
) -> None:
    """Find the best loop nest of LAYER on MACHINE, and prove it.

    LAYER is WORKLOAD:LAYER, a shape such as gemm:256,256,256 (M,N,K) or conv:64,56,56,64,3,3,1,1
    (C,H,W,K,R,S,STRIDE,PAD), or a whole WORKLOAD. Ctrl-C gives the best so far.
    """
    from hwsim.describe.machine import load_machine
    from hwsim.describe.networks import find_workload
    from hwsim.job import Job
    from hwsim.report.files import write_file
    from hwsim.schedule.mapper import Options
    from hwsim.searches import map_layers

    if seconds is not None and not isfinite(seconds):
        raise HwsimError(f"--seconds {seconds}; expected a number of seconds")
    check_outputs(json_to, out)
    network = find_workload(layer, batch)
    if fuse is not None or curve is not None:
        job = Job(network, load_machine(machine), algorithm, None, dtype)
    if fuse is not None:
        _check_fuse(curve or out or convention != "exact" or one_dim_per_axis)
        _fuse(job, fuse, objective or "dram", seconds, json_to)
        return
    if curve is not None:
        _check_curve(objective, convention, out)
        _curve(job, curve, Options(not one_dim_per_axis), seconds, json_to)
        return
    with progress_bar("mapping") as progress:
        mappings = map_layers(
            network,
            machine,
            objective or "edp",
            algorithm=algorithm,
            dtype=dtype,
            mixed=not one_dim_per_axis,
            convention=convention,
            seconds=seconds,
            progress=progress,
        )
    if out is not None:
        write_file(out, mappings.nest_file(machine))
        click.echo(f"wrote {out}; run it with: hwsim run --nest {shlex.quote(str(out))}", err=True)
    show(json_to, mappings.to_dict(), mappings.text())


def _check_fuse(others: object) -> None:
    """Raises HwsimError where options were given that mean nothing beside --fuse."""
    if others:
        raise HwsimError(
            "--fuse goes with --objective, --batch, --dtype, --seconds and --json; expected no "
            "other option"
        )


def _check_curve(objective: str | None, convention: str, out: Path | None) -> None:
    """Raises HwsimError for options that mean nothing beside --curve."""
    if out is not None:
        raise HwsimError("--curve finds many nests; expected it without --out")
    if objective not in (None, "dram"):
        raise HwsimError(f"--curve is of DRAM traffic; expected no --objective {objective}")
    if convention != "exact":
        raise HwsimError(f"--curve counts exactly; expected no --convention {convention}")


def _curve(
    job: Job, memory: str, options: Options, seconds: float | None, json_to: str | None
) -> None:
    """Print or write the curve of one memory."""
    from hwsim.choose.curves import buffer_curve
    from hwsim.report.curve import curve_document, curve_text

    layers, machine = job.checked_workload(), job.machine
    with progress_bar("mapping") as progress:
        points = buffer_curve(layers, machine, memory, job.algorithm, options, seconds, progress)
    title = layers.name
    if len(layers.layers) == 1:
        (only,) = layers.layers
        title += f":{only}" * (only != title)
    document = curve_document(title, machine.name, memory, points)
    own = machine.memories[memory].capacity
    show(json_to, document, curve_text(title, machine.name, memory, own, points))


def _fuse(job: Job, names: str, objective: str, seconds: float | None, json_to: str | None) -> None:
    """Print or write how two layers fuse."""
    from hwsim.choose.layer_pairs import fuse_layers
    from hwsim.report.layer_pair import pair_document, pair_text

    if job.algorithm != "direct":
        raise HwsimError(f"--fuse {names}: expected --algorithm direct, not {job.algorithm}")
    pair = names_of(names, "--fuse")
    if len(pair) != 2:
        raise HwsimError(f"--fuse {names}: {len(pair)} layers; expected two, such as conv1,conv2")
    with progress_bar("mapping") as progress:
        fused = fuse_layers(
            job.checked_workload(), (pair[0], pair[1]), job.machine, objective, seconds, progress
        )
    show(json_to, pair_document(fused), pair_text(fused))
