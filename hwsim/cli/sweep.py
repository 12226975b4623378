"""hwsim sweep: one question asked of many machines."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hwsim.cli.terminal import print_text, progress_bar, user_errors


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the journal, the tables and the page (default: FILE's name, -sweep).",
)
@click.option(
    "--engine", default="pool", show_default=True, help="Who works: pool, serial or dask."
)
@click.option("--workers", type=click.IntRange(1), help="Processes (default: one a core).")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster: tcp://HOST:PORT.")
@click.option(
    "--sampler",
    default="all",
    show_default=True,
    help="Which points: all, random or optuna.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Points of a sampler that does not take all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@user_errors
def command(
    file: Path,
    out: Path | None,
    engine: str,
    workers: int | None,
    scheduler: str | None,
    sampler: str,
    trials: int,
    as_json: bool,
) -> None:
    """Run every point of a sweep's FILE, and say which are best.

    The file names a machine, a workload and axes (docs/how-to/sweep.md). Rows go into a journal as
    they come: interrupted or killed, run it again and it goes on.
    """
    from hwsim.errors import HwsimError
    from hwsim.report.files import write_file, written
    from hwsim.sweeps.engines import Crew
    from hwsim.sweeps.page import sweep_page
    from hwsim.sweeps.run import Asked, run_sweep
    from hwsim.sweeps.sweep_file import load_sweep
    from hwsim.sweeps.text import sweep_document, sweep_text

    sweep = load_sweep(file)
    if scheduler is not None and engine != "dask":
        raise HwsimError(f"--scheduler {scheduler} beside --engine {engine}; expected dask")
    folder = out or Path(f"{file.stem}-sweep")
    asked = Asked(engine, sampler, trials, Crew(workers, scheduler))
    journal = folder / "journal.sqlite"
    try:
        with progress_bar("sweeping") as progress:
            result = run_sweep(sweep, journal, asked, progress)
    except KeyboardInterrupt:
        written.append(journal)  # the points so far: the next run goes on
        raise
    result.check()
    write_file(folder / "points.csv", result.csv())
    try:
        write_file(folder / "points.parquet", result.parquet())
    except HwsimError as error:
        click.echo(f"hwsim: no {folder / 'points.parquet'}: {error}", err=True)
    document = json.dumps(sweep_document(result), indent=1)
    write_file(folder / "sweep.json", document + "\n")
    write_file(folder / "sweep.html", sweep_page(result, f"hwsim sweep {file}"))
    print_text(document if as_json else sweep_text(result))
    if not as_json:
        print_text(f"\nwritten: {folder}/sweep.html, points.csv, sweep.json")
