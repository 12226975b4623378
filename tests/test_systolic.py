"""The systolic array: every register stepped == folds in closed form == the simulation's events, values the matrix product."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import hwsim
from hwsim.algorithms import lower
from hwsim.cli import main
from hwsim.describe.layer import ConvLayer, Density, GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.units import Bandwidth, Duration
from hwsim.ir.verify import verify_nest
from hwsim.oracle.registers import Hazard, Stepped, product_cycles, step_product
from hwsim.rewrite.placement import Placement
from hwsim.schedule.arrays import STATIONARY
from hwsim.schedule.systolic.tiles import best_nests, problem_of
from hwsim.timing.systolic.folds import FoldRules, Folds, intervals, product_folds, schedule
from hwsim.timing.systolic.pace import run_folds

FLOWS = {short: name for name, short in STATIONARY.items()}
TPU = load_machine("tpu-v1")


def unlimited(rows: int, columns: int, timing: FoldRules, partial: str = "real") -> Machine:
    """TPU v1's chain around another array, with memories that are never waited for."""
    endless = Bandwidth(1e30, False)
    parts = {
        name: replace(part, bandwidth=endless) if hasattr(part, "bandwidth") else part
        for name, part in TPU.parts.items()
    }
    parts["ddr3"] = replace(parts["ddr3"], latency=Duration(0.0, False), timing=None)
    parts["array"] = replace(
        TPU.parts["array"],
        rows=rows,
        cols=columns,
        preload_hidden=timing.hidden,
        overlap_folds=timing.overlap,
        drain=timing.drain,
        mac_stages=timing.stages,
        partial_folds=partial,
    )
    return replace(TPU, parts=parts)


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("block", range(20))
def test_registers_folds_and_events_agree_to_the_cycle(block: int) -> None:
    """2,000 random products, arrays and options; 100 a block."""
    for seed in range(100 * block, 100 * block + 100):
        dice, numbers = random.Random(seed), np.random.default_rng(seed)
        rows, columns = dice.randint(1, 6), dice.randint(1, 6)
        m, n, k = (dice.randint(1, 12) for _ in range(3))
        timing = FoldRules(
            dice.random() < 0.5, dice.random() < 0.5, dice.random() < 0.5, dice.randint(1, 3)
        )
        stationary, whole, depth = (
            dice.choice(["ws", "is", "os"]),
            dice.random() < 0.5,
            dice.choice([None, None, 1, 3, 5]),
        )
        a, b = (
            numbers.integers(-3, 4, (m, k)).astype(float),
            numbers.integers(-3, 4, (k, n)).astype(float),
        )
        stepped = step_product(a, b, stationary, rows, columns, timing, whole=whole, depth=depth)
        assert np.array_equal(stepped.values, a @ b), seed
        assert stepped.cycles == product_cycles(
            m, n, k, stationary, rows, columns, timing, whole=whole, depth=depth
        ), seed
        if depth is None:
            machine = unlimited(rows, columns, timing, "whole" if whole else "real")
            result = hwsim.simulate(
                GemmLayer(m, n, k), machine, "direct", dataflow=FLOWS[stationary]
            )
            assert result.cycles == pytest.approx(stepped.cycles, abs=1e-6), seed


@pytest.mark.parametrize("seed", range(60))
def test_no_fold_can_start_a_cycle_sooner(seed: int) -> None:
    """Where a fold waits for the tile or the sums of another, one cycle less is a hazard: t - 1 not yet, t done."""
    dice, numbers = random.Random(seed), np.random.default_rng(seed)
    stationary, timing = (
        dice.choice(["ws", "os"]),
        FoldRules(dice.random() < 0.5, True, True, dice.randint(1, 3)),
    )
    m, n, k, rows, columns = 2, 7, 9, dice.randint(3, 5), dice.randint(2, 4)
    if stationary == "os":
        m, k = 9, 2
    folds = product_folds(m, n, k, stationary, rows, columns)
    waits = np.flatnonzero(intervals(folds, timing, stationary) > folds.stream[:-1])
    assert len(waits)
    a, b = (
        numbers.integers(1, 4, (m, k)).astype(float),
        numbers.integers(1, 4, (k, n)).astype(float),
    )
    with pytest.MonkeyPatch.context() as patch:
        starts = schedule(folds, timing, stationary).starts.copy()
        starts[waits[dice.randrange(len(waits))] + 1 :] -= 1
        patch.setattr(
            "hwsim.oracle.registers.schedule", lambda *_: type("S", (), {"starts": starts})
        )
        with pytest.raises(Hazard):
            step_product(a, b, stationary, rows, columns, timing)


def test_a_fold_by_hand() -> None:
    """5 vectors through 3 x 2 weights: 3 cycles to shift them in; the last vector enters in cycle 5, crosses 3 + 2 - 1 cells: 3 + 5 + 3."""
    folds = product_folds(5, 2, 3, "ws", 3, 2)
    assert schedule(folds, FoldRules(), "ws").cycles == 3 + 5 + 3 + 2 - 2
    # 3 more to shift the sums out
    assert (
        schedule(product_folds(3, 2, 5, "os", 3, 2), FoldRules(), "os").cycles == 5 + 3 + 2 - 2 + 3
    )
    assert (
        schedule(product_folds(3, 2, 5, "os", 3, 2), FoldRules(drain=False), "os").cycles
        == 5 + 3 + 2 - 2
    )


def test_double_buffered_cells_hide_the_next_tile() -> None:
    """Two folds of 4 rows: a stream of 10 hides the shifting in, one of 2 waits 4 cycles between starts; without it 10 + 4 - 1."""
    two = np.array([4, 4])
    for stream, hidden, spent in ((10.0, True, 10), (2.0, True, 4), (10.0, False, 13)):
        assert intervals(
            Folds(two, two, np.array([stream] * 2)), FoldRules(hidden), "ws"
        ).tolist() == [spent]


def stepped(a: np.ndarray, b: np.ndarray, **options: bool) -> Stepped:
    return step_product(a, b, "ws", 4, 4, FoldRules(), **options)


def test_zeros_switch_nothing_and_are_skipped_where_a_vector_or_tile_is_zero_all_over() -> None:
    numbers = np.random.default_rng(0)
    a, b = (
        numbers.integers(1, 4, (12, 8)).astype(float),
        numbers.integers(1, 4, (8, 8)).astype(float),
    )
    a[3:9] = 0.0  # six vectors of every fold
    b[:4, :4] = 0.0  # one of four tiles
    plain, skipped = stepped(a, b), stepped(a, b, skip_zeros=True)
    assert np.array_equal(plain.values, a @ b) and np.array_equal(skipped.values, a @ b)
    assert plain.switched == skipped.switched == skipped.products == 3 * 6 * 16
    assert plain.products == 4 * 12 * 16
    assert (
        skipped.cycles
        == schedule(Folds(np.full(3, 4), np.full(3, 4), np.full(3, 6.0)), FoldRules(), "ws").cycles
        < plain.cycles
    )


def groups_of(count: int, k: int, n: int, vectors: int) -> ConvLayer:
    """So many products of vectors x k by k x n, as a convolution with that many groups."""
    return ConvLayer(1, count * k, vectors, 1, count * n, 1, 1, groups=count)


@pytest.mark.parametrize("seed", range(40))
def test_products_on_the_diagonal_are_one_product_with_zeros_around_them(seed: int) -> None:
    """As many cycles as every register stepped takes for the matrix of all, zeros and all."""
    dice, numbers = random.Random(seed), np.random.default_rng(seed)
    k, n, vectors, count = (dice.randint(1, 4) for _ in range(4))
    rows, columns = count * k + dice.randint(0, 2), count * n + dice.randint(0, 2)
    timing = FoldRules(dice.random() < 0.5, dice.random() < 0.5, stages=dice.randint(1, 3))
    machine = unlimited(rows, columns, timing)
    stage = replace(lower(groups_of(count, k, n, vectors), "direct").stages[0], dtype="int8")
    problem = problem_of(stage, machine, Placement(), "weight")
    assert problem.counts[0] == count
    together = replace(problem, beside=count)
    nest = verify_nest(best_nests(together, "weight-stationary")[0].make())
    ran = run_folds(nest, machine, "int8")
    activations = numbers.integers(-4, 5, (count, vectors, k)).astype(float)
    weights = numbers.integers(-4, 5, (count, k, n)).astype(float)
    matrix = np.zeros((count * k, count * n))
    for number in range(count):
        matrix[number * k : (number + 1) * k, number * n : (number + 1) * n] = weights[number]
    stepped = step_product(np.hstack(activations), matrix, "ws", rows, columns, timing)
    assert np.array_equal(stepped.values, np.hstack(activations @ weights))
    assert ran.cycles.total == stepped.cycles


def test_channels_of_a_depthwise_layer_share_an_array() -> None:
    """9 rows and 1 column each: 28 on 256 x 256 cells, so 64 take three turns, each of 196 pixels.

    Where they may not, 64 turns.
    """
    depthwise = ConvLayer(1, 64, 14, 14, 64, 3, 3, pad=1, groups=64)
    alone = replace(TPU.parts["array"], diagonal=False)
    machines = {3: TPU, 64: replace(TPU, parts={**TPU.parts, "array": alone})}
    for turns, machine in machines.items():
        layer = hwsim.simulate(depthwise, machine, "implicit-gemm", dataflow="weight-stationary")
        assert layer.layers[0].cycles.compute == turns * 14 * 14


@pytest.mark.parametrize("seed", range(12))
def test_a_diagonal_is_never_slower(seed: int) -> None:
    """Nor does `map` find better without one; its bound is one."""
    dice = random.Random(seed)
    machine = load_machine(dice.choice(["tpu-v1", "toy-systolic", "edge-tpu", "tpu-v4"]))
    count, side = dice.choice([3, 16, 40, 96]), dice.randint(3, 30)
    taps, each = dice.choice([1, 3, 5]), dice.choice([1, 1, 2, 5])
    layer = ConvLayer(
        1, count * each, side, side, count * dice.choice([1, each]), taps, taps, groups=count, pad=2
    )
    array = machine.compute
    alone = replace(
        machine, parts={**machine.parts, machine.compute_name: replace(array, diagonal=False)}
    )
    algorithm = dice.choice(["direct", "im2col"])
    beside, apart = (hwsim.simulate(layer, each, algorithm).cycles for each in (machine, alone))
    assert beside <= 1.02 * apart + 40
    mapped = hwsim.map_layers(layer, machine, "latency", algorithm=algorithm).stages[0]
    assert mapped.found.bound <= mapped.simulated.cycles.total * 1.000001
    assert mapped.simulated.cycles.total <= 1.02 * beside + 40


def test_more_on_a_diagonal_than_it_takes_is_refused() -> None:
    """Blocks of 9 x 1 cells on 256 x 256: 28."""
    array = TPU.compute
    used = {"row": 9, "column": 1, "diagonal": 28, "set": 1}
    assert array.crowded(used) == ""
    assert "29 blocks of 9 x 1 neighbours on diagonals that take 28" in array.crowded(
        {**used, "diagonal": 29}
    )
    four = replace(array, arrays=4)
    assert four.on_diagonal(9, 1) == 4 * 28 and four.on_diagonal(300, 256) == 2
    assert replace(array, diagonal=False).crowded({**used, "diagonal": 2})


def test_a_zero_tile_is_left_out_only_where_the_array_skips() -> None:
    """The buffer's port is wide: it reads activations of zero blocks too."""
    layer = GemmLayer(2048, 512, 512, density=Density(0.5, structure="256x256"))
    wide = replace(TPU.parts["unified_buffer"], bandwidth=Bandwidth(1024.0, True))
    skips = replace(TPU, parts={**TPU.parts, "unified_buffer": wide})
    keeps = replace(
        skips, parts={**skips.parts, "array": replace(TPU.parts["array"], zeros="gating")}
    )
    assert (
        hwsim.simulate(layer, skips, "direct").layers[0].cycles.compute
        == hwsim.simulate(layer, keeps, "direct").layers[0].cycles.compute / 2
    )


SMALL = load_machine("toy-systolic")


def with_part(machine: Machine, name: str, **changes: object) -> Machine:
    """The machine with fields of a part changed."""
    part = replace(machine.parts[name], **changes)  # type: ignore[type-var]
    return replace(machine, parts={**machine.parts, name: part})


def test_small_memories_hold_fewer_products_beside_each_other() -> None:
    """The widest diagonal's tiles do not fit: half as many do, or one; more memory is no slower."""
    depthwise = ConvLayer(1, 8, 20, 20, 8, 7, 7, groups=8)
    tight = with_part(with_part(SMALL, "buffer", capacity=256), "array", rows=4, cols=4)
    mapped = hwsim.map_layers(depthwise, tight, "latency", algorithm="direct").stages[0]
    assert mapped.simulated.cycles.total < 19_300
    three = GemmLayer(37, 9, 7, batch=3)
    wide = with_part(SMALL, "array", rows=32, cols=32, dataflows=("input-stationary",))
    wide = with_part(with_part(wide, "buffer", capacity=256), "sums", capacity=64)
    less, more = (
        hwsim.simulate(three, with_part(wide, "weights", capacity=size, buffers=1), "direct").cycles
        for size in (128, 192)
    )
    assert more <= 1.02 * less


@pytest.mark.parametrize("product", [(300, 33, 99), (300, 198, 90), (49, 9, 1)])
def test_estimates_of_a_batch_do_not_start_anew_for_each_product(
    product: tuple[int, int, int],
) -> None:
    """What bounds them is no more than what they take, and `map` finds no worse than `run`."""
    layer = GemmLayer(*product, batch=200)
    mapped = hwsim.map_layers(layer, "tpu-v4", "latency", algorithm="direct").stages[0]
    taken = mapped.simulated.cycles.total
    assert mapped.found.bound <= taken * 1.000001
    assert taken <= 1.02 * hwsim.simulate(layer, "tpu-v4", "direct").cycles + 40


def test_cells_of_several_cycles_are_estimated_as_they_run() -> None:
    """A fold's tile shifts in as slowly as the vectors before it sink."""
    slow = with_part(SMALL, "array", mac_stages=3)
    layer = ConvLayer(1, 16, 10, 10, 16, 3, 3, pad=1, groups=16)
    run = hwsim.simulate(layer, slow, "direct").cycles
    assert run <= 1.02 * hwsim.map_layers(layer, slow, "latency").stages[0].simulated.cycles.total


ON_THE_DIAGONAL = """
machine: toy-systolic
algorithm: direct
dtype: int8
nests:
  - layer: l
    shape: {op: gemm, m: 8, n: 2, k: 4, batch: 2}
    stage: gemm
    nest:
      - {hold: dram, tensors: [A, B, C]}
      - {for: b, step: 1}
      - {hold: buffer, tensors: [A, C]}
      - {hold: weights, tensors: [B]}
      - {hold: sums, tensors: [C]}
      - {par: k, step: 2, on: diagonal}
      - {par: k, step: 1, on: row}
      - {par: n, step: 1, on: column}
      - {for: m, step: 1}
"""


def test_only_products_of_a_batch_lie_on_the_diagonal(tmp_path: Path) -> None:
    """k there would add up columns that lie apart."""
    file = tmp_path / "nest.yaml"
    file.write_text(ON_THE_DIAGONAL)
    result = CliRunner().invoke(main, ["run", "--nest", str(file)])
    assert result.exit_code == 2
    assert "k on the diagonal, where products of a batch lie beside each other" in result.output
