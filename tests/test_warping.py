"""Iterations that repeat each other are skipped: all counts and the caches' state as if they were not."""

from __future__ import annotations

import random
from typing import Any

import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.describe.layer import ConvLayer, GemmLayer, Layer
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.parts.core import with_cores
from hwsim.timing.caches import nest_arrays, repeating, stream
from hwsim.timing.caches.batches import Walkers
from hwsim.timing.caches.chain import AddressSpace, ImplicitChain
from hwsim.timing.caches.warping import SKIPPED, Warps
from tests.test_caches import cache

NEVER = 1 << 60
SIZES = (3, 4, 6, 8, 12, 16, 24, 32)


def random_layer(dice: random.Random) -> Layer:
    if dice.random() < 0.6:
        return GemmLayer(*(dice.choice(SIZES) for _ in range(3)))
    taps = dice.choice((1, 3))
    return ConvLayer(
        1, dice.choice((4, 8)), *[dice.choice((8, 16))] * 2, dice.choice((4, 8)), taps, taps, pad=taps // 2
    )  # fmt: skip


def random_order(stage: Stage, dice: random.Random) -> Nest:
    """Tiles of every dim in some order, then their points in some order, the last one in registers."""
    names = tuple(tensor.name for tensor in stage.tensors)
    dims = [dim for dim, bound in stage.bounds if bound > 1]
    tiles = [Loop(dim, dice.choice((1, 2, 4, 5))) for dim in dice.sample(dims, len(dims))]
    points = [Loop(dim, 1) for dim in dice.sample(dims, len(dims))]
    *outside, inside = points
    items = (Hold("dram", names), *tiles, *outside, Hold("registers", names, "refetch"), inside)
    return Nest(stage, items)


def random_chain(dice: random.Random) -> list[tuple[str, Any]]:
    levels, size = [], dice.choice((64, 128, 256))
    for number in range(dice.randint(1, 3)):
        policy = "fifo" if number > 0 and dice.random() < 0.2 else "lru"
        levels.append((f"l{number}", cache(size, 16, dice.choice((1, 2, 4)), policy=policy)))
        size *= dice.choice((4, 8))
    return levels


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Warps]:
    """What every walk compares, one after another."""
    found: list[Warps] = []

    def spied(*words: Any) -> tuple[Warps, int]:
        warps, depth = repeating.repeating(*words)
        found.append(warps)
        return warps, depth

    monkeypatch.setattr(stream, "repeating", spied)
    return found


def walked(nest: Nest, levels: list[tuple[str, Any]]) -> tuple[Any, ...]:
    """All that is to be the same: the second time, on warm caches."""
    chain = ImplicitChain(levels, 1, AddressSpace([nest.stage]))
    results = [
        stream.run_stream(nest, nest.holds[-1], frozenset(), chain, Walkers(1, 64, 16, 10**9))
        for _ in range(2)
    ]
    assert results[0].steps == results[1].steps
    return results[1], chain.state.tags.tolist(), chain.state.crowds.tolist()


def test_iterations_in_the_same_lines_are_skipped(
    compared: list[Warps], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of 64 bytes and short ones; rows of any length, and of whole lines."""
    monkeypatch.setattr(repeating, "WORDS_A_STEP", 1 << 30)
    monkeypatch.setattr(repeating, "FEWEST_IN_A_GRAIN", 2)
    skipping = 0
    for seed in range(150):
        dice = random.Random(seed)
        (stage,) = lower(random_layer(dice), "direct").with_dtype("fp32").stages
        nest = random_order(stage, dice)
        line = dice.choice((32, 64, 256))
        levels = [
            (f"l{number}", cache(line * 16 << 2 * number, line, dice.choice((1, 2, 4))))
            for number in range(dice.randint(1, 3))
        ]
        monkeypatch.setattr(nest_arrays, "WHOLE_STRETCH", dice.choice((2, 8)))
        monkeypatch.setattr(repeating, "FEWEST_STEPS", 1)
        found = walked(nest, levels)
        same = [w for w in compared if (w.grains.any(axis=1) & (w.memory[:, SKIPPED] > 0)).any()]
        skipping += bool(same)
        compared.clear()
        monkeypatch.setattr(repeating, "FEWEST_STEPS", NEVER)
        assert found == walked(nest, levels), seed
        assert skipped(compared) == 0
    assert skipping >= 20


def skipped(compared: list[Warps]) -> int:
    """Iterations, since it was asked last."""
    number = sum(int(warps.memory[:, SKIPPED].sum()) for warps in compared)
    compared.clear()
    return number


def test_skipped_iterations_leave_what_walked_ones_do(
    compared: list[Warps], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeating, "WORDS_A_STEP", 1 << 30)
    skipping = 0
    for seed in range(250):
        dice = random.Random(seed)
        (stage,) = lower(random_layer(dice), "direct").with_dtype("fp32").stages
        nest, levels = random_order(stage, dice), random_chain(dice)
        monkeypatch.setattr(nest_arrays, "WHOLE_STRETCH", dice.choice((2, 8)))
        monkeypatch.setattr(repeating, "FEWEST_STEPS", 1)
        found = walked(nest, levels)
        skipping += skipped(compared) > 0
        monkeypatch.setattr(repeating, "FEWEST_STEPS", NEVER)
        assert found == walked(nest, levels), seed
        assert skipped(compared) == 0
    assert skipping >= 30


def test_a_large_product_in_tiles_is_mostly_skipped(compared: list[Warps]) -> None:
    machine = with_cores(hwsim.load_machine("xeon-8380"), 1)
    layer = GemmLayer(256, 256, 256)
    hwsim.simulate(layer, machine, "direct", dataflow="loops:order=ikj,tile=16x16x16")
    (warps,) = compared
    assert warps.periods[0] == 1
    assert skipped(compared) >= 12
