"""hwsim run: a workload on a machine, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.cli.inputs import (
    context_option,
    fidelity_option,
    input_option,
    say_where_all_is_exact,
    set_option,
)
from hwsim.cli.run_flags import CHART, Flags, check
from hwsim.cli.scalesim import count_as_scalesim, simulate_scalesim
from hwsim.cli.terminal import print_text, progress_bar, user_errors
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.describe.machine import Machine
    from hwsim.describe.workload import Workload
    from hwsim.results.result import Result


@click.command()
@click.argument("machine", required=False)
@click.argument("workload", required=False)
@click.option(
    "--algorithm",
    "-a",
    default="auto",
    show_default=True,
    help="Name, or auto: the best for each layer.",
)
@click.option(
    "--objective",
    "-o",
    default="latency",
    show_default=True,
    help="What auto goes by: latency, energy, multiplies or dram.",
)
@click.option(
    "--dataflow",
    "-d",
    help="Schedule by this dataflow where it applies; "
    "row-stationary:m=..,n=..,e=..,p=..,q=..,r=..,t=.. "
    "fixes its mapping.",
)
@click.option(
    "--kernel",
    metavar="MxNxK[xS]",
    help="A kernel of the GPU's library: 128x64x32x4, or FAMILY:128x64x32x4,split=2.",
)
@click.option(
    "--explain", is_flag=True, help="Print the five fastest kernels of every product on a GPU."
)
@click.option(
    "--mapping",
    type=click.Choice(["searched", "published"]),
    default="searched",
    show_default=True,
    help="Row-stationary: the best mapping, or the one that the chip's papers show.",
)
@click.option(
    "--wait", is_flag=True, help="Simulate a CPU's caches even where that takes many minutes."
)
@fidelity_option
@click.option("--cores", type=click.IntRange(1), help="Use so many of a CPU's cores.")
@click.option(
    "--array",
    "arrays",
    multiple=True,
    metavar="NAME=HOW",
    help="How an array lies where caches see it: B=n,k (order), B=ld:528 (row), B=block:16.",
)
@click.option(
    "--batch", "-b", default=1, show_default=True, type=click.IntRange(1), help="Images at once."
)
@click.option("--layer", "-l", "layers", multiple=True, help="Only this layer; may be repeated.")
@click.option("--dtype", "-t", help="Data type (default: the machine's).")
@input_option
@context_option
@set_option
@click.option(
    "--layout",
    type=click.Choice(["nchw", "nhwc"]),
    default="nchw",
    show_default=True,
    help="How maps lie: tensor cores want channels last, other maps are copied.",
)
@click.option(
    "--eager",
    is_flag=True,
    help="Bias, batch norm and activations as layers of their own, as eager PyTorch runs them.",
)
@click.option(
    "--nest",
    "nest_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Run the nests of this file (see map --out).",
)
@click.option(
    "--show-nest",
    is_flag=True,
    help="Print every stage's loop nest, what each level holds and moves.",
)
@click.option(
    "--reuse",
    is_flag=True,
    help="Print how often words are used at each level, ideal and achieved.",
)
@click.option(
    "--misses",
    is_flag=True,
    help="Print what caches miss of each array: cold, capacity, conflict.",
)
@click.option(
    "--json", "json_to", metavar="FILE", help="Write the result as JSON; - for standard output."
)
@click.option(
    "--csv",
    "csv_to",
    metavar="FILE",
    help="Write a line a layer as CSV, with --misses one for each array at each cache; "
    "- for standard output.",
)
@click.option(
    "--plot",
    "plot_to",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw a chart: .svg, .png, or .json for its Vega-Lite.",
)
@click.option(
    "--chart",
    help="The chart of --plot: causes (the default), roofline, tensors, energy-parts, reuse ...",
)
@click.option("--legend", is_flag=True, help="Explain the table's columns below it.")
@click.option(
    "--trace",
    "trace_to",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a timeline for Perfetto: DMA, compute, stalls, counters. .pftrace: its own "
    "format, other names: Chrome trace events.",
)
@click.option(
    "--scalesim-config",
    "config",
    metavar="CFG",
    type=click.Path(path_type=Path),
    help="SCALE-Sim's array, in place of MACHINE.",
)
@click.option(
    "--topology",
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="SCALE-Sim's layers, in place of WORKLOAD.",
)
@click.option(
    "--convention",
    type=click.Choice(["hwsim", "scalesim"]),
    default="hwsim",
    show_default=True,
    help="Of these: simulate, or count as SCALE-Sim does.",
)
@click.option(
    "--compute-report",
    "report_to",
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="Write what SCALE-Sim's COMPUTE_REPORT.csv has, in its convention.",
)
@user_errors
def command(**given: Any) -> None:
    """Simulate WORKLOAD on MACHINE, layer by layer.

    WORKLOAD is a name, a YAML file, NAME:LAYER, a model (.onnx, .pt2, a transformer's config.json)
    or a shape: gemm:M,N,K, conv:C,H,W,K,R,S,STRIDE,PAD, convtranspose: as conv,
    attention:HEADS,Q,KV,D. With --nest FILE machine, layers and nests are the file's; with
    --scalesim-config and --topology SCALE-Sim's.
    """
    flags = Flags(**given)
    check(flags)
    if flags.convention == "scalesim":
        print_text(_counted(flags))
    elif flags.config is not None:
        _show(flags, _of_scalesim(flags))
    elif flags.nest_file is not None:
        _show(flags, _of_nests(flags, flags.nest_file))
    else:
        _show_workload(flags)


def _counted(flags: Flags) -> str:
    assert flags.config and flags.topology
    return count_as_scalesim(
        flags.config, flags.topology, flags.dtype, flags.report_to, flags.json_to
    )


def _of_scalesim(flags: Flags) -> Result:
    assert flags.config and flags.topology
    if flags.report_to:
        count_as_scalesim(flags.config, flags.topology, flags.dtype, flags.report_to, None)
    return simulate_scalesim(
        flags.config,
        flags.topology,
        flags.algorithm,
        flags.schedule,
        flags.dtype,
        flags.trace_to is not None,
    )


def _of_nests(flags: Flags, file: Path) -> Result:
    from hwsim.api import run_nests

    with progress_bar("simulating") as progress:
        result = run_nests(file, progress, flags.wait, flags.misses, flags.fidelity)
    say_where_all_is_exact(flags.fidelity, (), (result,))
    return result


def _show_workload(flags: Flags) -> None:
    """Simulate WORKLOAD on MACHINE and show it, with a chart and its kernels on request."""
    from hwsim.api import simulate
    from hwsim.report.files import write_file
    from hwsim.report.plot import drawn
    from hwsim.report.tables import kernels_text
    from hwsim.results.comparison import Comparison
    from hwsim.rewrite.arrays import read_arrays
    from hwsim.searches import kernel_choices

    machine, network = _machine(flags), _network(flags)
    with progress_bar("simulating") as progress:
        result = simulate(
            network,
            machine,
            flags.algorithm,
            objective=flags.objective,
            dataflow=flags.schedule,
            dtype=flags.dtype,
            progress=progress,
            timeline=flags.trace_to is not None,
            arrays=read_arrays(flags.arrays),
            patient=flags.wait,
            keeps=True,
            miss_kinds=flags.misses,
            fidelity=flags.fidelity,
        )
    say_where_all_is_exact(flags.fidelity, (machine,), (result,))
    if flags.plot_to:
        one = Comparison(network, (machine,), (result.algorithm,), (result,))
        write_file(flags.plot_to, drawn(one, flags.chart or CHART, flags.plot_to.suffix))
    if _show(flags, result) and flags.explain:
        print_text(kernels_text(kernel_choices(result, network, machine)))


def _machine(flags: Flags) -> Machine:
    from hwsim.describe.machine import load_machine
    from hwsim.parts.core import with_cores

    assert flags.machine is not None
    machine = load_machine(flags.machine, flags.settings)
    if flags.misses and machine.management == "explicit":
        raise HwsimError(f"{machine.name} has no caches; expected a CPU or a GPU for --misses")
    return machine if flags.cores is None else with_cores(machine, flags.cores)


def _network(flags: Flags) -> Workload:
    from hwsim.describe.networks import find_workload

    assert flags.workload is not None
    network = find_workload(flags.workload, flags.batch, flags.size, flags.context)
    network = network.with_layout(flags.layout)
    if flags.layers:
        network = network.only(flags.layers)
    return network.eager() if flags.eager else network


def _show(flags: Flags, result: Result) -> bool:
    """Write the files that were asked for and print the tables.

    False where standard output is JSON or CSV.
    """
    from hwsim.report.csv_table import csv_text, lines_csv
    from hwsim.report.files import write_file
    from hwsim.report.misses import misses_text
    from hwsim.report.tables import LEGEND, nest_text, reuse_text, run_table
    from hwsim.report.trace import trace_content
    from hwsim.results.document import result_document

    misses = misses_text(result) if flags.misses else ""
    table = lines_csv(result) if flags.misses else csv_text((result,))
    if flags.trace_to:
        write_file(flags.trace_to, trace_content(result, flags.trace_to))
    document = json.dumps(result_document(result), indent=1)
    if flags.json_to and flags.json_to != "-":
        write_file(Path(flags.json_to), document + "\n")
    if flags.csv_to and flags.csv_to != "-":
        write_file(Path(flags.csv_to), table)
    if flags.json_to == "-":
        print_text(document)
        return False
    if flags.csv_to == "-":
        print_text(table.rstrip())
        return False
    print_text(run_table(result))
    if flags.legend:
        print_text(f"\n{LEGEND}")
    if flags.show_nest:
        print_text(nest_text(result))
    if flags.reuse:
        print_text(reuse_text(result))
    if misses:
        print_text(misses)
    return True
