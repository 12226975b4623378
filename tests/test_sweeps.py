"""Sweeps: axes, constraints, points, a journal that survives being killed, engines that agree."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import hwsim
from hwsim.choose.nests import EQUAL
from hwsim.cli import main
from hwsim.describe.machine import load_machine
from hwsim.describe.settings import Setting
from hwsim.describe.variations import Variations
from hwsim.errors import ConfigError, HwsimError
from hwsim.sweeps.axes import axis, values_of
from hwsim.sweeps.constraints import constraints_of
from hwsim.sweeps.engines import ENGINES, Crew
from hwsim.sweeps.journal import Journal
from hwsim.sweeps.result import SweepResult, front
from hwsim.sweeps.run import Asked, run_sweep
from hwsim.sweeps.spec import Sweep
from hwsim.sweeps.sweep_file import load_sweep, make_sweep

LAYER = "conv:8,6,6,8,3,3,1,1"
AXES: Mapping[str, Sequence[str] | str] = {
    "parts.array.rows, parts.array.cols": ["2", "4", "8"],
    "parts.dram.bandwidth": "powers(2 B/cycle, 8 B/cycle)",
    "algorithm": ["direct", "winograd-f2"],
}


def small(axes: Mapping[str, Sequence[str] | str] | None = None, **more: Any) -> Sweep:
    made = [axis(title, values) for title, values in (axes or AXES).items()]
    names = {name for each in made for name in each.names}
    fixed = {"machine": "toy-systolic", "workload": LAYER}
    stays = {name: value for name, value in fixed.items() if name not in names}
    return make_sweep("small", made, stays, **more)


def rows(result: SweepResult) -> list[list[Any]]:
    return list(result.records())


# ---- axes, constraints, points


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linspace(1 GB/s, 4 GB/s, 4)", ("1 GB/s", "2 GB/s", "3 GB/s", "4 GB/s")),
        ("logspace(1, 8, 4)", ("1", "2", "4", "8")),
        ("logspace(8 KiB, 1 KiB, 4)", ("8 KiB", "4 KiB", "2 KiB", "1 KiB")),
        ("range(8, 30, 8)", ("8", "16", "24")),
        ("powers(16 KiB, 64 KiB)", ("16 KiB", "32 KiB", "64 KiB")),
        ("powers(512 KiB, 2 MiB)", ("512 KiB", "1024 KiB", "2048 KiB")),
    ],
)
def test_functions_of_values(text: str, expected: tuple[str, ...]) -> None:
    assert values_of(text) == expected


@pytest.mark.parametrize(
    ("title", "values", "expected"),
    [
        ("batch", "lospace(1, 8, 4)", "did you mean 'logspace'"),
        ("batch", "linspace(1, 8)", "2 arguments; expected 3"),
        ("batch", "linspace(1 B, 8 KB, 3)", "ends of one unit"),
        ("batch", "logspace(0, 8, 3)", "ends above 0"),
        ("batch", "range(1, 8, 0)", "a step above 0"),
        ("batch", ["1", "x"], "whole numbers"),
        ("batch", ["1", "1"], "1 twice"),
        ("batch", [], "no values"),
        ("bach", ["1"], "did you mean 'batch'"),
        ("parts..x", ["1"], "expected a place"),
        ("batch", "seven", "expected a list, or one of"),
    ],
)
def test_axes_that_are_none(title: str, values: list[str] | str, expected: str) -> None:
    with pytest.raises(HwsimError, match=expected):
        axis(title, values)


def test_constraints_are_arithmetic_on_values_and_sizes() -> None:
    names = ("parts.array.rows", "parts.gb.capacity", "batch")
    values = {"parts.array.rows": "8", "parts.gb.capacity": "64 KiB", "batch": "4"}
    for text, expected in (
        ("array.rows * batch <= 32", True),
        ("array.rows * batch < 32", False),
        ("gb.capacity == 65536 and not batch > 4", True),
        ("2 <= batch < 4 or rows % 3 == 2", True),
        ("-batch < 0", True),
    ):
        (constraint,) = constraints_of([text], names)
        assert constraint.holds(values, None) is expected, text
    machine = load_machine("toy-8x8")
    assert constraints_of(["multipliers == 64"], names)[0].holds(values, machine)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch <= ", "cannot be read"),
        ("batch", "compares nothing"),
        ("__import__('os').system('x') == 0", "names"),
        ("[1] == batch", "has list"),
        ("batch ** 9 < 3", "has pow"),
        ("bach < 3", "did you mean 'batch'"),
        ("x" * 600 + " < 3", "a short one"),
    ],
)
def test_constraints_that_are_none(text: str, expected: str) -> None:
    with pytest.raises(HwsimError, match=expected):
        constraints_of([text], ["batch"])


def test_a_point_is_its_number() -> None:
    sweep = small()
    every = [tuple(sweep.values(number).values()) for number in range(sweep.size)]
    assert len(set(every)) == sweep.size == 18
    assert every[1] == ("2", "2", "2 B/cycle", "winograd-f2")
    limited = small(where=["rows * cols <= 16", "dram.bandwidth >= 4"])
    assert {limited.values(n)["parts.array.rows"] for n in limited.numbers()} == {"2", "4"}
    assert len(list(limited.numbers())) == 8


def test_keys_follow_from_values_alone() -> None:
    """Another order or number of values leaves a point its key; another model does not."""
    one, other = small(), small({**AXES, "algorithm": ["winograd-f2", "direct", "im2col"]})
    keys = {one.key(number) for number in range(one.size)}
    assert len(keys) == one.size
    assert keys < {other.key(number) for number in range(other.size)}
    assert keys.isdisjoint(small(model="bound").key(number) for number in range(18))


def test_machines_varied_in_memory_are_those_of_the_file() -> None:
    fixed = [Setting("parts.dram.timing", "null")]
    varied = Variations("tpu-v1", fixed)
    for rows_, clock, rate in ((64, "700 MHz", "20 GB/s"), (256, "1 GHz", "34 GB/s")):
        settings = [
            Setting("parts.array.rows", str(rows_)),
            Setting("clock", clock),
            Setting("parts.dram.bandwidth", rate),
        ]
        assert varied.machine(settings) == load_machine("tpu-v1", [*fixed, *settings])
    with pytest.raises(HwsimError, match="channels of ddr3"):
        Variations("tpu-v1").machine([Setting("parts.dram.bandwidth", "1 GB/s")])


# ---- runs


def test_a_row_is_what_run_says(tmp_path: Path) -> None:
    result = run_sweep(small(), tmp_path / "j.sqlite", Asked("serial"))
    for point in (next(result.points()), *result.best("latency", 2)):
        settings = [
            Setting(name, text) for name, text in point.values.items() if name.startswith("parts")
        ]
        machine = load_machine("toy-systolic", settings)
        alone = hwsim.simulate(LAYER, machine, point.values["algorithm"])
        assert point.row.seconds == alone.seconds
        assert point.row.energy_pj == sum(sum(layer.energy_pj.values()) for layer in alone.layers)


def test_of_points_as_good_the_one_that_is_better_otherwise_is_named(tmp_path: Path) -> None:
    """As much energy with a quarter of DRAM's bandwidth was called the least, and took longer."""
    axes = {**AXES, "parts.dram.bandwidth": ["1 GB/s", "4 GB/s"], "algorithm": ["direct"]}
    result = run_sweep(small(axes), tmp_path / "j.sqlite", Asked("serial"))
    (least,) = result.best("energy", 1)
    as_good = [point for point in result.points() if point.row.energy_pj == least.row.energy_pj]
    assert len(as_good) > 1
    assert least.row.seconds == min(point.row.seconds for point in as_good)


def test_engines_agree_and_nothing_runs_twice(tmp_path: Path) -> None:
    serial = run_sweep(small(), tmp_path / "a.sqlite", Asked("serial"))
    pool = run_sweep(small(), tmp_path / "b.sqlite", Asked("pool", crew=Crew(2)))
    assert rows(serial) == rows(pool)
    told: list[tuple[int, int]] = []
    ran: list[int] = []
    real = ENGINES["serial"].run

    class Watched:
        summary = "watched"

        def run(self, sweep: Sweep, blocks: Any, crew: Crew) -> Any:
            for done in real(sweep, blocks, crew):
                ran.extend(done[0])
                yield done

    ENGINES._found["watched"] = Watched()
    try:
        again = run_sweep(
            small({**AXES, "algorithm": ["direct", "winograd-f2", "im2col"]}),
            tmp_path / "a.sqlite",
            Asked("watched"),
            lambda done, total: told.append((done, total)),
        )
    finally:
        del ENGINES._found["watched"]
    assert len(ran) == 9 and len(again) == 27
    assert told[-1] == (27, 27)


@pytest.mark.slow
def test_a_dask_cluster_agrees(tmp_path: Path) -> None:
    serial = run_sweep(small(), tmp_path / "a.sqlite", Asked("serial"))
    dask = run_sweep(small(), tmp_path / "b.sqlite", Asked("dask", crew=Crew(2)))
    assert rows(serial) == rows(dask)


def test_a_point_that_cannot_run_says_why(tmp_path: Path) -> None:
    sweep = small({"dtype": ["int8", "fp64"], "parts.dram.bandwidth": ["2 B/cycle"]})
    result = run_sweep(sweep, tmp_path / "j.sqlite", Asked("serial"))
    assert result.failed == 1 and "does not compute 'fp64'" in result.first_error
    assert len(result.pareto()) == 1
    with pytest.raises(HwsimError, match="none of 1 points ran: toy-systolic does not compute"):
        run_sweep(small({"dtype": ["fp64"]}), tmp_path / "j.sqlite", Asked("serial")).check()


def test_a_bound_is_below_every_simulation(tmp_path: Path) -> None:
    axes = {"machine": ["toy-systolic", "tpu-v1", "toy-8x8"], "batch": ["1", "3"]}
    bound = run_sweep(small(axes, model="bound"), tmp_path / "j.sqlite", Asked("serial"))
    whole = run_sweep(small(axes), tmp_path / "j.sqlite", Asked("serial"))
    for least, point in zip(bound.points(), whole.points(), strict=True):
        assert least.row.seconds is not None and point.row.seconds is not None
        assert least.row.seconds <= point.row.seconds
        assert (least.row.macs, least.row.multipliers) == (point.row.macs, point.row.multipliers)


def test_quick_schedules_are_never_slower_for_more_bandwidth(tmp_path: Path) -> None:
    axes = {"parts.dram.bandwidth": "powers(1 B/cycle, 64 B/cycle)"}
    asked = Asked("serial")
    quick = run_sweep(small(axes, schedules="quick"), tmp_path / "j.sqlite", asked)
    best = run_sweep(small(axes), tmp_path / "j.sqlite", asked)
    times = [float(point.row.seconds or 0) for point in quick.points()]
    assert times == sorted(times, reverse=True)
    for one, other in zip(times, best.points(), strict=True):
        assert other.row.seconds is not None and other.row.seconds <= one * EQUAL


def test_samplers_take_as_many_points_as_they_are_told(tmp_path: Path) -> None:
    for sampler in ("random", "optuna"):
        result = run_sweep(
            small(), tmp_path / f"{sampler}.sqlite", Asked("serial", sampler, trials=7)
        )
        assert len(set(result.numbers)) == len(result) == 7
    again = run_sweep(small(), tmp_path / "random.sqlite", Asked("serial", "random", trials=7))
    known = run_sweep(small(), tmp_path / "random.sqlite", Asked("serial", "random", trials=7))
    assert rows(again) == rows(known)


# ---- the journal


def test_a_block_is_there_whole_or_not(tmp_path: Path) -> None:
    from hwsim.sweeps.rows import Row

    class Broken(Exception):
        pass

    def breaking() -> Any:
        yield b"a" * 16, Row(1.0)
        raise Broken

    with Journal(tmp_path / "j.sqlite") as journal:
        with pytest.raises(Broken):
            journal.add(breaking())
        assert not journal.there([b"a" * 16])
        journal.add([(b"a" * 16, Row(1.0)), (b"b" * 16, Row(2.0))])
        journal.add([(b"a" * 16, Row(9.0))])
        assert journal.known([b"a" * 16, b"c" * 16]) == {b"a" * 16: Row(1.0)}


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_text("a letter to a friend, long enough to be no database at all\n" * 30)
    with pytest.raises(HwsimError, match="the sweep's journal cannot be used"):
        Journal(path)


KILLED = """
machine: toy-systolic
workload: "conv:8,6,6,8,3,3,1,1"
model: bound
axes:
  parts.array.rows: range(1, 20, 1)
  parts.array.cols: range(1, 20, 1)
  parts.dram.bandwidth: linspace(1 B/cycle, 20 B/cycle, 20)
"""


@pytest.mark.slow
def test_a_sweep_killed_a_hundred_times_ends_whole(tmp_path: Path) -> None:
    """Every point once, and equal to an undisturbed run's."""
    path = tmp_path / "killed.yaml"
    path.write_text(KILLED)
    command = [sys.executable, "-m", "hwsim", "sweep", str(path), "--engine", "serial", "--out"]
    draw, kills = random.Random(1), 0
    disturbed = tmp_path / "disturbed"
    while kills < 100:
        begun = subprocess.Popen(
            [*command, str(disturbed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0.2, 0.9))
        if begun.poll() is not None:
            (disturbed / "journal.sqlite").unlink()  # it ended first: begin anew
            continue
        os.kill(begun.pid, signal.SIGKILL)
        begun.wait()
        kills += 1
    for folder in (disturbed, tmp_path / "undisturbed"):
        subprocess.run([*command, str(folder)], check=True, capture_output=True)
    tables = [
        (folder / "points.csv").read_text() for folder in (disturbed, tmp_path / "undisturbed")
    ]
    assert tables[0] == tables[1]
    numbers = [line.split(",")[0] for line in tables[0].splitlines()[1:]]
    assert numbers == [str(number) for number in range(20 * 20 * 20)][: len(numbers)]
    assert len(numbers) == 20 * 20 * 20


# ---- what is made of the rows


def test_a_front_is_what_no_other_beats() -> None:
    draw = np.random.default_rng(3)
    for columns in (1, 2, 3):
        table = draw.integers(0, 6, size=(60, columns)).astype(float)
        table[7] = np.nan
        found = {tuple(table[place]) for place in front(table)}
        expected = {
            tuple(row)
            for row in table
            if not np.isnan(row).any()
            and not any(
                (other <= row).all() and (other < row).any()
                for other in table
                if not np.isnan(other).any()
            )
        }
        assert found == expected
        assert len(front(table)) == len(found)


SWEEP = """
machine: toy-systolic
workload: "conv:8,6,6,8,3,3,1,1"
algorithm: direct
axes:
  "parts.array.rows, parts.array.cols": [2, 4]
  parts.dram.bandwidth: [2 B/cycle, 8 B/cycle]
objectives: [latency, energy, multipliers]
"""


def test_a_folder_has_the_answer_and_every_point(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    (tmp_path / "s.yaml").write_text(SWEEP)
    out = tmp_path / "out"
    ran = CliRunner().invoke(
        main, ["sweep", str(tmp_path / "s.yaml"), "--out", str(out), "--engine", "serial"]
    )
    assert ran.exit_code == 0, ran.output
    assert max(map(len, ran.stdout.replace(str(out), "out").splitlines())) <= 80
    assert "least latency" in ran.stdout and "Pareto front" in ran.stdout
    table = list(csv.DictReader((out / "points.csv").read_text().splitlines()))
    assert [row["point"] for row in table] == ["0", "1", "2", "3"]
    document = json.loads((out / "sweep.json").read_text())
    assert document["points"] == 4 and document["failed"] == 0
    fastest = min(table, key=lambda row: float(row["seconds_an_image"]))
    assert document["best"]["latency"]["seconds"] == float(fastest["seconds"])
    frame = pandas.read_parquet(out / "points.parquet")
    assert frame["seconds"].tolist() == [float(row["seconds"]) for row in table]
    page = (out / "sweep.html").read_text()
    assert "default-src 'none'" in page and "<script src" not in page


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("axes: {batch: [1, 2]}\n", 1, "no machine"),
        ("machine: toy-8x8\nworkload: alexnet\naxes: {}\n", 3, "no axes"),
        ("machine: toy-8x8\nworkload: alexnet\naxes:\n  bach: [1]\n", 4, "did you mean 'batch'"),
        ("machine: toy-8x8\naxes: {machine: [tpu-v1]}\n", 1, "machine is fixed, and an axis"),
        ("machin: toy-8x8\naxes: {batch: [1]}\n", 1, "did you mean 'machine'"),
        ("machine: toy-8x8\naxes: {batch: [1]}\nobjectives: [speed]\n", 3, "no objective"),
        ("machine: toy-8x8\naxes: {batch: [1]}\nwhere: [bat < 3]\n", 3, "names 'bat'"),
        ("machine: toy-8x8\naxes: {algorithm: [dirct]}\n", 2, "did you mean 'direct'"),
        ("machine: toy-8x8\naxes: {batch: [[1]]}\n", 2, "a list of single values"),
        ("axes: {batch: [1]}\nmachine: toy-8x9\n", 2, "did you mean 'toy-8x8'"),
        ("machine: toy-8x8\nworkload: alexnt\naxes: {batch: [1]}\n", 2, "did you mean 'alexnet'"),
        ("machine: toy-8x8\naxes: {workload: [alexnt]}\n", 2, "did you mean 'alexnet'"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, line: int, expected: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    ran = CliRunner().invoke(main, ["sweep", str(path), "--out", str(tmp_path / "out")])
    assert ran.exit_code == 2, ran.output
    assert expected in ran.output and "Traceback" not in ran.output
    if expected != "no machine":
        with pytest.raises(ConfigError):
            load_sweep(path)
        assert f"s.yaml:{line}:" in ran.output


def test_a_place_that_a_machine_lacks_is_refused_before_anything_runs(tmp_path: Path) -> None:
    sweep = small({"parts.arry.rows": ["2"]})
    with pytest.raises(HwsimError, match="no 'arry' in parts; did you mean 'array'"):
        run_sweep(sweep, tmp_path / "j.sqlite", Asked("serial"))


def test_from_python(tmp_path: Path) -> None:
    result = hwsim.sweep(
        "toy-systolic",
        LAYER,
        {"parts.array.rows": [2, 4], "batch": [1, 2]},
        algorithm="direct",
        where=["rows * batch <= 4"],
        journal=tmp_path / "j.sqlite",
        engine="serial",
    )
    assert len(result) == 3
    assert result.best("latency")[0].values["parts.array.rows"] == "4"
    assert list(result.to_frame()["batch"]) == ["1", "2", "1"]
    assert result._repr_html_().startswith("<pre>sweep: 3 points ran")
    swing = result.sensitivities()
    assert {one.axis for one in swing} <= {"parts.array.rows", "batch"}


def test_a_sweep_of_which_no_point_ran_is_an_error_in_python_too(tmp_path: Path) -> None:
    with pytest.raises(HwsimError, match="none of 2 points ran: .*rowz"):
        hwsim.sweep(
            "toy-systolic",
            "gemm:8,8,8",
            {"parts.array.rowz": [2, 4]},
            algorithm="direct",
            journal=tmp_path / "j.sqlite",
            engine="serial",
        )
    with pytest.raises(HwsimError, match="axis batch: 3; expected a list"):
        hwsim.sweep("toy-systolic", "toy-4x4", {"batch": 3}, journal=tmp_path / "k.sqlite")  # type: ignore[dict-item]
