"""Closed form == executed loops == tiles walked in time == words through a cache, as integers."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.count.closed_form import count
from hwsim.describe.layer import GemmLayer
from hwsim.ir.convolution import gemm_stage
from hwsim.ir.counts import Traffic
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Operations, Stage
from hwsim.ir.tensor import Tensor, along
from hwsim.ir.verify import verify_nest
from hwsim.oracle.interpreter import compute, execute
from hwsim.timing.explicit.tiles import walk_steps
from tests.nests import random_nest


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("block", range(12))
def test_closed_form_equals_executed_loops(block: int) -> None:
    """1200 random nests: every level, every tensor, every count, footprints and instances."""
    for seed in range(block * 100, block * 100 + 100):
        nest = random_nest(seed)
        assert count(nest) == execute(nest), f"seed {seed}\n{nest.text()}"


@pytest.mark.parametrize("block", range(4))
def test_tiles_walked_in_time_equal_the_closed_form(block: int) -> None:
    """The DMA engine's tiles, step by step, add up to the same fills and drains."""
    seen = 0
    for seed in range(block * 100, block * 100 + 100):
        nest = random_nest(seed, spatial=False)
        counts, (_, tiles) = count(nest), walk_steps(nest, len(nest.items))
        for tile in tiles:
            traffic = counts.of(tile.level, tile.tensor)
            output = nest.stage.tensor(tile.tensor).role == "output"
            assert int((tile.returning if output else tile.entering).sum()) == traffic.fills, (
                f"seed {seed}\n{nest.text()}"
            )
            assert not output or int(tile.leaving.sum()) == traffic.drains, (
                f"seed {seed}\n{nest.text()}"
            )
            seen += 1
    assert seen > 100


def _product(m: int, n: int, k: int) -> Stage:
    tensors = (
        Tensor("A", "activation", (along("m", m), along("k", k)), 4),
        Tensor("B", "weight", (along("k", k), along("n", n)), 4),
        Tensor("C", "output", (along("m", m), along("n", n)), 4),
    )
    return Stage("gemm", (("m", m), ("n", n), ("k", k)), tensors, Operations(1, 0, 0, 1))


def test_tiled_product_by_hand() -> None:
    """n = 12, v1 = 4, v2 = 3, v3 = 2: A moves n^3/v2 = 576, B n^3/v1 = 432, C n^2 = 144 words; tiles 4x2, 2x3, 4x3."""
    loops = (Loop("m", 4), Loop("n", 3), Loop("k", 2))
    nest = Nest(
        _product(12, 12, 12),
        (
            Hold("dram", ("A", "B", "C")),
            *loops,
            Hold("buffer", ("A", "B", "C")),
            Loop("m", 1),
            Loop("n", 1),
            Loop("k", 1),
        ),
    )
    counts = count(nest)
    assert counts.of("buffer", "A") == Traffic(fills=576, serves=1728, peak=8)
    assert counts.of("buffer", "B") == Traffic(fills=432, serves=1728, peak=6)
    # C is never spilled: 12 updates a word, the first of which reads nothing; each word drains once
    assert counts.of("buffer", "C") == Traffic(
        fills=0, serves=1728 - 144, updates=1728, drains=144, peak=12
    )
    assert counts.of("dram", "C") == Traffic(updates=144, peak=144)


def test_spilled_partial_sums_by_hand() -> None:
    """k outermost in 3 pieces over a one-word buffer: C leaves 3 times a word and comes back 2 times."""
    nest = Nest(
        _product(2, 2, 3),
        (
            Hold("dram", ("A", "B", "C")),
            Loop("k", 1),
            Loop("m", 1),
            Loop("n", 1),
            Hold("buffer", ("C",)),
        ),
    )
    counts = count(nest)
    assert counts.of("buffer", "C") == Traffic(fills=8, serves=8, updates=12, drains=12, peak=1)
    assert counts.of("dram", "C") == Traffic(serves=8, updates=12, peak=4)


def test_halo_is_kept_or_fetched_again() -> None:
    """A window of 3 sliding over 5 places: 7 words when the halo is kept, 5 x 3 when it is not."""
    from hwsim.ir.tensor import Axis

    tensors = (
        Tensor("x", "activation", (Axis((("p", 1), ("r", 1)), 7),), 4),
        Tensor("y", "output", (along("p", 5),), 4),
    )
    stage = Stage("slide", (("p", 5), ("r", 3)), tensors, Operations(1))
    for halo, words in (("keep", 7), ("refetch", 15)):
        nest = Nest(
            stage,
            (Hold("dram", ("x", "y")), Loop("p", 1), Hold("buffer", ("x",), halo), Loop("r", 1)),
        )  # type: ignore[arg-type]
        assert count(nest).of("buffer", "x").fills == words


def test_neighbours_share_their_halo_on_the_wire() -> None:
    """Three PEs, each a window of 3 over 5 words: 9 words arrive, 5 are read, with multicast."""
    from hwsim.ir.tensor import Axis

    tensors = (
        Tensor("x", "activation", (Axis((("p", 1), ("r", 1)), 5),), 4),
        Tensor("y", "output", (along("p", 3),), 4),
    )
    stage = Stage("slide", (("p", 3), ("r", 3)), tensors, Operations(1))
    for multicast, reads in ((True, 5), (False, 9)):
        nest = Nest(
            stage,
            (
                Hold("dram", ("x", "y")),
                Loop("p", 1, "pe"),
                Hold("spad", ("x",), multicast=multicast),
                Loop("r", 1),
            ),
        )
        counts = count(nest)
        assert (counts.of("spad", "x").fills, counts.of("dram", "x").serves) == (9, reads)


@pytest.mark.parametrize("seed", range(40))
def test_any_schedule_computes_the_same_product(seed: int) -> None:
    """A schedule moves data, not meaning."""
    nest = random_nest(seed)
    if nest.stage.name == "patches":
        return
    dice = np.random.default_rng(seed)
    operands = {
        tensor.name: dice.integers(-4, 5, [axis.size for axis in tensor.axes]).astype(float)
        for tensor in nest.stage.inputs
    }
    plain = Nest(
        nest.stage,
        (nest.items[0], *(Loop(dim, 1) for dim, bound in nest.stage.bounds if bound > 1)),
    )
    assert np.array_equal(compute(nest, operands), compute(plain, operands))


def test_counts_scale_to_real_layers() -> None:
    """The closed form of a real layer: every weight of conv1_2 is used at 224 x 224 places, every sum has 576 terms."""
    from hwsim.algorithms import lower
    from hwsim.describe.networks import load_workload

    stage = lower(load_workload("vgg16").layers["conv1_2"], "direct").stages[0]
    nest = Nest(
        stage,
        (
            Hold("dram", ("ifmap", "filter", "ofmap")),
            *(Loop(dim, 1) for dim, bound in stage.bounds if bound > 1),
        ),
    )
    counts = count(nest)
    assert counts.of("dram", "filter").serves == 1_849_688_064
    assert counts.of("dram", "ofmap").updates == 1_849_688_064
    assert counts.of("dram", "ifmap").serves == stage.effectual


def test_sums_that_meet_at_different_steps_are_read_to_be_added() -> None:
    """C[0][0] += A[0][k] B[k][0], with k = 0, 1 in one PE and 2 in the other.

    The second PE's sum leaves a step sooner. DRAM takes both, and reads the first to add the
    second.
    """
    stage = gemm_stage(GemmLayer(1, 1, 3))
    nest = verify_nest(
        Nest(
            stage,
            (Hold("dram", ("A", "B", "C")), Loop("k", 2, "row"), Loop("k", 1), Hold("rf", ("C",))),
        )
    )
    for counts in (count(nest), execute(nest)):
        found = counts.of("dram", "C")
        assert (found.updates, found.serves) == (2, 1)
        assert counts.of("rf", "C").fills == 0
    even = verify_nest(Nest(gemm_stage(GemmLayer(1, 1, 4)), nest.items))
    assert (count(even).of("dram", "C").updates, count(even).of("dram", "C").serves) == (1, 0)
