"""The tiled product: formulas by hand, closed form == executed loops, best tiles == trying all, the command."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

from hwsim import load_machine
from hwsim.choose.tiled import best_on, room_on, simulated
from hwsim.cli import main
from hwsim.count.tiling import Tiled, best_tiles, pareto, sweep


def test_the_lectures_numbers() -> None:
    # n = 1024, tiles 32 x 32, step 8: A and B 1024^3 / 32 = 33,554,432 loads each, registers 256 + 256 + 1024
    tiled = Tiled(1024, 1024, 1024, 32, 32, 8)
    values = {name: value for name, (_, value) in tiled.formulas.items()}
    assert values == {
        "A loads": 33_554_432,
        "B loads": 33_554_432,
        "C stores": 1_048_576,
        "A registers": 256,
        "B registers": 256,
        "C registers": 1024,
    }
    assert tiled.closed == values
    assert tiled.executed is None
    assert tiled.footprint == 1536
    assert tiled.accesses == 2 * 33_554_432 + 1_048_576


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.data())
def test_closed_form_executed_loops_and_short_formula_agree(
    m: int, n: int, k: int, data: st.DataObject
) -> None:
    tiled = Tiled(m, n, k, *(data.draw(st.integers(1, size)) for size in (m, n, k)))
    assert tiled.closed == tiled.executed
    assert tiled.accesses == sum(tiled.closed[name] for name in ("A loads", "B loads", "C stores"))


@pytest.mark.parametrize(
    ("size", "words"),
    [((6, 5, 4), 9), ((7, 7, 7), 30), ((8, 3, 5), 14), ((5, 9, 2), 200), ((4, 4, 4), 3)],
)
def test_best_tiles_are_the_best_of_all(size: tuple[int, int, int], words: int) -> None:
    every = [
        Tiled(*size, *tiles)
        for tiles in itertools.product(*(range(1, length + 1) for length in size))
    ]
    fitting = [tiled for tiled in every if tiled.footprint <= words]
    best = best_tiles(*size, words)
    assert best.footprint <= words
    assert best.accesses == min(tiled.accesses for tiled in fitting)


def test_a_front_is_beaten_by_none() -> None:
    tiles = sweep(16, 12, 20)
    front = pareto(tiles)
    for tiled in front:
        assert not any(
            other.footprint <= tiled.footprint and other.accesses < tiled.accesses
            for other in tiles
        )
    assert {tiled.accesses for tiled in front} >= {min(tiled.accesses for tiled in tiles)}


def test_the_command_in_80_columns() -> None:
    result = CliRunner().invoke(
        main, ["tile", "--n", "1024", "--tiles", "32,32,8", "--machine", "tpu-v1", "--sweep"]
    )
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.output.splitlines()) <= 80
    for text in ("M N K / v2", "33,554,432", "v1 v3", "for n0 in 0..1024 step 32:", "Pareto front"):
        assert text in result.output


def test_the_sweep_as_files(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    result = CliRunner().invoke(
        main, ["tile", "--n", "64", "--sweep", "--machine", "xeon-8380", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((out / "sweep.csv").read_text().splitlines()))
    assert len(rows) == 7**3
    assert sum(int(row["pareto"]) for row in rows) == len(pareto(sweep(64, 64, 64)))
    assert (out / "sweep.png").stat().st_size > 5000


def test_json_has_the_three_ways() -> None:
    result = CliRunner().invoke(
        main, ["tile", "--m", "10", "--n", "7", "--k", "9", "--tiles", "4,3,2", "--json", "-"]
    )
    document = json.loads(result.stdout)
    assert document["exact"] == document["executed"]
    assert document["exact"]["A loads"] == 10 * 9 * 3  # three tiles of n: 3, 3, 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--n", "8", "--tiles", "9,1,1"], "tile v1 (of m = 8) is 9; expected 1 to 8"),
        (["--n", "8", "--tiles", "1,1"], "expected three whole numbers V1,V2,V3"),
        (["--n", "8", "--tiles", "a,1,1"], "expected three whole numbers V1,V2,V3"),
        (["--n", "8", "--machine", "tpu"], "tpu"),
        (["--n", "8", "--machine", "xeon-8380", "--memory", "l2"], "l2 is implicit"),
        (["--n", "8", "--memory", "l2"], "--memory l2 without --machine"),
        (["--n", "8", "--out", "x"], "--out without --sweep"),
    ],
)
def test_wrong_tiles_are_one_line(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, ["tile", *arguments])
    assert result.exit_code == 2
    assert expected in result.output


def test_sizes_beyond_counting() -> None:
    tiled = Tiled(10**12, 10**12, 10**12, 7, 7, 7)
    assert tiled.closed["A loads"] == 10**24 * -(-(10**12) // 7)


def test_ragged_and_whole_tiles_in_80_columns() -> None:
    for tiles in ("3,3,3", "8,8,8", "8,1,8"):
        result = CliRunner().invoke(
            main,
            [
                "tile",
                "--n",
                "8",
                "--tiles",
                tiles,
                "--machine",
                "toy-8x8",
                "--memory",
                "rf",
                "--sweep",
            ],
        )
        assert result.exit_code == 0, result.output
        assert max(map(len, result.output.splitlines())) <= 80


def test_a_sweep_of_short_dims_knows_the_best_tiles() -> None:
    best = best_tiles(14, 10, 6, 64)
    assert not any(
        other.footprint <= 64 and other.accesses < best.accesses for other in sweep(14, 10, 6)
    )
    assert any(
        other.footprint <= best.footprint and other.accesses <= best.accesses
        for other in pareto(sweep(14, 10, 6))
    )


@pytest.mark.slow
def test_on_caches_every_memory_says_what_it_served() -> None:
    """A, B and C of 512 x 512 are 3 MiB, the L3 32 MiB: every line crosses DRAM once, and nothing more is called DRAM's."""
    zen3 = str(Path(__file__).parent / "cases" / "cpu" / "zen3.yaml")
    document = json.loads(
        CliRunner()
        .invoke(main, ["tile", "--n", "512", "--tiles", "8,16,4", "--machine", zen3, "--json", "-"])
        .stdout
    )["machine"]["best"]
    assert document["words_in"] == 27_525_120 - 512 * 512
    served = document["simulated"]["served"]
    assert served["dram"]["read_bytes"] == 3 * 512 * 512 * 4  # C's lines are fetched to be written
    assert (
        served["l1"]["reads"]
        > served["l2"]["reads"]
        >= served["l3"]["reads"]
        > served["dram"]["reads"]
    )
    text = (
        CliRunner()
        .invoke(main, ["tile", "--n", "64", "--tiles", "8,8,8", "--machine", zen3])
        .output
    )
    assert "DRAM" not in text and "words in" in text


def test_sizes_without_end_end() -> None:
    for machine in ("tpu-v1", "xeon-8380", "h200"):
        result = CliRunner().invoke(main, ["tile", "--n", "1000000000", "--machine", machine])
        assert result.exit_code == 0, result.output
    assert CliRunner().invoke(main, ["tile", "--n", "1" + "0" * 5000]).exit_code == 2


def test_a_search_stars_the_best_of_what_it_simulated() -> None:
    words = ["tile", "--n", "96", "--tiles", "16,16,16", "--machine", "cortex-a76", "--search"]
    result = CliRunner().invoke(main, [*words, "--json", "-"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    tried = {tuple(row["tiles"]): row["simulated"] for row in document["tried"]}
    assert {(16, 16, 16), (4, 4, 4), (64, 64, 64), (96, 96, 96)} <= set(tried)
    assert tuple(document["machine"]["best"]["tiles"]) in tried
    best = {name: tried[tuple(tiles)] for name, tiles in document["best_by"].items()}
    assert set(best) == {"time", "l2", "l3", "dram"}
    assert best["time"]["seconds"] == min(run["seconds"] for run in tried.values())
    for level in ("l2", "l3", "dram"):
        least = min(run["served"][level]["reads"] for run in tried.values())
        assert best[level]["served"][level]["reads"] == least
    text = CliRunner().invoke(main, words).output
    table = text[text.index("tiles of other sizes") :]
    assert max(map(len, table.splitlines())) <= 80
    tiles = ",".join(map(str, document["best_by"]["time"]))
    assert next(line for line in table.splitlines() if line.startswith(tiles)).endswith("s*")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--search"], "--search without --machine; expected a CPU or GPU"),
        (["--machine", "tpu-v1", "--search"], "no caches; expected a CPU or a GPU, or --sweep"),
    ],
)
def test_a_search_needs_caches(words: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["tile", "--n", "64", *words])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_search_of_what_is_too_large_says_so_of_every_tile() -> None:
    words = ["tile", "--n", "20000", "--machine", "cortex-a76", "--search"]
    result = CliRunner().invoke(main, [*words, "--json", "-"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["best_by"] == {}
    assert all(row["simulated"] is None and row["note"] for row in document["tried"])
    text = CliRunner().invoke(main, words).output
    assert text.count("not simulated, as it takes") >= len(document["tried"])


@pytest.mark.parametrize(("name", "size"), [("toy-gpu", 64), ("toy-systolic", 256)])
def test_the_best_tiles_are_ones_that_run(name: str, size: int) -> None:
    """On toy-gpu they had been a block that no SM holds; on accelerators sums had counted a byte."""
    machine = load_machine(name)
    room = room_on(machine, None)
    best = best_on(Tiled(size, size, size, 7, 9, 5), machine, room)
    assert room.share(best) <= 1
    if machine.management == "mixed":
        assert not isinstance(simulated(best, machine), str)
    else:
        wide = machine.compute.accumulator_bytes
        assert best.v1 * best.v3 + best.v2 * best.v3 + wide * best.v1 * best.v2 <= room.capacity
