"""Attention, batched products and copies: counts by their definition, on every kind of machine."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.count.compulsory import compulsory_bytes
from hwsim.describe.catalog import shipped
from hwsim.describe.layer import (
    AttentionLayer,
    ElementwiseLayer,
    GemmLayer,
    Layer,
    MoveLayer,
)
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import find_workload, load_workload
from hwsim.errors import HwsimError

MACHINES = ("toy-8x8", "toy-systolic", "tpu-v1", "h100", "toy-cpu")
SMALL = AttentionLayer(1, 4, 6, 6, 8, kv_heads=2, causal=True)


def test_pairs_are_those_that_a_token_sees() -> None:
    for q, kv in itertools.product(range(1, 6), range(1, 9)):
        whole = AttentionLayer(1, 2, q, kv, 3)
        assert whole.macs == 2 * 2 * q * kv * 3
        if q <= kv:
            seen = sum(key <= kv - q + token for token in range(q) for key in range(kv))
            assert AttentionLayer(1, 2, q, kv, 3, causal=True).pairs == seen


def test_stages_compute_attention() -> None:
    """Two products around a softmax are softmax(QK')V of every head.

    Dims are those that the tensors state; heads have their own keys, which some share.
    """
    rng = np.random.default_rng(0)
    heads, kv_heads, q, kv, d = 4, 2, 3, 5, 8
    layer = AttentionLayer(2, heads, q, kv, d, kv_heads)
    queries = rng.normal(size=(2, heads, q, d))
    keys, values = rng.normal(size=(2, 2, kv_heads, kv, d))
    scores, softmax, sums = lower(layer, "attention").stages
    assert (softmax.extents, scores.extents) == (
        {"b": 4, "m": 6, "n": 5},
        {"b": 4, "m": 6, "n": 5, "d": 8},
    )
    rows = queries.reshape(2, kv_heads, heads // kv_heads * q, d).reshape(4, 6, d)
    s = np.einsum("bmd,bnd->bmn", rows, keys.reshape(4, kv, d))
    p = np.exp(s) / np.exp(s).sum(axis=-1, keepdims=True)
    found = np.einsum("bmn,bnd->bmd", p, values.reshape(4, kv, d)).reshape(2, heads, q, d)
    for image, head in itertools.product(range(2), range(heads)):
        own = head // (heads // kv_heads)
        alone = np.exp(queries[image, head] @ keys[image, own].T)
        expected = alone / alone.sum(axis=-1, keepdims=True) @ values[image, own]
        np.testing.assert_allclose(found[image, head], expected)
    assert scores.iterations + sums.iterations == layer.macs


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("algorithm", ["direct", "flash-attention", "auto"])
def test_attention_runs_everywhere(machine: str, algorithm: str) -> None:
    layer = hwsim.simulate(SMALL, machine, algorithm).layers[0]
    assert layer.seconds > 0 and layer.macs == SMALL.macs
    assert layer.operations.multiplies == 2 * 4 * 6 * 6 * 8
    assert layer.operations.effectual_multiplies == SMALL.macs


def test_blocks_keep_scores_on_the_chip() -> None:
    """Scores of 64 KiB do not fit half of the buffer: apart they go to DRAM and come back."""
    layer = AttentionLayer(1, 1, 256, 256, 16)
    apart, fused = (
        hwsim.simulate(layer, "toy-8x8", name).layers[0]
        for name in ("attention", "flash-attention")
    )
    assert fused.dram_bytes < apart.dram_bytes
    assert fused.operations.multiplies == apart.operations.multiplies


def test_a_gpu_runs_it_as_one_kernel_in_half_precision() -> None:
    """Scores never leave the chip; measured times are beside it in hwsim validate."""
    layer = AttentionLayer(1, 32, 2048, 2048, 128)
    apart, fused, best = (
        hwsim.simulate(layer, "h100", name, dtype="fp16").layers[0]
        for name in ("attention", "flash-attention", "auto")
    )
    assert [stage.name for stage in fused.stages] == ["attention"]
    assert fused.dram_bytes == fused.compulsory_bytes == 4 * 32 * 2048 * 128 * 2
    assert apart.dram_bytes > 10 * fused.dram_bytes
    assert best.algorithm == "flash-attention" and best.seconds == fused.seconds < apart.seconds
    assert fused.operations.multiplies == layer.macs
    wide = hwsim.simulate(layer, "h100", "flash-attention", dtype="fp32").layers[0]
    assert len(wide.stages) == 3 and any("half precision" in note.text for note in wide.notes)


@pytest.mark.parametrize("more", ["q", "kv", "heads", "n"])
def test_more_of_anything_takes_longer_on_a_gpu(more: str) -> None:
    times = []
    for size in (1, 2, 4, 8):
        fields = {"n": 1, "heads": 8, "q": 256, "kv": 256, "d": 64}
        fields[more] *= size
        run = hwsim.simulate(AttentionLayer(**fields), "h100", "flash-attention", dtype="fp16")
        times.append(run.seconds)
    assert all(more >= less * (1 - 1e-9) for less, more in itertools.pairwise(times))


def test_a_causal_mask_leaves_tiles_out() -> None:
    whole, masked = (
        hwsim.simulate(
            AttentionLayer(1, 32, 4096, 4096, 64, causal=causal),
            "h100",
            "flash-attention",
            dtype="fp16",
        ).seconds
        for causal in (False, True)
    )
    assert 0.5 < masked / whole < 0.6


def test_a_batched_product_is_its_products() -> None:
    """As many bytes as so many products of their own, where nothing is shared."""
    one = hwsim.simulate(GemmLayer(8, 8, 8), "toy-8x8", "direct").layers[0]
    many = hwsim.simulate(GemmLayer(8, 8, 8, batch=5, operand="data"), "toy-8x8", "direct").layers[
        0
    ]
    assert many.dram_bytes == 5 * one.dram_bytes
    assert many.macs == 5 * one.macs


@pytest.mark.parametrize(("reads", "writes"), [(12, 12), (100, 7), (7, 100), (1, 9), (9, 1)])
def test_copies_move_what_they_say(reads: int, writes: int) -> None:
    layer = MoveLayer(3, reads, writes, dtype="int8")
    assert compulsory_bytes(lower(layer, "direct")) == 3 * (reads + writes)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("place", [(64, 96, 1), (64, 1, 96), (1, 64, 96)])
def test_the_place_of_a_length_does_not_matter(machine: str, place: tuple[int, int, int]) -> None:
    """An axis of one word has no neighbours.

    Maps of one column went a line a word through caches.
    """
    dtype = "int8" if machine.startswith("t") and "cpu" not in machine else "fp32"
    found = hwsim.simulate(ElementwiseLayer(1, *place, op="gelu"), machine, dtype=dtype).layers[0]
    same = hwsim.simulate(ElementwiseLayer(1, 64, 1, 96, op="gelu"), machine, dtype=dtype).layers[0]
    assert found.dram_bytes == same.dram_bytes
    assert found.seconds == pytest.approx(same.seconds, rel=0.02)


def test_a_shape_by_name() -> None:
    workload = find_workload("attention:heads=32,q=1,kv=2048,d=128,kv_heads=8")
    assert list(workload.layers.values()) == [AttentionLayer(1, 32, 1, 2048, 128, 8)]
    assert find_workload("gemm:8,8,8,batch=3").macs == 3 * 512


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kv_heads": 3}, "kv_heads: 3; expected a divisor of 4 heads"),
        ({"q": 7, "causal": True}, "7 tokens ask 6"),
        ({"d": 0}, "d: 0; expected at least 1"),
    ],
)
def test_attention_that_is_none(fields: dict[str, int], expected: str) -> None:
    with pytest.raises(HwsimError, match=expected):
        AttentionLayer(**({"n": 1, "heads": 4, "q": 6, "kv": 6, "d": 8} | fields))


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("efficientnet-b0", 385_814_752),  # 0.39 G: Tan and Le 2019, table 2
        ("vit-b16", 17_563_828_224),  # 17.6 G: Touvron et al. 2021, arXiv:2012.12877, table 5
        ("unet", 150_428_424_448),
        ("bert-base", 12 * 512 * (12 * 768 * 768 + 2 * 512 * 768)),
        ("gpt2", 12 * (1024 * 12 * 768**2 + 768 * 1024 * 1025) + 768 * 50257),
    ],
)
def test_networks_multiply_what_is_published(name: str, macs: int) -> None:
    """By the papers' totals, or by formulas of the architectures' own sizes."""
    assert load_workload(name).macs == macs


def test_a_workload_of_tokens_takes_another_number() -> None:
    """Products go by the tokens, attention by their square; a context is asked, and asks nothing."""
    full, half = load_workload("bert-base"), load_workload("bert-base", size=(256, 256))
    assert full.layers["qkv"].macs == 2 * half.layers["qkv"].macs
    assert full.layers["attention"].macs == 4 * half.layers["attention"].macs
    decode = load_workload("gpt2", size=(1, 1), context=1023).layers["attention"]
    assert decode == AttentionLayer(1, 12, 1, 1024, 64, causal=True)


def kinds(layers: dict[str, Layer]) -> set[str]:
    return {type(layer).__name__ for layer in layers.values()}


def test_with_batch_goes_through_every_kind() -> None:
    workload = load_workload("llama-3-8b-decode")
    assert (
        workload.with_batch(4).macs
        == 4 * workload.macs
        == load_workload("llama-3-8b-decode", 4).macs
    )
    assert {"AttentionLayer", "MoveLayer", "LinearLayer", "ElementwiseLayer"} == kinds(
        workload.layers
    )


GPUS = [name for name in shipped("configs") if load_machine(name).management == "mixed"]


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("width", [80, 128, 256])
def test_twice_the_attention_takes_about_twice_as_long(name: str, width: int) -> None:
    """Blocks were refused once SMs had two: l4 took 7.7 times as long, and a100 failed (b 4, 80)."""
    machine = load_machine(name)
    if "fp16" not in machine.compute.dtypes:
        return
    some = hwsim.simulate(AttentionLayer(1, 48, 256, 256, width), machine, dtype="fp16")
    twice = hwsim.simulate(AttentionLayer(1, 96, 256, 256, width), machine, dtype="fp16")
    assert some.layers[0].algorithm == twice.layers[0].algorithm
    assert twice.seconds < 2.5 * some.seconds


def test_llamas_attention_runs_in_one_kernel() -> None:
    """Its first try had left the L2 warm, and the run ended as 'a bug in the model'."""
    result = hwsim.simulate(AttentionLayer(1, 32, 1024, 1024, 128), "a100", dtype="fp16")
    assert result.layers[0].algorithm == "flash-attention"
    assert result.dram_bytes == 4 * 32 * 1024 * 128 * 2


@pytest.mark.parametrize("name", ["h100", "a100", "mi300x"])
def test_keys_are_read_once_by_every_warp(name: str) -> None:
    """Every query's own thread read them, at 4 register accesses a product: 1.7 kW of 700 W."""
    layer = AttentionLayer(1, 32, 2048, 2048, 128)
    machine = load_machine(name)
    result = hwsim.simulate(layer, machine, "flash-attention", dtype="fp16")
    (stage,) = result.layers[0].stages
    shared = stage.accesses[machine.only("scratchpad", "sm")]
    assert shared["K"].reads == 32 * (2048 // 32) * 2048 * 128
    assert machine.power is not None
    assert sum(result.energy_pj.values()) * 1e-12 / result.seconds < machine.power
    apart = hwsim.simulate(layer, machine, "attention", dtype="fp16")
    assert sum(result.energy_pj.values()) < sum(apart.energy_pj.values())
