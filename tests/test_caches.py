"""The compiled caches against a plain LRU written from the definition, and against counts by hand."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import ConvLayer, GemmLayer, load_machine, simulate
from hwsim.algorithms import lower
from hwsim.count.closed_form import count
from hwsim.describe.policies import POLICIES
from hwsim.describe.units import Bandwidth, Duration
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Operations, Stage
from hwsim.ir.tensor import Tensor, along
from hwsim.parts.cache import Cache
from hwsim.rewrite.layout import in_layout
from hwsim.timing.caches.batches import Walkers
from hwsim.timing.caches.chain import AddressSpace, ImplicitChain
from hwsim.timing.caches.nest_arrays import vector_of
from hwsim.timing.caches.steps import chunk_sizes, vector_iterations
from hwsim.timing.caches.stream import run_stream
from tests.nests import random_nest

CPUS = Path(__file__).parent / "cases" / "cpu"


def cache(
    size: int, line: int, ways: int, per: str = "core", fetch: bool = True, **more: Any
) -> Cache:
    return Cache(size, line, ways, Bandwidth(64, True), Duration(4, True), per, fetch, **more)  # type: ignore[arg-type]


class PlainLru:
    """Levels of sets of lines in order of use, dirty lines marked; write-allocate, write-back."""

    def __init__(self, levels: list[Cache]) -> None:
        self.levels = levels
        self.sets: list[list[OrderedDict[int, bool]]] = [
            [OrderedDict() for _ in range(level.sets)] for level in levels
        ]
        self.misses = [0] * len(levels)
        self.reads = self.writes = 0

    def touch(self, line: int, write: bool) -> None:
        for number, level in enumerate(self.levels):
            lines = self.sets[number][line % level.sets]
            if line in lines:
                lines.move_to_end(line)
                lines[line] |= write
                return
            self.misses[number] += 1
            self.insert(number, line, write)
            write = False
        self.reads += 1

    def insert(self, number: int, line: int, dirty: bool) -> None:
        lines = self.sets[number][line % self.levels[number].sets]
        lines[line] = dirty
        if len(lines) > self.levels[number].ways:
            victim, was_dirty = lines.popitem(last=False)
            if was_dirty:
                self.write_back(number + 1, victim)

    def write_back(self, number: int, line: int) -> None:
        if number == len(self.levels):
            self.writes += 1
        elif line in (lines := self.sets[number][line % self.levels[number].sets]):
            lines.move_to_end(line)
            lines[line] = True
        else:
            self.insert(number, line, True)


def one_core(
    nest: Nest, levels: list[Cache], by_kind: bool = False
) -> tuple[dict[tuple[str, str], object], ImplicitChain]:
    chain = ImplicitChain(
        [(f"l{number + 1}", level) for number, level in enumerate(levels)],
        1,
        AddressSpace([nest.stage]),
        by_kind,
    )
    boundary = nest.holds[-1]
    result = run_stream(nest, boundary, frozenset(), chain, Walkers(1, 64, 64, 10**9))
    return result.traffic, chain


def accesses(nest: Nest, line: int, space: AddressSpace) -> list[tuple[int, bool]]:
    """Every line the registers of a two-dim nest touch, walked in Python: row-major tensors, whole tiles."""
    stage = nest.stage
    found: list[tuple[int, bool]] = []
    held: dict[str, tuple[tuple[int, int], ...] | None] = {
        tensor.name: None for tensor in stage.tensors
    }

    def lines(tensor: Tensor, box: tuple[tuple[int, int], ...]) -> list[int]:
        touched = []
        for place in np.ndindex(*[high - low for low, high in box[:-1]]):
            start = [low + step for (low, _), step in zip(box[:-1], place, strict=True)]
            word = int(np.dot([*start, box[-1][0]], tensor.strides))
            first = space.base(tensor.name) + word * tensor.width
            last = first + (box[-1][1] - box[-1][0]) * tensor.width - 1
            touched += list(range(first // line, last // line + 1))
        return touched

    def walk(loops: list[Loop], chunk: dict[str, tuple[int, int]]) -> None:
        if loops:
            low, high = chunk[loops[0].dim]
            for start in range(low, high, loops[0].tile):
                walk(loops[1:], {**chunk, loops[0].dim: (start, min(high, start + loops[0].tile))})
            return
        for tensor in stage.tensors:
            box = tuple(chunk[axis.dims[0]] for axis in tensor.axes)
            old = held[tensor.name]
            if box == old:
                continue
            if tensor.role == "output":
                found.extend((line_, True) for line_ in (lines(tensor, old) if old else []))
                reduced = [dim for dim, _ in stage.bounds if dim not in tensor.dims]
                if any(chunk[dim][0] > 0 for dim in reduced):
                    found.extend((line_, False) for line_ in lines(tensor, box))
            else:
                found.extend((line_, False) for line_ in lines(tensor, box))
            held[tensor.name] = box

    walk(list(nest.loops_above(nest.holds[-1])), {dim: (0, bound) for dim, bound in stage.bounds})
    output = stage.output
    found.extend((line_, True) for line_ in lines(output, held[output.name] or ()))
    return found


def product_nest(m: int, n: int, k: int, tm: int, tn: int) -> Nest:
    tensors = (
        Tensor("A", "activation", (along("m", m), along("k", k)), 4),
        Tensor("B", "weight", (along("k", k), along("n", n)), 4),
        Tensor("C", "output", (along("m", m), along("n", n)), 4),
    )
    stage = Stage("gemm", (("m", m), ("n", n), ("k", k)), tensors, Operations(1, 0, 0, 1))
    names = ("A", "B", "C")
    return Nest(
        stage,
        (
            Hold("dram", names),
            Loop("n", tn),
            Loop("m", tm),
            Loop("k", 1),
            Hold("registers", names, "refetch"),
            Loop("m", 1),
            Loop("n", 1),
        ),
    )


@pytest.mark.parametrize(
    ("m", "n", "k", "tm", "tn"), [(12, 20, 9, 3, 4), (17, 13, 11, 4, 5), (5, 40, 7, 2, 8)]
)
@pytest.mark.parametrize(
    "levels", [[(256, 16, 2)], [(256, 16, 2), (1024, 16, 4)], [(128, 16, 8), (768, 16, 3)]]
)
def test_equal_to_a_plain_lru(
    m: int, n: int, k: int, tm: int, tn: int, levels: list[tuple[int, int, int]]
) -> None:
    nest = product_nest(m, n, k, tm, tn)
    caches = [cache(*level) for level in levels]
    traffic, chain = one_core(nest, caches)
    plain = PlainLru(caches)
    for line, write in accesses(nest, caches[0].line, chain.space):
        plain.touch(line, write)
    misses = [
        sum(row.misses for (level, _), row in traffic.items() if level == f"l{number + 1}")
        for number in range(len(caches))
    ]  # type: ignore[attr-defined]
    dram = [row for (level, _), row in traffic.items() if level == "dram"]
    assert misses == plain.misses
    assert sum(row.reads for row in dram) == plain.reads  # type: ignore[attr-defined]
    assert sum(row.writes for row in dram) == plain.writes  # type: ignore[attr-defined]


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("seed", range(60))
def test_words_asked_of_the_first_cache_equal_the_closed_form(seed: int) -> None:
    """With lines of one word, look-ups are words: the registers' fills and write-backs of any temporal nest."""
    nest = random_nest(seed, spatial=False)
    names = tuple(tensor.name for tensor in nest.stage.tensors)
    loops = [item for item in nest.items if isinstance(item, Loop)]
    cut = seed % (len(loops) + 1)
    nest = Nest(
        nest.stage,
        (Hold("dram", names), *loops[:cut], Hold("registers", names, "refetch"), *loops[cut:]),
    )
    if any(
        coefficient > 1
        for tensor in nest.stage.tensors
        for axis in tensor.axes
        for _, coefficient in sorted(axis.terms, key=lambda term: term[1])[:-1]
    ):
        return  # of two steps over coordinates, what lies between the smaller is loaded too
    traffic, _ = one_core(nest, [cache(64, 4, 4)])
    counts = count(nest)
    for tensor in nest.stage.tensors:
        row, wanted = traffic.get(("l1", tensor.name)), counts.of("registers", tensor.name)
        assert (row.reads if row else 0) == wanted.fills  # type: ignore[attr-defined]
        assert (row.writes if row else 0) == wanted.drains  # type: ignore[attr-defined]


def test_an_ample_cache_moves_each_line_once() -> None:
    nest = product_nest(32, 32, 32, 4, 8)
    traffic, chain = one_core(nest, [cache(1 << 16, 64, 4)])
    reads = {tensor: row.reads for (level, tensor), row in traffic.items() if level == "dram"}  # type: ignore[attr-defined]
    assert reads == {"A": 64, "B": 64, "C": 64}  # 32 * 32 * 4 / 64 lines each, C for ownership
    flushed = chain.flush()
    assert flushed["dram", "C"].writes == 64


@pytest.mark.parametrize("seed", range(80))
def test_replayed_stretches_equal_the_plain_walk(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts, work and final contents of every level, on random nests with 1 to 4 units taking turns."""
    nest = random_nest(seed, spatial=False)
    names = tuple(tensor.name for tensor in nest.stage.tensors)
    loops = [item for item in nest.items if isinstance(item, Loop)]
    cut = max(1, seed % (len(loops) + 1))
    first = loops[0]
    halves = -(-nest.stage.extents[first.dim] // (1 + seed % 4))
    nest = Nest(
        nest.stage,
        (
            Hold("dram", names),
            Loop(first.dim, halves, "core"),
            *loops[:cut],
            Hold("registers", names, "refetch"),
            *loops[cut:],
        ),
        packed=seed % 2 == 0,
    )
    results = []
    for room in (0, 1 << 12, 40):  # nothing kept, all kept, too little room
        monkeypatch.setattr("hwsim.timing.caches.nest_arrays.KEPT_LOOKUPS", room)
        monkeypatch.setattr("hwsim.timing.caches.nest_arrays.WHOLE_STRETCH", 6)
        policies = sorted(POLICIES)
        levels = [
            ("l1", cache(256, 16, 4, policy=policies[seed % 5])),
            ("l2", cache(768, 16, 3, per="chip", shared_by=2, policy="srrip")),
            ("l3", cache(2048, 16, 8, per="chip", policy=policies[seed % 3])),
        ]
        chain = ImplicitChain(levels, 4, AddressSpace([nest.stage]))
        result = run_stream(
            nest, nest.holds[-1], frozenset({"core"}), chain, Walkers(4, 7, 16, 10**9)
        )
        results.append((result, chain.state.tags.tolist()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("seed", range(40))
def test_vector_iterations_are_a_closed_form(seed: int) -> None:
    nest = random_nest(seed, spatial=False)
    names = tuple(tensor.name for tensor in nest.stage.tensors)
    loops = [item for item in nest.items if isinstance(item, Loop)]
    nest = Nest(
        nest.stage,
        (Hold("dram", names), *loops[:-1], Hold("registers", names, "refetch"), *loops[-1:]),
    )
    chain = ImplicitChain([("l1", cache(256, 16, 4))], 1, AddressSpace([nest.stage]))
    exact = run_stream(nest, nest.holds[-1], frozenset(), chain, Walkers(1, 64, 16, 10**9))
    whole = np.array([[(0, bound) for _, bound in nest.stage.bounds]], np.int64)
    vector_dim, lanes = vector_of(nest, chunk_sizes(nest, loops[:-1], whole), 16)
    assert vector_iterations(nest, loops[:-1], whole, vector_dim, lanes).tolist() == [
        exact.vector_iterations
    ]


@pytest.mark.parametrize(
    ("machine", "product"),
    [
        ("xeon-8380", (654, 1096, 1215)),
        ("zen3", (600, 600, 600)),
        ("zen3", (383, 1021, 262)),
        ("a53", (500, 500, 500)),
        ("a76", (333, 777, 555)),
    ],
)
def test_ragged_products_obey_physics(machine: str, product: tuple[int, int, int]) -> None:
    """Sampled windows used to hold more than their share of ragged tiles, which ended as a bug in the model."""
    found = load_machine(machine if machine == "xeon-8380" else str(CPUS / f"{machine}.yaml"))
    (layer,) = simulate(GemmLayer(*product), found, "direct").layers
    (stage,) = layer.stages
    assert stage.sampling is None
    assert 0.3 < stage.operations.multiplies / stage.peak_macs_per_cycle / stage.cycles.total <= 1


@pytest.mark.parametrize("k", [100, 300])
def test_a_sample_of_batches_is_as_close_to_the_whole_as_it_says(k: int) -> None:
    """128 units one after another, as a GPU's blocks.

    Iterations are those of the whole, lines from DRAM within the stated error, or 5%.
    """
    product = product_nest(128, 96, k, 6, 16)
    hold, *loops = product.items
    nest = Nest(product.stage, (hold, Loop("m", 1, "core"), *loops))
    levels = [("l1", cache(32768, 64, 8, per="chip")), ("l2", cache(65536, 64, 16, per="chip"))]
    exact, part = (
        run_stream(
            nest,
            nest.holds[-1],
            frozenset({"core"}),
            ImplicitChain(levels, 1, AddressSpace([nest.stage])),
            Walkers(1, 64, 64, budget),
        )
        for budget in (10**9, 20_000)
    )
    assert exact.sampling is None
    assert part.sampling is not None
    assert part.sampling.share < 0.5
    assert part.vector_iterations == exact.vector_iterations
    whole, estimate = (
        sum(row.reads for (name, _), row in result.traffic.items() if name == "dram")
        for result in (exact, part)
    )
    assert estimate == pytest.approx(whole, rel=max(0.05, part.sampling.error))


def test_cores_in_pairs_share_a_cache() -> None:
    """Two cores that read the same lines miss once where they share a cache, twice where not."""
    product = product_nest(8, 16, 64, 4, 16)
    hold, *loops = product.items
    nest = Nest(product.stage, (hold, Loop("m", 2, "core"), *loops))
    missed = {}
    for sharers in (1, 2, 4):
        levels = [
            ("l1", cache(1024, 64, 4)),
            ("l2", cache(65536, 64, 16, per="chip", shared_by=sharers)),
        ]
        chain = ImplicitChain(levels, 4, AddressSpace([nest.stage]))
        boundary = nest.holds[-1]
        found = run_stream(nest, boundary, frozenset({"core"}), chain, Walkers(4, 8, 64, 10**9))
        missed[sharers] = found.traffic["l2", "B"].misses
    assert missed[1] == 4 * missed[4]
    assert missed[2] == 2 * missed[4]


@pytest.mark.parametrize(("stride", "taps", "tile"), [(2, 1, 4), (3, 1, 5), (4, 3, 3), (1, 3, 4)])
def test_lines_between_the_pixels_of_a_strided_tile_are_not_touched(
    stride: int, taps: int, tile: int
) -> None:
    """Channels last, a line a pixel: an ample cache moves the pixels that taps meet, and no others."""
    side = 19
    layer = ConvLayer(1, 16, side, side, 4, taps, taps, stride=stride, layout="nhwc", dtype="fp32")
    (stage,) = in_layout(
        lower(layer, "direct").with_dtype("fp32"), layer, load_machine("xeon-8380")
    ).stages
    names = tuple(tensor.name for tensor in stage.tensors)
    nest = Nest(
        stage,
        (
            Hold("dram", names),
            Loop("p", 2),
            Loop("q", tile),
            Loop("r", 1),
            Loop("s", 1),
            Loop("k", 4),
            Hold("registers", names, "refetch"),
            *(Loop(dim, 1) for dim in ("p", "q", "k", "c")),
        ),
    )
    traffic, _ = one_core(nest, [cache(1 << 16, 64, 4)])
    out = (side - taps) // stride + 1
    rows = {stride * p + r for p in range(out) for r in range(taps)}
    read = next(
        row.reads for (level, name), row in traffic.items() if level == "dram" and name == "ifmap"
    )  # type: ignore[attr-defined]
    assert read == len(rows) ** 2
