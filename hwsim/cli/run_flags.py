"""What a user gave to hwsim run, and which of it does not go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hwsim.cli.terminal import check_outputs
from hwsim.describe.settings import Setting
from hwsim.errors import HwsimError

CHART = "causes"  # of --plot, where none is named


@dataclass(frozen=True)
class Flags:
    """What the user gave: every argument and option of the command."""

    machine: str | None
    workload: str | None
    algorithm: str
    objective: str
    dataflow: str | None
    kernel: str | None
    explain: bool
    mapping: str
    wait: bool
    fidelity: str
    cores: int | None
    arrays: tuple[str, ...]
    batch: int
    layers: tuple[str, ...]
    dtype: str | None
    size: tuple[int, int] | None
    context: int | None
    settings: tuple[Setting, ...]
    layout: Literal["nchw", "nhwc"]
    eager: bool
    nest_file: Path | None
    show_nest: bool
    reuse: bool
    misses: bool
    json_to: str | None
    csv_to: str | None
    plot_to: Path | None
    chart: str | None
    legend: bool
    trace_to: Path | None
    config: Path | None
    topology: Path | None
    convention: str
    report_to: Path | None

    @property
    def schedule(self) -> str | None:
        """The dataflow by its full name: --mapping and --kernel name one too."""
        if self.mapping == "published":
            return "row-stationary:published"
        return self.dataflow if self.kernel is None else f"kernel:{self.kernel}"

    @property
    def of_a_workload(self) -> list[tuple[str, object]]:
        """The options that say how MACHINE runs WORKLOAD, as given."""
        return [
            ("--batch", self.batch > 1),
            ("--layer", self.layers),
            ("--cores", self.cores),
            ("--array", self.arrays),
            ("--explain", self.explain),
            ("--layout", self.layout != "nchw"),
            ("--eager", self.eager),
            ("--input", self.size),
            ("--context", self.context is not None),
            ("--set", self.settings),
        ]


def check(flags: Flags) -> None:
    """Raises HwsimError for options that do not go together, or files that cannot be written."""
    from hwsim.report.plot import check_chart

    check_outputs(flags.json_to, flags.csv_to, flags.plot_to, flags.trace_to, flags.report_to)
    if flags.plot_to is not None:
        check_chart(flags.chart or CHART, flags.plot_to)
        _refuse_beside("--plot", [("--nest", flags.nest_file), ("--scalesim-config", flags.config)])
    elif flags.chart is not None:
        raise HwsimError(f"--chart {flags.chart} without --plot; expected --plot FILE beside it")
    if flags.json_to == flags.csv_to == "-":
        raise HwsimError("--json - and --csv -; expected one of them on standard output")
    if flags.mapping == "published" and flags.dataflow not in (None, "row-stationary"):
        raise HwsimError(
            f"--mapping published is row-stationary's; expected no --dataflow {flags.dataflow}"
        )
    if flags.kernel is not None:
        _refuse_beside("--kernel", [("--dataflow", flags.dataflow), ("--nest", flags.nest_file)])
    _check_scalesim(flags)
    if flags.nest_file is not None:
        _check_nests(flags)
    elif flags.config is None and (flags.machine is None or flags.workload is None):
        raise HwsimError(
            "expected MACHINE and WORKLOAD, or --nest FILE (hwsim list names what there is)"
        )


def _check_scalesim(flags: Flags) -> None:
    elsewhere = flags.machine or flags.workload or flags.nest_file
    if (flags.config is None) != (flags.topology is None) or (flags.config and elsewhere):
        raise HwsimError(
            "--scalesim-config and --topology go together, in place of MACHINE and WORKLOAD"
        )
    if flags.config is None:
        if flags.convention == "scalesim" or flags.report_to:
            raise HwsimError(
                f"{'--compute-report' if flags.report_to else '--convention scalesim'} needs "
                f"--scalesim-config and --topology"
            )
        return
    _refuse_beside(
        "SCALE-Sim's files", [*flags.of_a_workload, ("--objective", flags.objective != "latency")]
    )
    if flags.convention == "scalesim":
        _refuse_beside(
            "--convention scalesim",
            [
                ("--dataflow", flags.dataflow),
                ("--algorithm", flags.algorithm != "auto"),
                ("--trace", flags.trace_to),
                ("--show-nest", flags.show_nest),
                ("--reuse", flags.reuse),
                ("--misses", flags.misses),
            ],
        )


def _check_nests(flags: Flags) -> None:
    if flags.machine or flags.workload:
        raise HwsimError(
            f"--nest {flags.nest_file} names its machine and layers; expected no MACHINE and "
            f"WORKLOAD beside it"
        )
    _refuse_beside(
        f"--nest {flags.nest_file}, whose file says so itself",
        [
            ("--algorithm", flags.algorithm != "auto"),
            ("--dataflow", flags.dataflow),
            ("--dtype", flags.dtype),
            ("--trace", flags.trace_to),
            *flags.of_a_workload,
        ],
    )


def _refuse_beside(what: str, flags: Sequence[tuple[str, object]]) -> None:
    """Raises HwsimError naming flags that were given beside what they do not go with."""
    given = [flag for flag, value in flags if value]
    if given:
        raise HwsimError(f"{', '.join(given)} beside {what}; expected one or the other")
