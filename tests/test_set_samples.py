"""A sample of the caches' sets: exact in the sets that are walked, and within what is stated."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import hwsim
from hwsim.algorithms import lower
from hwsim.cli import main
from hwsim.describe.layer import ConvLayer, GemmLayer, Layer
from hwsim.errors import UnknownName
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Array
from hwsim.parts.cache import Cache
from hwsim.parts.core import with_cores
from hwsim.timing.caches import nest_arrays, set_samples, stream
from hwsim.timing.caches.batches import Walkers
from hwsim.timing.caches.chain import AddressSpace, ImplicitChain
from hwsim.timing.caches.look_ups import MISSES
from hwsim.timing.caches.set_samples import RESIDUES, UNSEEN, SetSample, can_be_sampled
from hwsim.timing.caches.stretches import END, USED_RUNS
from hwsim.timing.caches.traffic import StreamResult
from tests.test_caches import cache

LINE = 64


def random_layer(dice: random.Random) -> Layer:
    if dice.random() < 0.6:
        return GemmLayer(*(dice.choice((24, 40, 64, 96, 100, 128)) for _ in range(3)))
    taps = dice.choice((1, 3))
    return ConvLayer(
        1, dice.choice((8, 16)), *[dice.choice((14, 28, 32))] * 2, dice.choice((8, 16)), taps, taps, pad=taps // 2
    )  # fmt: skip


def random_nest(stage: Stage, dice: random.Random, cores: int = 1) -> Nest:
    """Tiles of every dim in some order, then their points in some order, the last one in registers."""
    names = tuple(tensor.name for tensor in stage.tensors)
    dims = [dim for dim, bound in stage.bounds if bound > 1]
    shared = next(dim for dim in dims if dim in stage.output.dims)
    of_cores = [Loop(shared, -(-dict(stage.bounds)[shared] // cores), "core")] if cores > 1 else []
    tiles = [Loop(dim, dice.choice((1, 2, 4, 5))) for dim in dice.sample(dims, len(dims))]
    points = [Loop(dim, 1) for dim in dice.sample(dims, len(dims))]
    *outside, inside = points
    items = (
        Hold("dram", names), *of_cores, *tiles, *outside, Hold("registers", names, "refetch"), inside
    )  # fmt: skip
    return Nest(stage, items)


def random_chain(dice: random.Random) -> list[tuple[str, Any]]:
    levels, sets = [], RESIDUES
    for number in range(dice.randint(2, 3)):
        ways = dice.choice((1, 2, 4, 8))
        levels.append((f"l{number}", cache(sets * ways * LINE, LINE, ways)))
        sets *= dice.choice((2, 4, 8))
    return levels


def random_case(seed: int, cores: int = 1) -> tuple[Nest, list[tuple[str, Any]]]:
    dice = random.Random(seed)
    (stage,) = lower(random_layer(dice), "direct").with_dtype("fp32").stages
    return random_nest(stage, dice, cores), random_chain(dice)


def walked(
    nest: Nest, levels: list[tuple[str, Any]], sampled: bool, cores: int = 1
) -> StreamResult:
    chain = ImplicitChain(levels, cores, AddressSpace([nest.stage]), sampled=sampled)
    assert (chain.sample is not None) == sampled
    walkers = Walkers(cores, 8 if cores > 1 else 64, 16)
    return stream.run_stream(nest, nest.holds[-1], frozenset({"core"}), chain, walkers)


def figures(result: StreamResult) -> dict[str, np.ndarray[Any, Any]]:
    """Lines that are read from each level, and written to it."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for (level, _), lines in result.traffic.items():
        found[level] = found.get(level, 0.0) + np.array([lines.reads, lines.writes])
    return found


def check_within(seed: int) -> float:
    """What is stated for every level holds. Returns it of DRAM, relative to its lines."""
    exact, sample = (walked(*random_case(seed), sampled) for sampled in (False, True))
    assert sample.off and not exact.off
    assert (exact.loads, exact.stores) == (sample.loads, sample.stores)
    right = figures(exact)
    for off, (level, found) in zip(sample.off, figures(sample).items(), strict=True):
        assert abs(found - right[level]).max() <= off + UNSEEN, (seed, level, found, right[level])
    assert (figures(sample)["l0"] == right["l0"]).all()  # look-ups are counted, all of them
    return sample.off[-1] / float(figures(sample)["dram"].sum())


def test_figures_are_within_what_is_stated() -> None:
    assert np.median([check_within(seed) for seed in range(60)]) < 0.1


@pytest.mark.slow
def test_figures_of_a_thousand_cases_are_within_what_is_stated() -> None:
    for seed in range(1000, 2000):
        check_within(seed)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every walk counts, by group of sets."""
    found: list[Any] = []
    whole = SetSample.estimated

    def spied(self: SetSample, stats: Any) -> Any:
        found.append(stats.copy())
        return whole(self, stats)

    monkeypatch.setattr(SetSample, "estimated", spied)
    return found


@pytest.mark.parametrize("cores", [1, 4])
def test_sets_that_are_walked_are_exact(
    cores: int, counted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all residues in groups of their own all is exact, and a sample has some of these."""
    few, all_of_them = set_samples.WALKED, tuple(range(RESIDUES))
    for seed in range(40):
        monkeypatch.setattr(nest_arrays, "WHOLE_STRETCH", random.Random(seed).choice((2, 8, 64)))
        nest, levels = random_case(seed, cores)
        exact = walked(nest, levels, False, cores)
        monkeypatch.setattr(set_samples, "WALKED", all_of_them)
        whole = walked(nest, levels, True, cores)
        assert figures(whole).keys() == figures(exact).keys()
        for level, lines in figures(whole).items():
            assert lines == pytest.approx(figures(exact)[level]), (seed, level)
        monkeypatch.setattr(set_samples, "WALKED", few)
        walked(nest, levels, True, cores)
        of_all, of_few = counted
        same = of_all[[1 + residue for residue in few]]
        assert (of_few[1:, :, :, MISSES:] == same[..., MISSES:]).all(), seed
        assert (of_few[1:, 1:] == same[:, 1:]).all(), seed
        counted.clear()


def test_what_is_picked_is_forgotten_where_there_is_no_room(
    counted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(30):
        nest, levels = random_case(seed)
        counts = []
        for room in (1 << 20, 1 << 10):
            monkeypatch.setattr(nest_arrays, "KEPT_LOOKUPS", room)
            walked(nest, levels, True)
            counts.append(counted.pop())
        assert (counts[0] == counts[1]).all(), seed


def test_caches_that_cannot_be_sampled_are_walked_whole() -> None:
    first, second = cache(64 * 2 * LINE, LINE, 2), cache(96 * 4 * LINE, LINE, 4)
    assert can_be_sampled([("l1", first)], by_kind=False)
    assert not can_be_sampled([("l1", first)], by_kind=True)
    assert not can_be_sampled([("l1", first), ("l2", second)], by_kind=False)
    fetching = cache(64 * 2 * LINE, LINE, 2, prefetcher="next-line")
    assert not can_be_sampled([("l1", fetching)], by_kind=False)


def test_how_soon_a_set_misses_again_is_not_sampled() -> None:
    layer, command = GemmLayer(256, 256, 256), "loops:order=ijk"
    exact, sample = (
        hwsim.simulate(layer, "epyc-7763", "direct", dataflow=command, fidelity=fidelity)
        for fidelity in ("exact", "sampled")
    )
    assert sample.layers == exact.layers
    assert hwsim.load_machine("epyc-7763").part("l1", Cache).set_busy


def test_arrays_that_are_not_where_the_sample_is_make_all_sets_walked() -> None:
    """Of each pixel a line, and every 64th pixel is read: no line of these residues is walked."""
    layer = ConvLayer(1, 16, 600, 2048, 128, 5, 5, pad=18, stride=64)
    arrays = {"ifmap": Array(("n", "p", "q", "c"), 0, 0)}
    exact, sample = (
        hwsim.simulate(layer, "graviton2", "direct", arrays=arrays, fidelity=fidelity)
        for fidelity in ("exact", "sampled")
    )
    assert sample.layers == exact.layers


def test_an_inclusive_level_below_takes_lines_out() -> None:
    settings = ["parts.l2.inclusion=inclusive", "parts.l2.ways=1", "parts.l2.capacity=32 KiB"]
    machine = with_cores(hwsim.load_machine("cortex-a53", [*settings, "parts.l1.ways=4"]), 1)
    layer = GemmLayer(100, 96, 100)
    recorded = hwsim.simulate(layer, machine, "direct")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nest_arrays, "KEPT_LOOKUPS", 0)
        assert recorded.layers == hwsim.simulate(layer, machine, "direct").layers


def test_a_run_says_that_it_is_sampled_and_is_near_the_exact_one() -> None:
    layer = GemmLayer(384, 512, 512)
    exact, sample = (
        hwsim.simulate(layer, "xeon-8380", "direct", fidelity=fidelity)
        for fidelity in ("exact", "sampled")
    )
    (stage,) = sample.layers[0].online
    assert stage.sampling is not None and stage.sampling.share == 1 / 4
    assert "25% of their sets" in stage.fidelity
    assert "sampled: 1 of 1 stages; time within" in sample.table()
    assert sample.seconds == pytest.approx(exact.seconds, rel=0.01)
    assert sample.layers[0].dram_bytes == pytest.approx(exact.layers[0].dram_bytes, rel=0.02)


def test_small_layers_and_other_machines_are_exact() -> None:
    small = hwsim.simulate(GemmLayer(64, 64, 64), "xeon-8380", "direct", fidelity="sampled")
    other = hwsim.simulate(GemmLayer(512, 512, 512), "tpu-v1", "direct", fidelity="sampled")
    assert [run.layers[0].online[0].sampling for run in (small, other)] == [None, None]


def test_where_sets_differ_too_much_all_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SetSample, "_off", lambda *_: np.full(4, 1e9))
    layer = GemmLayer(256, 256, 256)
    exact, sample = (
        hwsim.simulate(layer, "xeon-8380", "direct", fidelity=fidelity)
        for fidelity in ("exact", "sampled")
    )
    assert sample.layers == exact.layers


def test_the_command_line_and_the_api_take_it() -> None:
    command = "run xeon-8380 gemm:256,256,256 -a direct --fidelity sampled --json -"
    found = CliRunner().invoke(main, command.split())
    assert found.exit_code == 0, found.output
    (stage,) = json.loads(found.stdout)["layers"][0]["stages"]
    assert stage["sampling"]["share"] == 0.25 and stage["sampling"]["of"] == "sets"
    whole = CliRunner().invoke(main, command.replace("256,256,256", "8,8,8").split())
    assert whole.exit_code == 0 and "nothing was sampled: layers are small" in whole.stderr
    elsewhere = CliRunner().invoke(main, ["run", "toy-8x8", "gemm:8,8,8", "--fidelity", "sampled"])
    assert "toy-8x8: only a CPU's caches are sampled" in elsewhere.stderr
    with pytest.raises(UnknownName, match="no fidelity named 'None'"):
        hwsim.simulate("gemm:8,8,8", "xeon-8380", fidelity=None)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match=r"no fidelity named 'sample'; did you mean 'sampled'\?"):
        hwsim.simulate("gemm:8,8,8", "xeon-8380", fidelity="sample")


def test_steps_that_fit_their_sets_are_replayed_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rows of A and a line of B in sets of two: rows are a set apart, so they fit."""
    runs: list[int] = []
    make = nest_arrays.stretches

    def spied(*words: Any) -> Any:
        made.append(make(*words))
        return made[-1]

    made: list[Any] = []
    monkeypatch.setattr(nest_arrays, "stretches", spied)
    for seed in range(60):
        dice = random.Random(seed)
        rows, row = dice.choice((2, 3, 5, 8)), dice.choice((16, 32, 48, 64, 80))
        layer = GemmLayer(4 * rows, dice.choice((4, 8, 16)), row)
        (stage,) = lower(layer, "direct").with_dtype("fp32").stages
        items = (
            Hold("dram", ("A", "B", "C")),
            Loop("m", rows), Loop("n", 4), Loop("k", dice.choice((1, 2, 4))),
            Hold("registers", ("A", "B", "C"), "refetch"),
            Loop("m", 1), Loop("n", 1), Loop("k", 1),
        )  # fmt: skip
        nest = Nest(stage, items)
        levels = [
            ("l0", cache(64 * dice.choice((16, 32, 64)), 64, dice.choice((1, 2, 4)))),
            ("l1", cache(64 * 256, 64, 4)),
        ]
        counts = []
        for room in (1 << 20, 0):
            monkeypatch.setattr(nest_arrays, "KEPT_LOOKUPS", room)
            chain = ImplicitChain(levels, 1, AddressSpace([stage]))
            run = stream.run_stream(nest, nest.holds[-1], frozenset(), chain, Walkers(1, 64, 16))
            counts.append((run, chain.state.tags.tolist()))
        assert counts[0] == counts[1], seed
        kept, ways = made[-4], levels[0][1].ways
        for number in range(1, int(kept.state[USED_RUNS])):
            times, end = kept.runs[number]
            runs.append(int(times > 1 and end - kept.runs[number - 1, END] > ways))
        made.clear()
    assert sum(runs) > 50
