"""Timeloop's convention: its printed counts to the word, and its rule of equal steps by hand."""

from __future__ import annotations

import json

import pytest

from hwsim.count import closed_form
from hwsim.describe.catalog import data_folder
from hwsim.foreign.timeloop import counts as timeloop
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Operations, Stage
from hwsim.ir.tensor import Axis, Tensor, along
from hwsim.validate import run_check
from hwsim.validate.timeloop import nest_of

ROWS = {
    row["id"]: row
    for row in json.loads((data_folder("reference") / "timeloop.json").read_text())["rows"]
}


def test_every_number_timeloop_printed() -> None:
    report = run_check("timeloop")
    assert report.rows == 28
    assert {metric: (score.exact, score.n) for metric, score in report.metrics.items()} == {
        "reads": (190, 190),
        "fills": (190, 190),
        "updates": (190, 190),
        "tile_size": (190, 190),
        "energy": (218, 218),
        "cycles": (28, 28),
    }
    assert len(report.remarks) == 28


def _window(p: int, r: int, tiles: tuple[Loop, ...]) -> Nest:
    tensors = (
        Tensor("I", "activation", (Axis((("p", 1), ("r", 1)), p + r - 1),), 1),
        Tensor("W", "weight", (along("r", r),), 1),
        Tensor("O", "output", (along("p", p),), 1),
    )
    stage = Stage("window", (("k", 2), ("p", p), ("r", r)), tensors, Operations(1))
    return Nest(
        stage,
        (
            Hold("dram", ("I", "W", "O")),
            *tiles,
            Hold("rf", ("I", "W", "O")),
            Loop("p", 1),
            Loop("r", 1),
        ),
    )


def test_a_row_wrap_throws_a_real_overlap_away() -> None:
    # two tiles of p (4 words each and 2 of halo: rows 0..5 and 4..9), twice over k. Timeloop: 6 + 4 new, then back: 6 whole, then
    # 4 new again. Exactly: going back, rows 4 and 5 are still there, 4 come.
    nest = _window(8, 3, (Loop("k", 1), Loop("p", 4)))
    assert timeloop.count(nest)["rf", "I"].fills == 6 + 4 + 6 + 4
    assert closed_form.count(nest).of("rf", "I").fills == 6 + 4 + 4 + 4


@pytest.mark.parametrize("case", ["conv2d_2level", "gemm_imperfect_temporal", "conv1d_spatial_C16"])
def test_a_mapping_becomes_a_nest_that_covers_the_problem(case: str) -> None:
    nest = nest_of(ROWS[case])
    assert timeloop.compute_cycles(nest) == ROWS[case]["timeloop"]["summary"]["cycles"]
    assert nest.stage.iterations == ROWS[case]["timeloop"]["summary"]["computes"]


def test_loops_that_do_not_cover_a_dim_are_an_error() -> None:
    row = json.loads(json.dumps(ROWS["gemm_2level_os"]))
    row["mapping"][0]["loops"][0][1] = 4
    with pytest.raises(Exception, match="do not cover M by 32 of 64"):
        nest_of(row)
