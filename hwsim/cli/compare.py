"""hwsim compare: every algorithm on every machine, and a report."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from click.core import ParameterSource

from hwsim.cli.inputs import (
    batches_of,
    context_option,
    fidelity_option,
    input_option,
    machines_with,
    say_where_all_is_exact,
    set_option,
)
from hwsim.cli.terminal import (
    NamesOption,
    check_outputs,
    names_of,
    progress_bar,
    show,
    user_errors,
)
from hwsim.describe.settings import Setting


@click.command()
@click.argument("workload")
@click.option(
    "--machines",
    "-m",
    cls=NamesOption,
    required=True,
    help="Names or paths, separated by commas.",
)
@click.option(
    "--algorithms",
    "-a",
    cls=NamesOption,
    default="auto",
    show_default=True,
    help="Names separated by commas; auto is the best for each layer.",
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder for report.html, plots, CSV and JSON.",
)
@click.option("--force", is_flag=True, help="Replace a report that is there.")
@click.option(
    "--batch",
    "-b",
    cls=NamesOption,
    default="1",
    show_default=True,
    help="Images at once; several: 1,4,16.",
)
@click.option(
    "--dataflows",
    "-d",
    cls=NamesOption,
    help="Schedule by these: ws,os,is (default: the best of each machine's own).",
)
@click.option("--layer", "-l", "layers", multiple=True, help="Only this layer; may be repeated.")
@click.option(
    "--dtype",
    "-t",
    cls=NamesOption,
    help="Data types, as fp32,int8 (default: each machine's own).",
)
@input_option
@context_option
@set_option
@click.option(
    "--what-if/--no-what-if",
    default=None,
    help="Double each resource of every machine's fastest run (default: with --out).",
)
@click.option(
    "--wait", is_flag=True, help="Simulate a CPU's caches even where that takes many minutes."
)
@fidelity_option
@click.option(
    "--json", "json_to", metavar="FILE", help="Write the results as JSON; - for standard output."
)
@user_errors
def command(
    workload: str,
    machines: str,
    algorithms: str,
    out: Path | None,
    force: bool,
    batch: str,
    dataflows: str | None,
    layers: tuple[str, ...],
    dtype: str | None,
    size: tuple[int, int] | None,
    context: int | None,
    settings: tuple[Setting, ...],
    what_if: bool | None,
    wait: bool,
    fidelity: str,
    json_to: str | None,
) -> None:
    """Run WORKLOAD under every algorithm on every machine; --out writes a report.

    Layers that were simulated before are taken from disk (HWSIM_KEEP=0 simulates all anew).
    """
    from hwsim.api import compare as run_comparison
    from hwsim.describe.networks import find_workload
    from hwsim.report.files import check_folder, write_folder
    from hwsim.report.html import report_files

    check_outputs(json_to)
    if out is not None:
        check_folder(out, force)
    network = find_workload(workload, size=size, context=context)
    loaded = machines_with(names_of(machines, "--machines"), settings)
    if layers:
        network = network.only(layers)
    with progress_bar("simulating") as progress:
        comparison = run_comparison(
            network,
            loaded,
            names_of(algorithms, "--algorithms"),
            dtypes=names_of(dtype, "--dtype") if dtype is not None else (),
            dataflows=names_of(dataflows, "--dataflows") if dataflows is not None else (),
            batches=batches_of(batch),
            what_if=out is not None if what_if is None else what_if,
            keeps=True,
            progress=progress,
            patient=wait,
            fidelity=fidelity,
        )
    say_where_all_is_exact(fidelity, loaded, comparison.results)
    if out is not None:
        command = _typed("compare")
        write_folder(out, report_files(comparison, command), force)
        click.echo(f"wrote {out / 'report.html'}", err=True)
    show(json_to, comparison.to_dict(), comparison.table())


def _typed(name: str) -> str:
    """The command as it was typed, for a report to say what made it.

    It is the arguments and options of the running subcommand.
    """
    context = click.get_current_context()
    given, parameters = context.params, context.command.params
    words = ["hwsim", name]
    for parameter in parameters:
        key = parameter.name or ""
        value = given.get(key)
        if isinstance(parameter, click.Argument):
            words.append(str(value))
        elif context.get_parameter_source(key) is ParameterSource.DEFAULT:
            continue
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            for each in value if isinstance(value, tuple) else (value,):
                words += [parameter.opts[0], str(each)]
    return shlex.join(words)
