"""Several chips: collectives carried out on arrays, links, pipelines, ways to split layers; closed form, brute force, measured."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result as Ran

import hwsim
from hwsim.algorithms import lower
from hwsim.chips.collectives import COLLECTIVES, KINDS, Round
from hwsim.chips.network import Network
from hwsim.chips.pipeline import batch_seconds, cut
from hwsim.chips.shards import channels_needed, sum_bytes, ways_of
from hwsim.chips.split import Asked, split
from hwsim.chips.tensor import split_layers
from hwsim.chips.topology import TOPOLOGIES, graph_of, places
from hwsim.cli import main
from hwsim.describe.layer import (
    AttentionLayer,
    ConvLayer,
    ElementwiseLayer,
    GemmLayer,
    Layer,
    LinearLayer,
)
from hwsim.describe.machine import load_machine
from hwsim.describe.system import System, list_systems, load_system
from hwsim.describe.units import Bandwidth
from hwsim.describe.workload import Workload, single
from hwsim.rewrite.placement import resident_weight_bytes, weight_bytes
from hwsim.validate import run_check

H100S = load_system("dgx-h100")
CUBE = load_system("tpu-v4-cube")


def invoke(*words: str) -> Ran:
    return CliRunner().invoke(main, list(words))


# Collectives, carried out on arrays as their docstrings say


def ring_all_reduce(data: list[np.ndarray]) -> tuple[list[np.ndarray], list[Round]]:
    p = len(data)
    parts = [np.array_split(row.copy(), p) for row in data]
    rounds: list[Round] = []
    for step in range(2 * (p - 1)):
        sent = [parts[i][(i - step) % p].copy() for i in range(p)]
        for i in range(p):
            target, part = (i + 1) % p, (i - step) % p
            if step < p - 1:
                parts[target][part] += sent[i]
            else:
                parts[target][part] = sent[i]
        rounds.append(tuple((i, (i + 1) % p, sent[i].size / data[0].size) for i in range(p)))
    return [np.concatenate(row) for row in parts], rounds


def halving_all_reduce(data: list[np.ndarray]) -> tuple[list[np.ndarray], list[Round]]:
    p, words = len(data), data[0].size
    have = [(0, words)] * p
    data = [row.copy() for row in data]
    rounds: list[Round] = []
    distance = p // 2
    while distance:
        sent = []
        for i in range(p):
            low, high = have[i]
            middle = (low + high) // 2
            away = (middle, high) if not i & distance else (low, middle)
            sent.append((i ^ distance, away, data[i][slice(*away)].copy()))
            have[i] = (low, middle) if not i & distance else (middle, high)
        for target, away, values in sent:
            data[target][slice(*away)] += values
        rounds.append(tuple((i, t, v.size / words) for i, (t, _, v) in enumerate(sent)))
        distance //= 2
    distance = 1
    while distance < p:
        sent = [(i ^ distance, have[i], data[i][slice(*have[i])].copy()) for i in range(p)]
        before = list(have)
        for i, (target, away, values) in enumerate(sent):
            data[target][slice(*away)] = values
            low, high = before[i ^ distance], before[i]
            have[i] = (min(low[0], high[0]), max(low[1], high[1]))
        rounds.append(tuple((i, t, v.size / words) for i, (t, _, v) in enumerate(sent)))
        distance *= 2
    return data, rounds


@pytest.mark.parametrize(
    ("name", "carried_out", "chips"),
    [("ring", ring_all_reduce, p) for p in (2, 3, 4, 8)]
    + [("halving", halving_all_reduce, p) for p in (2, 4, 8)],
)
def test_an_all_reduce_carried_out_sends_what_its_rounds_say(name, carried_out, chips) -> None:  # type: ignore[no-untyped-def]
    data = [np.random.default_rng(i).integers(0, 9, 24 * chips) for i in range(chips)]
    done, rounds = carried_out(data)
    assert all((row == sum(data)).all() for row in done)
    assert COLLECTIVES.rounds("all-reduce", name, chips) == rounds


@pytest.mark.parametrize("chips", [2, 3, 4, 6, 8])
def test_every_algorithm_sends_at_least_what_it_must(chips: int) -> None:
    """Patarasuk and Yuan 2009: a chip sends and takes in 2 n (p - 1) / p for an all-reduce, half for its halves."""
    least = {"all-reduce": 2, "reduce-scatter": 1, "all-gather": 1, "all-to-all": 1}
    for kind, times in least.items():
        for name in COLLECTIVES.fitting(kind, chips, ()):
            rounds = COLLECTIVES.rounds(kind, name, chips)
            for chip in range(chips):
                sent = sum(share for one in rounds for source, _, share in one if source == chip)
                taken = sum(share for one in rounds for _, target, share in one if target == chip)
                assert sent == pytest.approx(times * (chips - 1) / chips), (kind, name)
                assert taken == pytest.approx(sent), (kind, name)


# Links


def plain(system: System) -> System:
    """Only its links: no time beside bytes."""
    protocol = replace(
        system.protocols[0][1],
        start=type(system.link.latency)(0.0, False),
        step=type(system.link.latency)(0.0, False),
        share=1.0,
    )
    return replace(system, protocols=(("plain", protocol),), algorithms=())


def seconds(system: System, kind: str, chips: int, size: float) -> float:
    return Network(system).collective(kind, tuple(range(chips)), size).seconds


@pytest.mark.parametrize("chips", [2, 4, 8])
def test_all_reduce_is_its_closed_form_on_a_switch_and_on_a_ring(chips: int) -> None:
    """2 n (p - 1) / p at a chip's bandwidth; on a ring in both directions, half of that."""
    size, rate = 1e9, 450e9
    on_switch = plain(replace(H100S, shape=(chips,)))
    assert seconds(on_switch, "all-reduce", chips, size) == pytest.approx(
        2 * size * (chips - 1) / chips / rate
    )
    on_ring = replace(on_switch, topology="ring")
    halves = 1 if chips == 2 else 2
    assert seconds(on_ring, "all-reduce", chips, size) == pytest.approx(
        2 * size * (chips - 1) / chips / rate / halves
    )


def test_a_mesh_whose_ring_does_not_close_is_slower_than_a_torus() -> None:
    cube = plain(replace(CUBE, shape=(3, 3)))
    mesh = replace(cube, topology="mesh")
    assert seconds(mesh, "all-gather", 9, 1e8) > seconds(cube, "all-gather", 9, 1e8)


@pytest.mark.parametrize("shape", [(8,), (4, 4), (2, 3, 4)])
def test_chips_that_follow_each_other_are_neighbours(shape: tuple[int, ...]) -> None:
    graph = graph_of("torus", shape)
    chips = len(places(shape))
    assert all(graph.has_edge(chip, chip + 1) for chip in range(chips - 1))
    assert sorted(node for node in graph if node != "switch") == list(range(chips))


def test_more_bandwidth_is_never_slower() -> None:
    for kind in KINDS:
        before = float("inf")
        for rate in (10e9, 50e9, 450e9):
            link = replace(H100S.link, bandwidth=Bandwidth(rate, False))
            chips = 2 if kind in ("send", "hand-over") else 8
            now = seconds(replace(H100S, link=link), kind, chips, 1e7)
            assert now <= before
            before = now


def test_nccl_on_two_h100s_is_within_a_sixth_and_was_not_calibrated_on() -> None:
    groups = run_check("h100-nccl").groups
    assert groups["use"]["held out"]["time"].mean_abs_rel_err < 0.16
    assert groups["kind"]["all-reduce, 2 GPUs"]["time"].mean_abs_rel_err < 0.12


# Pipelines


def test_a_cut_is_the_best_of_all_cuts() -> None:
    rng = random.Random(5)
    for _ in range(200):
        count, stages = rng.randint(2, 8), rng.randint(1, 4)
        if stages > count:
            continue
        layers = [rng.randint(1, 20) for _ in range(count)]
        sends = [rng.randint(0, 9) for _ in range(count)]

        microbatches = rng.choice((1, 1, 2, 3, 50))

        def parts(begins, layers=layers, sends=sends) -> list[float]:  # type: ignore[no-untyped-def]
            ends = [*begins[1:], len(layers)]
            return [
                sum(layers[begin:end]) + (sends[end - 1] if end < len(layers) else 0)
                for begin, end in zip(begins, ends, strict=True)
            ]

        def taken(begins, m=microbatches, parts=parts) -> float:  # type: ignore[no-untyped-def]
            return batch_seconds(parts(begins), m)

        def slowest(begins, parts=parts) -> float:  # type: ignore[no-untyped-def]
            return max(parts(begins))

        every = [[0, *rest] for rest in itertools.combinations(range(1, count), stages - 1)]
        found = cut(layers, sends, stages, microbatches)
        assert found is not None and taken(found) == min(map(taken, every))
        if microbatches == 1:  # of those that are as quick, the one whose stages are most alike
            alike = [begins for begins in every if taken(begins) == taken(found)]
            assert slowest(found) == min(map(slowest, alike))
        held, most = [rng.randint(1, 9) for _ in range(count)], rng.randint(5, 30)
        fitting = [
            begins
            for begins in every
            if all(
                sum(held[begin:end]) <= most
                for begin, end in zip(begins, [*begins[1:], count], strict=True)
            )
        ]
        found = cut(layers, sends, stages, microbatches, held, most)
        assert (found is not None) == bool(fitting)
        assert found is None or (found in fitting and taken(found) == min(map(taken, fitting)))


def test_a_batch_in_a_pipeline_takes_what_its_steps_do() -> None:
    """Microbatch m leaves stage s once it has come from s - 1, and m - 1 has left s."""
    rng = random.Random(3)
    for _ in range(50):
        stages = [rng.uniform(0.1, 5) for _ in range(rng.randint(1, 6))]
        microbatches = rng.randint(1, 9)
        left = [0.0] * len(stages)
        for _ in range(microbatches):
            came = 0.0
            for number, stage in enumerate(stages):
                left[number] = came = max(came, left[number]) + stage
        assert batch_seconds(stages, microbatches) == pytest.approx(left[-1])


# Splitting layers


def test_the_ways_found_are_the_best_of_all_ways() -> None:
    """Every combination of ways of a small block with a branch around it, one by one."""
    layers: dict[str, Layer] = {
        "norm": ElementwiseLayer(1, 64, 8, 1, op="layernorm"),
        "up": LinearLayer(8, 64, 256),
        "act": ElementwiseLayer(1, 256, 8, 1, op="gelu"),
        "down": LinearLayer(8, 256, 64),
        "add": ElementwiseLayer(1, 64, 8, 1, 2, "add"),
        "last": ElementwiseLayer(1, 64, 8, 1, op="layernorm"),
    }
    inputs = {
        "norm": ("input",),
        "up": ("norm",),
        "act": ("up",),
        "down": ("act",),
        "add": ("down", "norm"),
        "last": ("add",),
    }
    workload = Workload("block", layers, inputs)
    chips = 2
    rng = random.Random(11)
    for _ in range(40):
        times = {
            way.layer: rng.uniform(1, 9) for one in layers.values() for way in ways_of(one, chips)
        }
        price = {kind: rng.uniform(0, 6) for kind in KINDS}

        def cost(ways, times=times, price=price) -> float:  # type: ignore[no-untyped-def]
            state, total = {}, 0.0
            for (name, _), way in zip(layers.items(), ways, strict=True):
                total += times[way.layer] + price.get(way.collective, 0.0)
                if way.takes == "whole":
                    for source in inputs[name]:
                        if state.get(source) == "split":
                            total += price["all-gather"]
                            state[source] = "whole"
                state[name] = way.gives
            return total

        every = itertools.product(*(ways_of(layer, chips) for layer in layers.values()))
        found = split_layers(
            workload,
            chips,
            lambda _, part, own=times: own[part],
            lambda kind, _, price=price: price[kind],
        )  # type: ignore[misc]
        assert sum(one.seconds for one in found) == pytest.approx(min(map(cost, every)))


def test_a_transformers_blocks_are_split_as_megatron_splits_them() -> None:
    """Shoeybi et al. 2019: columns, heads, rows; two all-reduces a block, of the whole sums."""
    network = hwsim.load_workload("llama-3-8b")
    found = split(network, H100S.of_shape((4,)), asked=Asked(tensor=4), dtype="fp16")
    block = {one.name: one.way for one in found.best.stages[0].layers[1:12]}
    named = {name.partition(" (")[0]: way.name for name, way in block.items()}
    assert named["qkv"] == named["gate_up"] == "columns"
    assert named["project"] == named["down"] == "rows"
    assert named["attention"] == named["act"] == "channels"
    assert [way.collective for way in block.values()].count("all-reduce") == 2


def test_parts_of_layers() -> None:
    conv = ConvLayer(1, 64, 14, 14, 128, 3, 3, pad=1)
    assert {(way.layer.c, way.layer.k) for way in ways_of(conv, 4)} == {
        (64, 128),
        (64, 32),
        (16, 128),
    }  # type: ignore[union-attr]
    depthwise = replace(conv, k=64, groups=64)
    assert [way.name for way in ways_of(depthwise, 4)] == ["copies", "channels"]
    heads = AttentionLayer(1, 32, 1, 512, 128, 8)
    shared = ways_of(heads, 16)[1].layer
    assert (shared.heads, shared.kv_heads) == (2, 1)  # type: ignore[union-attr]
    assert len(ways_of(replace(heads, heads=12, kv_heads=12), 8)) == 1
    blocks = hwsim.load_workload("llama-3-8b")
    needed = channels_needed(
        blocks, 16
    )  # a chip has two heads of queries, one of keys, one of values
    assert {needed[name] for name in needed} == {4 * 128} and len(needed) == 2 * 32
    assert channels_needed(blocks, 8) == {}
    alone = single(replace(heads, kv_heads=4))
    assert channels_needed(alone, 8) == {}  # nothing comes before it
    odd = replace(blocks, layers={"attention": replace(heads, heads=12, kv_heads=3)})
    assert channels_needed(odd, 4) == {}  # its heads are not split
    assert ways_of(GemmLayer(8, 8, 8, batch=6, operand="data"), 3)[1].layer.batch == 2  # type: ignore[union-attr]
    for layer in (conv, depthwise, heads):
        for way in ways_of(layer, 4):
            assert way.layer.macs * 4 >= layer.macs


def test_peers_that_send_at_once_share_links() -> None:
    """On 4 x 4 x 4, two chips' messages to the next two share a link where they go the same way."""
    network = Network(plain(CUBE))
    for tensor in (1, 2, 4, 8):
        both = tuple(range(2 * tensor))
        (one,) = COLLECTIVES.rounds("hand-over", "direct", 2 * tensor)
        words = network.load(one, both).words
        alone = network.collective("send", (0, tensor), 1e9).seconds
        assert network.collective("hand-over", both, 1e9).seconds == pytest.approx(
            words * alone, rel=1e-3
        )
    assert network.load(COLLECTIVES.rounds("hand-over", "direct", 4)[0], (0, 1, 2, 3)).words == 2


def test_sums_of_narrow_words_are_wide() -> None:
    """They moved as 8 bits before they were added: rows were taken where columns are quicker."""
    product = GemmLayer(4096, 2048, 65536, dtype="int8")
    assert sum_bytes(product) == 4 * 4096 * 2048
    assert sum_bytes(replace(product, dtype="fp16")) == 2 * 4096 * 2048


def test_a_chip_holds_all_experts_and_reads_those_that_tokens_need() -> None:
    """Mixtral 8x7B was said to fit 24 GiB, as one token needs two experts of eight a layer."""
    layer = LinearLayer(2, 64, 96, experts=8)
    assert (weight_bytes(layer), resident_weight_bytes(layer)) == (2 * 64 * 96 * 4, 8 * 64 * 96 * 4)


def test_experts_are_not_multiplied_with_the_batch() -> None:
    """`compare -b 8` made 64 experts of 8; rows of unequal experts were rounded up."""
    layer = LinearLayer(10, 64, 96, experts=8)
    one = Workload("experts", {"layer": layer}, {"layer": ()}, batch=1)
    for batch in (1, 3, 8):
        (found,) = one.with_batch(batch).layers.values()
        plan = lower(found, "direct")
        weights = sum(
            tensor.bytes
            for stage in plan.stages
            for tensor in stage.tensors
            if tensor.role == "weight"
        )
        assert plan.operations.multiplies == found.macs == 10 * batch * 64 * 96
        assert weights == 8 * 64 * 96 * 4
    products = GemmLayer(4, 5, 6, batch=6)
    (scaled,) = Workload("p", {"p": products}, {"p": ()}).with_batch(3).layers.values()
    assert (scaled.m, scaled.batch) == (12, 6)  # type: ignore[union-attr]


def test_one_chip_is_the_machine_itself() -> None:
    network = hwsim.load_workload("resnet18", 4)
    one = hwsim.split(network, H100S.of_shape((1,)), dtype="fp16")
    alone = hwsim.simulate(network, "h100", dtype="fp16")
    assert one.best.seconds == pytest.approx(sum(layer.seconds for layer in alone.layers))
    assert one.best.shares["computing"] == pytest.approx(1)


@pytest.mark.parametrize(
    "network",
    [
        Workload(
            "small",
            {
                "a": ConvLayer(1, 16, 28, 28, 64, 3, 3, pad=1),
                "b": ConvLayer(1, 64, 28, 28, 64, 3, 3, pad=1),
                "c": ConvLayer(1, 64, 28, 28, 128, 1, 1),
                "d": ConvLayer(1, 128, 28, 28, 64, 1, 1),
            },
            {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)},
        ),
        Workload(
            "large",
            {name: ConvLayer(1, 512, 7, 7, 512, 3, 3, pad=1) for name in "abcd"},
            {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)},
        ),
    ],
    ids=["small", "large"],
)
def test_weights_stay_on_chips_that_hold_their_own(network: Workload) -> None:
    """One Edge TPU holds the small network's weights, not 9.4 MB; a pipeline of four is cut so that each holds its own.

    What one chip takes does not depend on how many others are asked about.
    """
    system = replace(H100S, name="edge", chip="edge-tpu", shape=(1,))
    alone = hwsim.simulate(network, "edge-tpu")
    seconds_alone = sum(layer.seconds for layer in alone.layers)
    assert hwsim.split(network, system).best.seconds == pytest.approx(seconds_alone)
    room = load_machine("edge-tpu").memories["weights"].capacity
    found = hwsim.split(network, system.of_shape((4,)))
    assert found.alone.seconds == pytest.approx(seconds_alone)
    stages = next(one for one in found.options if one.pipeline == 4).stages
    assert max(stage.weights for stage in stages) <= room


def test_copies_divide_the_batch_and_move_nothing() -> None:
    found = hwsim.split("alexnet", CUBE.of_shape((2, 2)), data=1)
    assert all(option.data == 1 for option in found.options)
    network = hwsim.load_workload("alexnet", 4)
    copies = hwsim.split(network, CUBE.of_shape((2, 2)), data=4)
    assert copies.best.seconds == pytest.approx(
        hwsim.split(hwsim.load_workload("alexnet"), CUBE.of_shape((1,))).best.seconds
    )


def test_a_network_that_is_too_large_for_a_chip_needs_several(tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    machine = (Path(__file__).parent.parent / "configs/gpu/h100.yaml").read_text()
    small.write_text(
        machine.replace("capacity: 80 GB", "capacity: 10 GB").replace("name: h100", "name: small")
    )
    system = replace(H100S, chip=str(small), shape=(2,))
    found = hwsim.split("llama-3-8b", system, dtype="fp16")
    assert not found.alone.fits and found.best.fits and found.best.data == 1


# The command


def test_the_command_shows_options_and_layers() -> None:
    ran = invoke("split", "dgx-h100", "alexnet", "-b", "8", "--chips", "2", "--layers")
    assert ran.exit_code == 0, ran.output
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "Quickest" in ran.stdout and "conv1" in ran.stdout
    document = json.loads(
        invoke("split", "dgx-h100", "alexnet", "-b", "8", "--chips", "2", "--json", "-").stdout
    )
    times = [option["seconds"] for option in document["options"]]
    assert times == sorted(times)
    for option in document["options"]:
        assert sum(option["shares"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("split", "dgx-h10", "vgg16"), "did you mean 'dgx-h100'"),
        (("split", "dgx-h100", "alexnet", "--tensor", "3"), "tensor x pipeline x data = 8"),
        (("split", "dgx-h100", "alexnet", "--chips", "2xx"), "chips along each axis"),
        (("run", "dgx-h100", "alexnet"), "hwsim split dgx-h100"),
    ],
)
def test_what_cannot_be_is_said(words: tuple[str, ...], said: str) -> None:
    ran = invoke(*words)
    assert ran.exit_code == 2
    assert said in ran.output
    assert "Traceback" not in ran.output


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("shape: [8]", "shape: [0]", "chips along each axis"),
        ("topology: switch", "topology: star", "topology"),
        ("bandwidth: 450 GB/s", "bandwidth: 450 B/cycle", "no clock"),
        ("share: 0.741", "share: 1.5", "at most 1"),
        ("chip: h100", "chip: h1000", "h1000"),
    ],
)
def test_a_faulty_system_is_refused_at_its_line(
    line: str, instead: str, said: str, tmp_path: Path
) -> None:
    text = (Path(__file__).parent.parent / "systems/dgx-h100.yaml").read_text()
    assert line in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(line, instead))
    ran = invoke("split", str(path), "alexnet")
    assert ran.exit_code == 2 and said in ran.output, ran.output
    assert "Traceback" not in ran.output


def test_a_system_is_shown_by_name_and_by_file() -> None:
    by_name = invoke("show", "tpu-v4-cube")
    path = Path(__file__).parent.parent / "systems/tpu-v4-cube.yaml"
    assert by_name.exit_code == 0 and "64 (4 x 4 x 4) tpu-v4, torus" in by_name.stdout
    assert invoke("show", str(path)).stdout == by_name.stdout


def test_every_shipped_system_has_its_chip_and_its_links() -> None:
    for name in list_systems():
        system = load_system(name)
        assert system.topology in TOPOLOGIES
        assert system.machine.name == system.chip
        assert seconds(system, "all-reduce", 4, 1e6) > 0
