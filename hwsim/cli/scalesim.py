"""SCALE-Sim's files in place of a machine and a workload, simulated or counted its way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.cli.terminal import progress_bar

if TYPE_CHECKING:
    from hwsim.results.result import Result


def count_as_scalesim(
    config: Path, topology: Path, dtype: str | None, report_to: Path | None, json_to: str | None
) -> str:
    """The table in SCALE-Sim's conventions, or its JSON; its csv on request.

    A word's data type changes none of the counts.
    """
    from hwsim.foreign.scalesim.config import load_config, scalesim_machine
    from hwsim.foreign.scalesim.report import compute_report, scalesim_document, scalesim_text
    from hwsim.foreign.scalesim.topology import load_topology
    from hwsim.report.files import write_file

    array, layers = load_config(config), load_topology(topology)
    scalesim_machine(array, dtype or "int8")
    if report_to:
        write_file(report_to, compute_report(array, layers))
    text = json.dumps(scalesim_document(array, layers), indent=1)
    if json_to and json_to != "-":
        write_file(Path(json_to), text + "\n")
    return text if json_to == "-" else scalesim_text(array, layers)


def simulate_scalesim(
    config: Path,
    topology: Path,
    algorithm: str,
    dataflow: str | None,
    dtype: str | None,
    timeline: bool,
) -> Result:
    """SCALE-Sim's files on the array as hwsim simulates it.

    What they say and it does not do is noted on stderr.
    """
    from hwsim.api import simulate
    from hwsim.foreign.scalesim.config import load_config, scalesim_machine
    from hwsim.foreign.scalesim.topology import load_topology, scalesim_workload, topology_notes
    from hwsim.schedule.arrays import STATIONARY

    array, layers = load_config(config), load_topology(topology)
    network = scalesim_workload(topology.stem, layers)
    flow = dataflow or next(name for name, short in STATIONARY.items() if short == array.dataflow)
    for note in topology_notes(array, layers):
        click.echo(f"hwsim: note: {note}", err=True)
    with progress_bar("simulating") as progress:
        return simulate(
            network,
            scalesim_machine(array, dtype or "int8"),
            "implicit-gemm" if algorithm == "auto" else algorithm,
            dataflow=flow,
            dtype=dtype,
            progress=progress,
            timeline=timeline,
        )
