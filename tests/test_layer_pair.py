"""Fused pairs of layers: closed form against loops that are executed, word by word."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from hwsim.choose import layer_pairs
from hwsim.choose.layer_pairs import fuse_layers
from hwsim.cli import main
from hwsim.describe.layer import ConvLayer, GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.workload import Workload
from hwsim.errors import HwsimError
from hwsim.oracle.layer_pair import execute_pair
from hwsim.schedule.layer_pair import (
    Blocks,
    Pair,
    as_convolution,
    candidates,
    compulsory,
    cost,
    pick,
)


def some_pair(dice: random.Random) -> Pair:
    n, c, h, w = dice.randint(1, 2), dice.randint(1, 4), dice.randint(4, 9), dice.randint(3, 8)
    depth = c > 1 and dice.random() < 0.3
    first = ConvLayer(
        n,
        c,
        h,
        w,
        c if depth else dice.randint(1, 5),
        dice.randint(1, 3),
        dice.randint(1, 3),
        stride=(dice.randint(1, 2), dice.randint(1, 2)),
        pad=dice.randint(0, 1),
        groups=c if depth else 1,
    )
    wide = first.k > 1 and dice.random() < 0.3
    second = ConvLayer(
        n,
        first.k,
        first.p,
        first.q,
        first.k if wide else dice.randint(1, 4),
        min(dice.randint(1, 3), first.p),
        min(dice.randint(1, 3), first.q),
        stride=dice.randint(1, 2),
        pad=dice.randint(0, 1),
        groups=first.k if wide else 1,
    )
    return Pair(first, second)


def some_blocks(dice: random.Random, pair: Pair) -> Blocks:
    second = pair.second
    tiles = (dice.randint(1, most) for most in (second.n, second.p, second.q, pair.first.k))
    return Blocks(*tiles, *(dice.random() < 0.5 for _ in range(4)))


@pytest.mark.parametrize("seed", range(120))
def test_closed_form_is_what_the_loops_do(seed: int) -> None:
    dice = random.Random(seed)
    pair = some_pair(dice)
    blocks = some_blocks(dice, pair)
    first, second = pair.first, pair.second
    rng = np.random.default_rng(seed)
    image = rng.integers(-4, 5, (first.n, first.c, first.h, first.w))
    filters = [
        rng.integers(-4, 5, (layer.k, layer.c // layer.groups, layer.r, layer.s))
        for layer in (first, second)
    ]
    done = execute_pair(pair, blocks, image, (filters[0], filters[1]))
    expected = convolved(second, convolved(first, image, filters[0]), filters[1])
    assert (done.output == expected).all()
    said = cost(pair, blocks)
    for name in ("loaded_input", "loaded_first", "loaded_second", "stored", "products"):
        assert getattr(said, name) == getattr(done, name), (name, pair, blocks)
    for name, words in done.held.items():
        room = getattr(said, f"room_{name}")
        assert words <= room, (name, words, room, pair, blocks)


def convolved(layer: ConvLayer, image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """The layer by itself."""
    made = np.zeros((layer.n, layer.k, layer.p, layer.q), np.int64)
    (top, bottom), (left, right) = layer.pads
    padded = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)))
    depth = layer.c // layer.groups
    for k in range(layer.k):
        base = k // (layer.k // layer.groups) * depth
        for y in range(layer.p):
            for x in range(layer.q):
                window = padded[
                    :,
                    base : base + depth,
                    y * layer.strides[0] : y * layer.strides[0] + layer.r,
                    x * layer.strides[1] : x * layer.strides[1] + layer.s,
                ]
                made[:, k, y, x] = (window * filters[k]).sum(axis=(1, 2, 3))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_the_candidates_are_the_choices_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    pair = some_pair(dice)
    for arrays, costs in candidates(pair):
        shape = np.broadcast_shapes(*(np.shape(value) for value in costs))
        for _ in range(5):
            at = tuple(dice.randrange(size) for size in shape)
            alone = cost(pair, pick(arrays, at))
            for name, value in costs._asdict().items():
                assert np.broadcast_to(value, shape)[at] == getattr(alone, name), name


def test_all_kept_moves_every_word_once() -> None:
    """VGG-16's first two layers: the maps between them are 3.2 M words, twice over DRAM apart."""
    first = ConvLayer(1, 3, 224, 224, 64, 3, 3, pad=1)
    second = ConvLayer(1, 64, 224, 224, 64, 3, 3, pad=1)
    pair = Pair(first, second)
    fused, apart = compulsory(pair)
    maps = 64 * 224 * 224
    assert fused == 3 * 224 * 224 + 3 * 64 * 9 + 64 * 64 * 9 + maps
    assert apart == fused + 2 * maps
    rows = Blocks(1, 1, 224, 64, True, True, True, True)
    least = cost(pair, rows)
    assert least.loaded_input + least.loaded_first + least.loaded_second + least.stored == fused
    assert least.products == first.macs + second.macs
    assert least.room_between == 3 * 224 * 64
    assert least.room_input == 3 * 3 * 224 + 3 * 0


def test_halos_that_are_computed_again_cost_products() -> None:
    """Blocks of 8 x 8 outputs need 10 x 10 between: (10 / 8)^2 times the products, less the edges."""
    layer = ConvLayer(1, 4, 16, 16, 4, 3, 3, pad=1)
    pair = Pair(layer, layer)
    again = cost(pair, Blocks(1, 8, 8, 4, False, True, True, True))
    assert again.products - layer.macs == layer.macs * 18 * 18 // (16 * 16)


def test_products_are_convolutions_of_one_tap() -> None:
    pair = Pair(*(as_convolution(GemmLayer(8, n, k)) for n, k in ((6, 5), (4, 6))))
    assert pair.first.macs == 8 * 6 * 5
    assert compulsory(pair) == (8 * 5 + 5 * 6 + 6 * 4 + 8 * 4, 8 * 5 + 5 * 6 + 6 * 4 + 8 * 4 + 96)


def test_layers_that_do_not_follow_are_refused() -> None:
    with pytest.raises(HwsimError, match="writes 1x8x6x6, the second reads 1x9x6x6"):
        Pair(ConvLayer(1, 4, 8, 8, 8, 3, 3), ConvLayer(1, 9, 6, 6, 4, 3, 3))
    with pytest.raises(HwsimError, match="2 groups of 2 channels"):
        Pair(ConvLayer(1, 4, 8, 8, 4, 3, 3, groups=2), ConvLayer(1, 4, 6, 6, 4, 3, 3))


TWO = {"a": ConvLayer(2, 3, 9, 8, 6, 3, 3, pad=1), "b": ConvLayer(2, 6, 9, 8, 5, 3, 3)}


def two(layers: dict[str, ConvLayer]) -> Workload:
    return replace(Workload("two", {**layers}, {"b": ("a",)}), inputs={"b": ("a",)})


def toy(capacity: int) -> Machine:
    machine = load_machine("toy-8x8")
    part = replace(machine.parts["gb"], capacity=capacity)  # type: ignore[call-arg]
    return replace(machine, parts={**machine.parts, "gb": part})


@pytest.mark.parametrize("capacity", [200, 400, 1100, 3000])
def test_the_best_is_what_trying_all_gives(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_pairs, "_apart", lambda *_: None)
    fused = fuse_layers(two(TWO).with_dtype("int8"), ("a", "b"), toy(capacity))
    pair = Pair(TWO["a"], TWO["b"])
    least = None
    for images, rows, cols, channels in itertools.product(
        (1, 2), range(1, 8), range(1, 7), range(1, 7)
    ):
        for flags in itertools.product((True, False), repeat=4):
            said = cost(pair, Blocks(images, rows, cols, channels, *flags))
            room = said.room_input + said.room_first + said.room_between
            room += said.room_second + said.room_output
            moved = said.loaded_input + said.loaded_first + said.loaded_second + said.stored
            if room <= capacity and (least is None or moved < least):
                least = moved
    assert fused.best is not None and least is not None
    assert least <= fused.best.dram_bytes <= 1.1 * least  # tiles that end ragged may be better
    assert fused.best.room <= capacity


def test_more_room_never_moves_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_pairs, "_apart", lambda *_: None)
    fused = [
        fuse_layers(two(TWO).with_dtype("int8"), ("a", "b"), toy(64 << power)).best
        for power in range(2, 9)
    ]
    moved = [choice.dram_bytes for choice in fused if choice is not None]
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == compulsory(Pair(TWO["a"], TWO["b"]))[0]


def test_where_nothing_fits_the_memory_and_the_bytes_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layer_pairs, "_apart", lambda *_: None)
    fused = fuse_layers(two(TWO).with_dtype("int8"), ("a", "b"), toy(20))
    assert fused.best is None
    assert "of gb, which has 20 B" in fused.lacking


def test_the_curve_falls_to_every_word_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_pairs, "_apart", lambda *_: None)
    fused = fuse_layers(two(TWO).with_dtype("int8"), ("a", "b"), toy(4000))
    moved = [choice.dram_bytes for choice in fused.curve]
    rooms = [choice.room for choice in fused.curve]
    assert moved == sorted(moved, reverse=True) and rooms == sorted(rooms)
    assert moved[-1] == fused.fused_least == compulsory(fused.pair)[0]
    assert fused.curve[-1].again == 0


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["map", *arguments], catch_exceptions=False)
    return result.output


def test_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_pairs, "_apart", lambda *_: (16 << 20, 3e7))
    asked = ("toy-8x8", "vgg16", "--fuse", "conv1_1,conv1_2", "--seconds", "0.5")
    text = run(*asked)
    lines = [line for line in text.splitlines() if not line.startswith("hwsim:")]
    assert max(map(len, lines)) <= 80
    assert "conv1_1 and conv1_2 fused on toy-8x8" in text
    document = json.loads(run(*asked, "--json", "-"))
    assert document["schema"] == "hwsim.fused-pair/1"
    assert document["best"]["dram_bytes"] >= document["fused_least_dram_bytes"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("xeon-8380", "alexnet", "--fuse", "conv3,conv4"), "its caches decide what stays"),
        (("toy-8x8", "alexnet", "--fuse", "conv3"), "1 layers; expected two"),
        (("toy-8x8", "alexnet", "--fuse", "conv1,conv3"), "expected it to read conv1"),
        (("toy-8x8", "alexnet", "--fuse", "conv3,conv4", "-o", "edp"), "objective of a fused"),
        (("toy-8x8", "alexnet", "--fuse", "conv3,conv4", "--curve", "gb"), "no other option"),
        (("toy-8x8", "alexnet", "--fuse", "conv3,conv4", "-a", "im2col"), "--algorithm direct"),
    ],
)
def test_what_cannot_be_fused_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["map", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
