"""Systolic arrays side by side: the best of all dataflows' tilings, and what it proves."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError

FLOWS = ("weight-stationary", "output-stationary", "input-stationary")


def with_arrays(arrays: int) -> Machine:
    machine = hwsim.load_machine("tpu-v4")
    compute = replace(machine.compute, arrays=arrays)  # type: ignore[call-arg]
    return replace(machine, parts={**machine.parts, machine.compute_name: compute})


def random_layer(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return "gemm:" + ",".join(str(rng.choice((17, 64, 200, 512, 900))) for _ in range(3))
    size, taps = rng.choice((7, 14, 28)), rng.choice((1, 3))
    return f"conv:{rng.choice((16, 64))},{size},{size},{rng.choice((32, 200))},{taps},{taps},1,{taps // 2}"


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("seed", range(8))
def test_no_dataflow_is_better_and_no_bound_is_above(seed: int) -> None:
    rng = random.Random(seed)
    layer, objective = random_layer(rng), rng.choice(("latency", "dram"))
    best = hwsim.map_layers(layer, "tpu-v4", objective).stages[0]
    assert 0 <= best.found.gap < 1
    assert best.found.bound <= best.found.cost
    for flow in FLOWS:
        try:
            (stage,) = hwsim.simulate(layer, "tpu-v4", "direct", dataflow=flow).layers[0].stages
        except HwsimError:
            continue
        moved = stage.dram_read_bytes + stage.dram_write_bytes
        other = stage.cycles.total if objective == "latency" else moved
        assert best.found.cost <= other * 1.001, flow


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("seed", range(4))
def test_more_arrays_are_not_slower(seed: int) -> None:
    layer = random_layer(random.Random(100 + seed))
    cycles = [
        hwsim.map_layers(layer, with_arrays(arrays), "latency").stages[0].simulated.cycles.total
        for arrays in (2, 4, 8)
    ]
    assert cycles[1] <= cycles[0] * 1.01
    assert cycles[2] <= cycles[1] * 1.01


def test_what_is_mapped_onto_all_arrays_runs(tmp_path: Path) -> None:
    """512 columns lie over four arrays of 128; the file gives the same cycles again."""
    path = tmp_path / "nests.yaml"
    asked = ["map", "tpu-v4", "gemm:512,512,512", "-o", "latency", "--out", str(path)]
    mapped = CliRunner().invoke(main, asked)
    assert mapped.exit_code == 0, mapped.output
    assert "tilings of 3 dataflows" in mapped.output
    assert "x512 step 1 on column" in mapped.output
    again = hwsim.run_nests(path)
    best = hwsim.map_layers("gemm:512,512,512", "tpu-v4", "latency").stages[0]
    assert again.cycles == pytest.approx(best.simulated.cycles.total)


def test_more_neighbours_than_all_arrays_have_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nests.yaml"
    asked = ["map", "tpu-v4", "gemm:512,512,512", "-o", "latency", "--out", str(path)]
    assert CliRunner().invoke(main, asked).exit_code == 0
    path.write_text(path.read_text().replace("on: row", "on: column"))  # 256 x 512 of them
    with pytest.raises(HwsimError, match="neighbours on"):
        hwsim.run_nests(path)


def test_what_says_nothing_of_several_arrays_is_refused() -> None:
    result = CliRunner().invoke(main, ["map", "tpu-v4", "gemm:64,64,64", "--one-dim-per-axis"])
    assert result.exit_code == 2
    assert "several arrays" in result.output
