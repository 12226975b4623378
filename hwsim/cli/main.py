"""The command line: every subcommand is one call into the API and one print."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hwsim import __version__
from hwsim.errors import HwsimError, PhysicsError, printable

if TYPE_CHECKING:
    from hwsim.jobs import Progress
    from hwsim.results.result import Result

F = TypeVar("F", bound=Callable[..., Any])


class _Group(click.Group):
    """Subcommands in the order they are defined; a wrong one gets its nearest match."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        from hwsim.errors import nearest

        if args and args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{nearest(args[0], self.commands)}; known: {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


def _user_errors(command: F) -> F:
    """One clear message and exit status 2 for what the user can put right; 3 for a bug of ours."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except HwsimError as error:
            click.echo(f"hwsim: {printable(str(error))}", err=True)
            sys.exit(2)
        except PhysicsError as error:
            click.echo(f"hwsim: {error}\nhwsim: please report this with the command that caused it", err=True)
            sys.exit(3)
        except KeyboardInterrupt:
            from hwsim.report.files import written

            what = f"written before: {', '.join(map(str, written))}" if written else "nothing written"
            click.echo(f"hwsim: interrupted, {what}", err=True)
            sys.stderr.flush()
            os._exit(130)  # simulations still running in other threads are not waited for
        except BrokenPipeError:
            os._exit(0)  # whoever read has seen enough

    return run  # type: ignore[return-value]


def _show(text: str) -> None:
    """Print data on standard output. Raises HwsimError when it cannot be written."""
    try:
        click.echo(printable(text))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what is left in its buffer cannot be written either
        raise HwsimError(f"standard output: cannot be written: {error.strerror}") from None


def _check_outputs(*paths: Path | str | None) -> None:
    """Refuse, before any work, outputs that could not be written."""
    from hwsim.report.files import check_file

    for path in paths:
        if path is not None and str(path) != "-":
            check_file(Path(path))


SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def _progress(title: str) -> Iterator[Progress]:
    """A bar on stderr while simulations run; a plain line now and then where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hwsim.compiled import announce

    console = Console(stderr=True)
    announce(lambda text: console.print(text, highlight=False))
    if not console.is_terminal:
        yield _lines(title)
        return
    with Progress(TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _lines(title: str) -> Progress:
    """Progress as lines, no sooner than so many seconds after the start or the line before."""
    last = [time.monotonic()]

    def say(done: int, total: int) -> None:
        if time.monotonic() - last[0] >= SECONDS_BETWEEN_LINES:
            last[0] = time.monotonic()
            click.echo(f"hwsim: {title}: {done}{f' of {total}' if total else ''}", err=True)

    return say


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="hwsim")
def main() -> None:
    """Simulate networks on CPUs, GPUs and accelerators described in YAML.

    \b
    hwsim list                                 what there is
    hwsim run tpu-v1 vgg16                     one network, layer by layer
    hwsim compare vgg16 --machines xeon-8380,h200,tpu-v1 \\
        --algorithms direct,im2col,winograd-f2,winograd-f4 --out report
    hwsim count vgg16                          operations under every algorithm
    hwsim tile --n 1024 --tiles 32,32,8        loop tiling: formulas, exact counts
    hwsim map toy-8x8 gemm:256,256,256         the best loop nest, with a proof
    hwsim validate                             the models beside reference data
    """


@main.command()
@click.argument("machine", required=False)
@click.argument("workload", required=False)
@click.option("--algorithm", "-a", default="auto", show_default=True, help="Name, or auto: the best for each layer.")
@click.option("--objective", "-o", default="latency", show_default=True, help="What auto goes by: latency, energy, multiplies or dram.")
@click.option("--dataflow", "-d", help="Schedule by this dataflow where it applies; row-stationary:m=..,n=..,e=..,p=..,q=..,r=..,t=.. "
                                       "fixes its mapping.")
@click.option("--batch", "-b", default=1, show_default=True, type=click.IntRange(1), help="Images at once.")
@click.option("--layer", "-l", "layers", multiple=True, help="Only this layer; may be repeated.")
@click.option("--dtype", "-t", help="Data type (default: the machine's).")
@click.option("--nest", "nest_file", metavar="FILE", type=click.Path(path_type=Path), help="Run the nests of this file (see map --out).")
@click.option("--show-nest", is_flag=True, help="Print every stage's loop nest, what each level holds and moves.")
@click.option("--reuse", is_flag=True, help="Print how often words are used at each level, ideal and achieved.")
@click.option("--json", "json_to", metavar="FILE", help="Write the result as JSON; - for standard output.")
@click.option("--trace", "trace_to", metavar="FILE", type=click.Path(path_type=Path),
              help="Write a timeline for Perfetto (Chrome trace events): DMA, compute, stalls.")
@click.option("--scalesim-config", "config", metavar="CFG", type=click.Path(path_type=Path), help="SCALE-Sim's array, in place of MACHINE.")
@click.option("--topology", metavar="CSV", type=click.Path(path_type=Path), help="SCALE-Sim's layers, in place of WORKLOAD.")
@click.option("--convention", type=click.Choice(["hwsim", "scalesim"]), default="hwsim", show_default=True,
              help="Of these: simulate, or count as SCALE-Sim does.")
@click.option("--compute-report", "report_to", metavar="CSV", type=click.Path(path_type=Path),
              help="Write what SCALE-Sim's COMPUTE_REPORT.csv has, in its convention.")
@_user_errors
def run(machine: str | None, workload: str | None, algorithm: str, objective: str, dataflow: str | None, batch: int,
        layers: tuple[str, ...], dtype: str | None, nest_file: Path | None, show_nest: bool, reuse: bool, json_to: str | None,
        trace_to: Path | None, config: Path | None, topology: Path | None, convention: str, report_to: Path | None) -> None:
    """Simulate WORKLOAD on MACHINE, layer by layer.

    WORKLOAD is a name, a YAML file, NAME:LAYER, or a shape: gemm:M,N,K, conv:C,H,W,K,R,S,STRIDE,PAD or convtranspose: as
    conv. With --nest FILE machine, layers and nests are the file's; with --scalesim-config and --topology SCALE-Sim's.
    """
    from hwsim.api import run_nests, simulate
    from hwsim.describe.machine import load_machine
    from hwsim.describe.workload import find_workload
    from hwsim.report.files import write_file
    from hwsim.report.tables import nest_text, reuse_text, run_table
    from hwsim.report.trace import trace_text
    from hwsim.results.document import result_document

    _check_outputs(json_to, trace_to, report_to)
    if (config is None) != (topology is None) or (config and (machine or workload or nest_file)):
        raise HwsimError("--scalesim-config and --topology go together, in place of MACHINE and WORKLOAD")
    if config is None and (convention == "scalesim" or report_to):
        raise HwsimError(f"{'--compute-report' if report_to else '--convention scalesim'} needs --scalesim-config and --topology")
    if config and topology:
        _refuse_beside("SCALE-Sim's files", ("--batch", batch > 1), ("--layer", layers), ("--objective", objective != "latency"))
        if convention == "scalesim":
            _refuse_beside("--convention scalesim", ("--dataflow", dataflow), ("--algorithm", algorithm != "auto"),
                           ("--trace", trace_to), ("--show-nest", show_nest), ("--reuse", reuse))
        if report_to or convention == "scalesim":
            counted = _count_as_scalesim(config, topology, dtype, report_to, json_to if convention == "scalesim" else None)
        if convention == "scalesim":
            _show(counted)
            return
        result = _simulate_scalesim(config, topology, algorithm, dataflow, dtype, trace_to is not None)
    elif nest_file is not None:
        if machine or workload:
            raise HwsimError(f"--nest {nest_file} names its machine and layers; expected no MACHINE and WORKLOAD beside it")
        _refuse_beside(f"--nest {nest_file}, whose file says so itself", ("--algorithm", algorithm != "auto"), ("--dataflow", dataflow),
                       ("--batch", batch > 1), ("--layer", layers), ("--dtype", dtype), ("--trace", trace_to))
        with _progress("simulating") as progress:
            result = run_nests(nest_file, progress)
    else:
        if machine is None or workload is None:
            raise HwsimError("expected MACHINE and WORKLOAD, or --nest FILE (hwsim list names what there is)")
        loaded = load_machine(machine)
        network = find_workload(workload, batch)
        if layers:
            network = network.only(layers)
        with _progress("simulating") as progress:
            result = simulate(network, loaded, algorithm, objective=objective, dataflow=dataflow, dtype=dtype, progress=progress,
                              timeline=trace_to is not None)
    if trace_to:
        write_file(trace_to, trace_text(result) + "\n")
    text = json.dumps(result_document(result), indent=1)
    if json_to == "-":
        _show(text)
        return
    if json_to:
        write_file(Path(json_to), text + "\n")
    _show(run_table(result))
    if show_nest:
        _show(nest_text(result))
    if reuse:
        _show(reuse_text(result))


def _refuse_beside(what: str, *flags: tuple[str, object]) -> None:
    """Raises HwsimError naming the flags that were given though they mean nothing beside something else."""
    given = [flag for flag, value in flags if value]
    if given:
        raise HwsimError(f"{', '.join(given)} beside {what}; expected one or the other")


def _count_as_scalesim(config: Path, topology: Path, dtype: str | None, report_to: Path | None, json_to: str | None) -> str:
    """The table in SCALE-Sim's conventions, or its JSON; its csv on request. A word's data type changes none of the counts."""
    from hwsim.foreign.scalesim.files import load_config, load_topology, scalesim_machine
    from hwsim.foreign.scalesim.report import compute_report, scalesim_document, scalesim_text
    from hwsim.report.files import write_file

    array, layers = load_config(config), load_topology(topology)
    scalesim_machine(array, dtype or "int8")
    if report_to:
        write_file(report_to, compute_report(array, layers))
    text = json.dumps(scalesim_document(array, layers), indent=1)
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    return text if json_to == "-" else scalesim_text(array, layers)


def _simulate_scalesim(config: Path, topology: Path, algorithm: str, dataflow: str | None, dtype: str | None, timeline: bool) -> Result:
    """SCALE-Sim's files on the array as hwsim simulates it; what they say and it does not do is noted on stderr."""
    from hwsim.api import simulate
    from hwsim.foreign.scalesim.files import load_config, load_topology, scalesim_machine, scalesim_workload, topology_notes
    from hwsim.schedule.arrays import STATIONARY

    array, layers = load_config(config), load_topology(topology)
    network = scalesim_workload(topology.stem, layers)
    flow = dataflow or next(name for name, short in STATIONARY.items() if short == array.dataflow)
    for note in topology_notes(array, layers):
        click.echo(f"hwsim: note: {note}", err=True)
    with _progress("simulating") as progress:
        return simulate(network, scalesim_machine(array, dtype or "int8"), "implicit-gemm" if algorithm == "auto" else algorithm,
                        dataflow=flow, dtype=dtype, progress=progress, timeline=timeline)


@main.command()
@click.argument("workload")
@click.option("--machines", "-m", required=True, help="Names or paths, separated by commas.")
@click.option("--algorithms", "-a", required=True, help="Names separated by commas; auto is one.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Folder for report.html, plots, CSV and JSON.")
@click.option("--force", is_flag=True, help="Replace a report that is there.")
@click.option("--batch", "-b", default=1, show_default=True, type=click.IntRange(1), help="Images at once.")
@click.option("--layer", "-l", "layers", multiple=True, help="Only this layer; may be repeated.")
@click.option("--dtype", "-t", help="Data type (default: each machine's own).")
@click.option("--json", "json_to", metavar="FILE", help="Write the results as JSON; - for standard output.")
@_user_errors
def compare(workload: str, machines: str, algorithms: str, out: Path | None, force: bool, batch: int, layers: tuple[str, ...],
            dtype: str | None, json_to: str | None) -> None:
    """Run WORKLOAD under every algorithm on every machine; --out writes a report."""
    from hwsim.api import compare as run_comparison
    from hwsim.describe.workload import find_workload
    from hwsim.report.files import check_folder, write_file, write_folder
    from hwsim.report.html import report_files

    _check_outputs(json_to)
    if out is not None:
        check_folder(out, force)
    network = find_workload(workload, batch)
    if layers:
        network = network.only(layers)
    with _progress("simulating") as progress:
        comparison = run_comparison(network, _names(machines, "--machines"), _names(algorithms, "--algorithms"), dtype=dtype,
                                    progress=progress)
    text = json.dumps(comparison.to_dict(), indent=1)
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    if out is not None:
        command = _typed("compare")
        write_folder(out, report_files(comparison, command), force)
        click.echo(f"wrote {out / 'report.html'}", err=True)
    _show(text if json_to == "-" else comparison.table())


def _typed(name: str) -> str:
    """The command as it was typed, for a report to say what made it: the arguments and options of the running subcommand."""
    given = click.get_current_context().params
    parameters = main.commands[name].params
    words = ["hwsim", name]
    for parameter in parameters:
        value = given.get(parameter.name or "")
        if isinstance(parameter, click.Argument):
            words.append(str(value))
        elif value is True:
            words.append(parameter.opts[0])
        elif value not in (None, False, parameter.default, ()):
            for each in value if isinstance(value, tuple) else (value,):
                words += [parameter.opts[0], str(each)]
    return shlex.join(words)


def _names(text: str, flag: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise HwsimError(f"{flag} {text!r}: an empty name; expected names separated by commas")
    return list(dict.fromkeys(names))


@main.command()
@click.argument("workload")
@click.option("--algorithms", "-a", help="Names separated by commas (default: all that `hwsim list` names).")
@click.option("--batch", "-b", default=1, show_default=True, type=click.IntRange(1), help="Images at once.")
@click.option("--layer", "-l", "layers", multiple=True, help="Only this layer; may be repeated.")
@click.option("--weights", type=float, help="Share of the weights that is not zero.")
@click.option("--activations", type=float, help="Share of the activations that is not zero.")
@click.option("--structure", default="unstructured", show_default=True,
              help="Of the weights' zeros: also 2:4 (N of every M), 16x16 (whole blocks), channels (whole input channels).")
@click.option("--arrays", type=click.Path(path_type=Path),
              help="NumPy .npz with LAYER.weights [k,c,r,s] (convtranspose: [c,k,r,s]), LAYER.activations [n,c,h,w].")
@click.option("--json", "json_to", metavar="FILE", help="Write the counts as JSON; - for standard output.")
@_user_errors
def count(workload: str, algorithms: str | None, batch: int, layers: tuple[str, ...], weights: float | None, activations: float | None,
          structure: str, arrays: Path | None, json_to: str | None) -> None:
    """Count WORKLOAD's operations under every algorithm.

    Multiplications of data by data, those whose operands are both not zero, constants, shifts, additions, and the memory
    for temporaries; nothing is simulated. WORKLOAD as in `hwsim run`.
    """
    from hwsim.algorithms import user_algorithms
    from hwsim.count.operations import count_algorithms, load_arrays
    from hwsim.describe.layer import Density
    from hwsim.describe.workload import find_workload
    from hwsim.report.counting import counts_document, counts_text
    from hwsim.report.files import write_file

    _check_outputs(json_to)
    network = find_workload(workload, batch)
    if layers:
        network = network.only(layers)
    if weights is not None or activations is not None or structure != "unstructured":
        if arrays is not None:
            raise HwsimError(f"--arrays {arrays} beside densities; expected one or the other")
        network = network.with_density(Density(1.0 if weights is None else weights, 1.0 if activations is None else activations, structure))
    names = user_algorithms() if algorithms is None else _names(algorithms, "--algorithms")
    rows = count_algorithms(network, names, load_arrays(arrays, network) if arrays else None)
    text = json.dumps(counts_document(network.name, rows), indent=1)
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    _show(text if json_to == "-" else counts_text(f"{network.name}, batch {batch}", rows))


@main.command()
@click.argument("layer")
@click.option("--algorithms", "-a", default="direct,winograd-f2,winograd-f4,winograd-f6,fft", show_default=True,
              help="Names, separated by commas.")
@click.option("--formats", default="fp32,fp16", show_default=True, help="Of the numbers, separated by commas.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the random inputs and filters.")
@click.option("--json", "json_to", metavar="FILE", help="Write the errors as JSON; - for standard output.")
@_user_errors
def error(layer: str, algorithms: str, formats: str, seed: int, json_to: str | None) -> None:
    """Measure what rounding costs LAYER under each algorithm.

    The layer is computed in fp32 and fp16 on random numbers in [-1, 1] and compared with direct convolution in float64.
    "of direct's" is relative to direct convolution in the same format, where that is among the algorithms.
    LAYER is WORKLOAD:LAYER or a shape such as conv:64,56,56,64,3,3,1,1; of a WORKLOAD, its convolutions.
    """
    from hwsim.count.rounding import measure
    from hwsim.describe.workload import find_workload
    from hwsim.report.counting import errors_document, errors_text
    from hwsim.report.files import write_file

    _check_outputs(json_to)
    network = find_workload(layer)
    with _progress("computing") as progress:
        found = measure(network, _names(algorithms, "--algorithms"), _names(formats, "--formats"), seed, progress)
    text = json.dumps(errors_document(network.name, seed, found), indent=1)
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    _show(text if json_to == "-" else errors_text(found))


@main.command("map")
@click.argument("machine")
@click.argument("layer")
@click.option("--objective", "-o", default="edp", show_default=True, help="latency, energy, edp or dram.")
@click.option("--algorithm", "-a", default="direct", show_default=True, help="How layers are lowered.")
@click.option("--batch", "-b", default=1, show_default=True, type=click.IntRange(1), help="Images at once.")
@click.option("--dtype", "-t", help="Data type (default: the machine's).")
@click.option("--one-dim-per-axis", is_flag=True, help="Give an axis of the array to one dim only.")
@click.option("--convention", default="exact", show_default=True, help="exact, or timeloop: without drain reads, first and last tiles.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop a stage's search after so long, and state the gap.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the nests for `hwsim run --nest`.")
@click.option("--json", "json_to", metavar="FILE", help="Write what was found as JSON; - for standard output.")
@_user_errors
def map_command(machine: str, layer: str, objective: str, algorithm: str, batch: int, dtype: str | None, one_dim_per_axis: bool,
                convention: Any, seconds: float | None, out: Path | None, json_to: str | None) -> None:
    """Find the best loop nest of LAYER on MACHINE, and prove it.

    LAYER is WORKLOAD:LAYER, a shape such as gemm:256,256,256 (M,N,K) or conv:64,56,56,64,3,3,1,1 (C,H,W,K,R,S,STRIDE,PAD),
    or a whole WORKLOAD. Ctrl-C gives the best so far.
    """
    from hwsim.api import map_layers
    from hwsim.describe.workload import find_workload
    from hwsim.report.files import write_file

    if seconds is not None and not isfinite(seconds):
        raise HwsimError(f"--seconds {seconds}; expected a number of seconds")
    _check_outputs(json_to, out)
    network = find_workload(layer, batch)
    with _progress("mapping") as progress:
        mappings = map_layers(network, machine, objective, algorithm=algorithm, dtype=dtype, mixed=not one_dim_per_axis,
                              convention=convention, seconds=seconds, progress=progress)
    text = json.dumps(mappings.to_dict(), indent=1)
    if out is not None:
        write_file(out, mappings.nest_file(machine))
        click.echo(f"wrote {out}; run it with: hwsim run --nest {out}", err=True)
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    _show(text if json_to == "-" else mappings.text())


@main.command()
@click.option("--n", required=True, type=click.IntRange(1, 10**12), help="Columns of C; rows and depth too, unless given.")
@click.option("--m", type=click.IntRange(1, 10**12), help="Rows of C.")
@click.option("--k", type=click.IntRange(1, 10**12), help="The reduction.")
@click.option("--tiles", metavar="V1,V2,V3", help="Tile of C (v1 x v2), step v3 of the reduction.  [default: 1,1,1]")
@click.option("--machine", help="Also its cost there, and the best tiles that fit.")
@click.option("--memory", help="The memory that tiles must fit (default: the largest explicit one).")
@click.option("--sweep", is_flag=True, help="The whole trade-off of footprint against DRAM accesses.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Folder for sweep.csv, sweep.svg and sweep.png.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@click.option("--json", "json_to", metavar="FILE", help="Write the numbers as JSON; - for standard output.")
@_user_errors
def tile(n: int, m: int | None, k: int | None, tiles: str | None, machine: str | None, memory: str | None, sweep: bool, out: Path | None,
         force: bool, json_to: str | None) -> None:
    """Tile a matrix product: formulas, exact counts, executed loops.

    \b
    hwsim tile --n 1024 --tiles 32,32,8
    hwsim tile --m 100 --n 60 --k 7 --tiles 8,8,1
    hwsim tile --n 1024 --tiles 32,32,8 --machine tpu-v1 --sweep --out sweep
    """
    from hwsim.count.tiling import Tiled, sweep as sweep_tiles
    from hwsim.describe.machine import load_machine
    from hwsim.report.files import check_folder, write_file, write_folder
    from hwsim.report.tiling import machine_text, sweep_text, tiling_document, tiling_text

    _check_outputs(json_to)
    if out is not None:
        if not sweep:
            raise HwsimError("--out without --sweep; expected --sweep, whose table and plot it writes")
        check_folder(out, force)
    if memory is not None and machine is None:
        raise HwsimError(f"--memory {memory} without --machine")
    tiled = Tiled(m or n, n, k or n, *_tiles(tiles))
    loaded = load_machine(machine) if machine else None
    swept = sweep_tiles(tiled.m, tiled.n, tiled.k) if sweep else []
    text = json.dumps(tiling_document(tiled, loaded, memory, swept), indent=1)
    cached = loaded is not None and loaded.management != "explicit"
    words = [tiling_text(tiled, "words in and out" if cached else "DRAM accesses")]
    words += [machine_text(tiled, loaded, memory)] if loaded else []
    words += [sweep_text(swept)] if sweep else []
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    if out is not None:
        from hwsim.report.tiling import sweep_files

        write_folder(out, sweep_files(tiled, swept, loaded, memory), force)
        click.echo(f"wrote {out / 'sweep.svg'}", err=True)
    _show(text if json_to == "-" else "\n".join(words))


def _tiles(text: str | None) -> tuple[int, int, int]:
    parts = (text or "1,1,1").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise HwsimError(f"--tiles {text!r}; expected three whole numbers V1,V2,V3, such as 32,32,8")
    v1, v2, v3 = (int(part) for part in parts)
    return v1, v2, v3


@main.command("list")
@click.argument("kind", required=False)
@_user_errors
def list_names(kind: str | None) -> None:
    """What there is: machines, workloads, algorithms, dataflows, references."""
    from hwsim.cli.listing import listing

    _show(listing(kind))


@main.command()
@click.argument("name")
@_user_errors
def show(name: str) -> None:
    """What was understood of a machine, workload, algorithm or dataflow (or a YAML file)."""
    from hwsim.cli.listing import show as show_text

    _show(show_text(name))


@main.command()
@click.argument("name", required=False)
@click.option("--data", type=click.Path(path_type=Path), help="Rows of your own, in the format of the reference file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_user_errors
def validate(name: str | None, data: Path | None, as_json: bool) -> None:
    """The models beside measured and published data; all of it without NAME."""
    from hwsim.validate import CHECKS, run_check
    from hwsim.validate.text import validation_text

    if data is not None and name is None:
        raise HwsimError(f"--data {data} without a name; expected one of {', '.join(CHECKS)}")
    with _progress("validating") as progress:
        reports = [run_check(check, data, progress) for check in ([name] if name else CHECKS)]
    if as_json:
        documents = [report.to_dict() for report in reports]
        _show(json.dumps(documents[0] if name else documents, indent=1))
    else:
        _show("\n\n".join(validation_text(report) for report in reports))
