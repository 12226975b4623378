"""What a GPU's L2 has of the maps of layers before."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import replace

import pytest

import hwsim
from hwsim.describe.eager import (
    as_hugging_face_runs,
    with_gelu_in_steps,
    with_plain_attention,
    with_products_apart,
)
from hwsim.describe.layer import ConvLayer, ElementwiseLayer, MoveLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.settings import read_settings
from hwsim.describe.workload import Workload
from hwsim.rewrite.residency import Pass, residencies

WORDS = 2000  # of the longest pass


@pytest.mark.parametrize("seed", range(30))
def test_words_that_are_still_there_equal_an_executed_lru(seed: int) -> None:
    """A map is passed over at an even pace among other words, twice; between the passes come
    others."""
    dice = random.Random(seed)
    own = dice.randint(100, 400)
    lengths = [own * dice.randint(1, 4), dice.randint(0, WORDS), own * dice.randint(1, 4)]
    capacity = dice.randint(50, WORDS)
    held: OrderedDict[tuple[str, int], None] = OrderedDict()
    hits = clock = 0

    def touch(word: tuple[str, int]) -> bool:
        found = word in held
        held.pop(word, None)
        held[word] = None
        while len(held) > capacity:
            held.popitem(last=False)
        return found

    for number, length in enumerate(lengths):
        every = length // own
        for step in range(length):
            mine = number != 1 and step % every == 0
            hit = touch(("map", step // every) if mine else ("others", clock))
            hits += mine and number == 2 and hit
            clock += 1
    first = Pass(0, lengths[0])
    last = Pass(sum(lengths[:2]), sum(lengths))
    assert hits / own == pytest.approx(first.still_there(last, capacity), abs=0.02)


def two(size: int) -> Workload:
    layer = ElementwiseLayer(1, size, 64, 64, op="sigmoid")
    return Workload("two", {"a": layer, "b": layer}, {"a": (), "b": ("a",)})


@pytest.mark.parametrize("size", [64, 1024])
def test_a_map_that_fits_passes_through_the_l2(size: int) -> None:
    """1 and 16 MiB, walked line by line and in closed form: only the first map comes, only the last
    leaves."""
    first, second = hwsim.simulate(two(size), "h100", dtype="fp32").layers
    whole = size * 64 * 64 * 4
    assert (first.dram_read_bytes, first.dram_write_bytes) == (whole, 0)
    assert (second.dram_read_bytes, second.dram_write_bytes) == (0, whole)


def test_a_map_that_does_not_fit_comes_and_goes() -> None:
    for layer in hwsim.simulate(two(8192), "h100", dtype="fp32").layers:
        assert layer.dram_read_bytes == layer.dram_write_bytes == 8192 * 64 * 64 * 4


def test_a_map_that_is_read_late_has_left_in_between() -> None:
    """c reads b and a; before it b2 passes over more than the L2 holds."""
    small, large = (ElementwiseLayer(1, size, 64, 64, op="sigmoid") for size in (64, 8192))
    both = ElementwiseLayer(1, 64, 64, 64, inputs=2, op="add")
    layers = {"a": small, "b": large, "c": both}
    found = residencies(
        Workload("late", layers, {"a": (), "b": (), "c": ("a", "b")}), load_machine("h100")
    )
    assert found["a"].output == 0.0
    assert found["c"].inputs == 0.0


def test_layers_alone_and_other_machines_begin_in_dram() -> None:
    assert residencies(two(64), load_machine("tpu-v1")) == {}
    alone = hwsim.simulate(two(64).only(("b",)), "h100", dtype="fp32").layers[0]
    assert alone.dram_read_bytes == 64 * 64 * 64 * 4


def test_copies_of_a_layer_stay_in_the_l2_too() -> None:
    """Between layers, maps that are copied to channels last and back cost no DRAM traffic."""
    network = hwsim.load_workload("resnet18", 16)
    result = hwsim.simulate(network, "h100", "implicit-gemm", dtype="fp16")
    (layer,) = (layer for layer in result.layers if layer.name == "conv3_s")
    assert layer.dram_bytes == layer.compulsory_bytes == 64 * 128 * 2


def test_an_l2_that_reaches_further_is_no_slower() -> None:
    network = hwsim.load_workload("resnet18", 16)
    times = [
        hwsim.simulate(
            network, load_machine("h100", read_settings([f"parts.l2.reach={reach}"])), "direct"
        ).seconds
        for reach in ("8MiB", "32MiB", "128MiB")
    ]
    assert times[0] >= times[1] >= times[2]


def test_attention_in_plain_operators_is_the_same_products_and_more_kernels() -> None:
    """As reference/h100_transformer_kernels.json lists: 15 other kernels of an attention in half
    precision, 9 in fp32."""
    bert = hwsim.load_workload("bert-base", 1, (128, 128))
    for dtype, others in (("fp16", 15), ("fp32", 10)):
        plain = with_plain_attention(with_products_apart(bert), dtype)
        assert plain.macs == bert.macs
        assert len(plain.layers) - len(bert.layers) == 12 * (others + 2)
        typed = plain.with_dtype(dtype)
        assert typed.layers["attention"].dtype == "fp32"
        assert typed.layers["up"].dtype == dtype


def test_gelu_in_steps_is_eight_kernels() -> None:
    gpt = hwsim.load_workload("gpt2", 1, (128, 128))
    steps = with_gelu_in_steps(gpt)
    assert len(steps.layers) - len(gpt.layers) == 12 * 7
    assert steps.inputs["down"] == ("act",)


def test_what_runs_otherwise_follows_from_the_layers_not_from_the_networks_name() -> None:
    """Masked where attention is not causal; in steps where GELU is the approximated one."""
    gpt, bert = (hwsim.load_workload(name, 1, (128, 128)) for name in ("gpt2", "bert-base"))
    assert as_hugging_face_runs(gpt, "fp16").layers == with_gelu_in_steps(gpt).layers
    masked = with_plain_attention(with_products_apart(bert), "fp16")
    assert as_hugging_face_runs(replace(bert, name="another"), "fp16").layers == masked.layers


def test_a_move_to_fewer_words_is_counted_at_once() -> None:
    """It took minutes where each word met several by a loop of its own."""
    result = hwsim.simulate(MoveLayer(8, 12 * 512 * 512, 12, 512, 128), "h100", dtype="fp32")
    words = 8 * 12 * 512 * 512
    assert result.layers[0].dram_read_bytes == 4 * words
    assert result.layers[0].dram_write_bytes == words


def test_convolutions_find_their_maps_too() -> None:
    layer = ConvLayer(1, 64, 56, 56, 64, 3, 3, pad=1)
    pair = Workload("pair", {"a": layer, "b": layer}, {"a": (), "b": ("a",)})
    first, second = hwsim.simulate(pair, "h200", "implicit-gemm", dtype="fp16").layers
    weights, maps = 64 * 64 * 9 * 2, 64 * 56 * 56 * 2
    assert first.dram_read_bytes >= weights + maps > second.dram_read_bytes >= weights
    assert first.compulsory_bytes == weights + maps and second.compulsory_bytes == weights + maps
