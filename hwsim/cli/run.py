"""hwsim run: a workload on a machine, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from hwsim.cli.inputs import context_option, input_option, set_option
from hwsim.cli.scalesim import count_as_scalesim, simulate_scalesim
from hwsim.cli.terminal import check_outputs, print_text, progress_bar, user_errors
from hwsim.describe.settings import Setting
from hwsim.errors import HwsimError


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
    "--json", "json_to", metavar="FILE", help="Write the result as JSON; - for standard output."
)
@click.option(
    "--csv", "csv_to", metavar="FILE", help="Write a line a layer as CSV; - for standard output."
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
    default="causes",
    show_default=True,
    help="The chart of --plot: roofline, tensors, energy-parts, reuse ...",
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
def command(
    machine: str | None,
    workload: str | None,
    algorithm: str,
    objective: str,
    dataflow: str | None,
    kernel: str | None,
    explain: bool,
    mapping: str,
    wait: bool,
    cores: int | None,
    arrays: tuple[str, ...],
    batch: int,
    layers: tuple[str, ...],
    dtype: str | None,
    size: tuple[int, int] | None,
    context: int | None,
    settings: tuple[Setting, ...],
    layout: Literal["nchw", "nhwc"],
    eager: bool,
    nest_file: Path | None,
    show_nest: bool,
    reuse: bool,
    json_to: str | None,
    csv_to: str | None,
    plot_to: Path | None,
    chart: str,
    legend: bool,
    trace_to: Path | None,
    config: Path | None,
    topology: Path | None,
    convention: str,
    report_to: Path | None,
) -> None:
    """Simulate WORKLOAD on MACHINE, layer by layer.

    WORKLOAD is a name, a YAML file, NAME:LAYER, a model (.onnx, .pt2, a transformer's config.json)
    or a shape: gemm:M,N,K, conv:C,H,W,K,R,S,STRIDE,PAD, convtranspose: as conv,
    attention:HEADS,Q,KV,D. With --nest FILE machine, layers and nests are the file's; with
    --scalesim-config and --topology SCALE-Sim's.
    """
    from hwsim.api import kernel_choices, run_nests, simulate
    from hwsim.describe.machine import load_machine
    from hwsim.describe.networks import find_workload
    from hwsim.parts.core import with_cores
    from hwsim.report.csv_table import csv_text
    from hwsim.report.files import write_file
    from hwsim.report.plot import check_chart, drawn
    from hwsim.report.tables import LEGEND, kernels_text, nest_text, reuse_text, run_table
    from hwsim.report.trace import trace_content
    from hwsim.results.comparison import Comparison
    from hwsim.results.document import result_document
    from hwsim.rewrite.arrays import read_arrays

    check_outputs(json_to, csv_to, plot_to, trace_to, report_to)
    if plot_to is not None:
        check_chart(chart, plot_to)
        _refuse_beside("--plot", ("--nest", nest_file), ("--scalesim-config", config))
    if json_to == csv_to == "-":
        raise HwsimError("--json - and --csv -; expected one of them on standard output")
    if mapping == "published":
        if dataflow not in (None, "row-stationary"):
            raise HwsimError(
                f"--mapping published is row-stationary's; expected no --dataflow {dataflow}"
            )
        dataflow = "row-stationary:published"
    if kernel is not None:
        _refuse_beside("--kernel", ("--dataflow", dataflow), ("--nest", nest_file))
        dataflow = f"kernel:{kernel}"
    if (config is None) != (topology is None) or (config and (machine or workload or nest_file)):
        raise HwsimError(
            "--scalesim-config and --topology go together, in place of MACHINE and WORKLOAD"
        )
    if config is None and (convention == "scalesim" or report_to):
        raise HwsimError(
            f"{'--compute-report' if report_to else '--convention scalesim'} needs "
            f"--scalesim-config and --topology"
        )
    if config and topology:
        _refuse_beside(
            "SCALE-Sim's files",
            ("--batch", batch > 1),
            ("--layer", layers),
            ("--objective", objective != "latency"),
            ("--cores", cores),
            ("--array", arrays),
            ("--explain", explain),
            ("--layout", layout != "nchw"),
            ("--eager", eager),
            ("--input", size),
            ("--context", context is not None),
            ("--set", settings),
        )
        if convention == "scalesim":
            _refuse_beside(
                "--convention scalesim",
                ("--dataflow", dataflow),
                ("--algorithm", algorithm != "auto"),
                ("--trace", trace_to),
                ("--show-nest", show_nest),
                ("--reuse", reuse),
            )
        if report_to or convention == "scalesim":
            counted = count_as_scalesim(
                config, topology, dtype, report_to, json_to if convention == "scalesim" else None
            )
        if convention == "scalesim":
            print_text(counted)
            return
        result = simulate_scalesim(
            config, topology, algorithm, dataflow, dtype, trace_to is not None
        )
    elif nest_file is not None:
        if machine or workload:
            raise HwsimError(
                f"--nest {nest_file} names its machine and layers; expected no MACHINE and "
                f"WORKLOAD beside it"
            )
        _refuse_beside(
            f"--nest {nest_file}, whose file says so itself",
            ("--algorithm", algorithm != "auto"),
            ("--dataflow", dataflow),
            ("--batch", batch > 1),
            ("--layer", layers),
            ("--dtype", dtype),
            ("--trace", trace_to),
            ("--cores", cores),
            ("--array", arrays),
            ("--explain", explain),
            ("--layout", layout != "nchw"),
            ("--eager", eager),
            ("--input", size),
            ("--context", context is not None),
            ("--set", settings),
        )
        with progress_bar("simulating") as progress:
            result = run_nests(nest_file, progress, wait)
    else:
        if machine is None or workload is None:
            raise HwsimError(
                "expected MACHINE and WORKLOAD, or --nest FILE (hwsim list names what there is)"
            )
        loaded = load_machine(machine, settings)
        if cores is not None:
            loaded = with_cores(loaded, cores)
        network = find_workload(workload, batch, size, context).with_layout(layout)
        if layers:
            network = network.only(layers)
        if eager:
            network = network.eager()
        with progress_bar("simulating") as progress:
            result = simulate(
                network,
                loaded,
                algorithm,
                objective=objective,
                dataflow=dataflow,
                dtype=dtype,
                progress=progress,
                timeline=trace_to is not None,
                arrays=read_arrays(arrays),
                patient=wait,
            )
    if plot_to:
        one = Comparison(network, (loaded,), (result.algorithm,), (result,))
        write_file(plot_to, drawn(one, chart, plot_to.suffix))
    if trace_to:
        write_file(trace_to, trace_content(result, trace_to))
    text = json.dumps(result_document(result), indent=1)
    if json_to == "-":
        print_text(text)
        return
    if json_to:
        write_file(Path(json_to), text + "\n")
    if csv_to == "-":
        print_text(csv_text((result,)).rstrip())
        return
    if csv_to:
        write_file(Path(csv_to), csv_text((result,)))
    print_text(run_table(result))
    if legend:
        print_text(f"\n{LEGEND}")
    if show_nest:
        print_text(nest_text(result))
    if reuse:
        print_text(reuse_text(result))
    if explain:
        print_text(kernels_text(kernel_choices(result, network, loaded)))


def _refuse_beside(what: str, *flags: tuple[str, object]) -> None:
    """Raises HwsimError naming the flags that were given though they mean nothing beside something
    else."""
    given = [flag for flag, value in flags if value]
    if given:
        raise HwsimError(f"{', '.join(given)} beside {what}; expected one or the other")
