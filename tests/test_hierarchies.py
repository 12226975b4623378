"""Caches that write through, include, exclude or prefetch, beside each written plainly."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.describe.machine import load_machine
from hwsim.describe.prefetchers import NONE, PREFETCHERS
from hwsim.describe.settings import read_settings
from hwsim.errors import HwsimError
from hwsim.parts.cache import Cache
from hwsim.rewrite.arrays import read_arrays
from hwsim.timing.caches.chain import AddressSpace, ImplicitChain
from hwsim.timing.caches.traces import Hierarchy
from tests.test_caches import accesses, cache, one_core, product_nest

STREAM = 0


class AnyPlace:
    """A cache of so many lines, least recently used first, and whatever it was asked for."""

    def __init__(self, level: Cache) -> None:
        self.room, self.lines, self.known = level.sets * level.ways, list[int](), set[int]()

    def kind(self, line: int) -> str:
        kind = "held" if line in self.lines else "capacity" if line in self.known else "cold"
        self.known.add(line)
        return kind

    def asked(self, line: int) -> str:
        kind = self.kind(line)
        if kind == "held":
            self.lines.remove(line)
        self.lines.append(line)
        del self.lines[: max(0, len(self.lines) - self.room)]
        return kind

    def taken(self, line: int) -> str:
        kind = self.kind(line)
        if kind == "held":
            self.lines.remove(line)
        return kind

    def passed(self, line: int) -> str:
        return self.asked(line) if line in self.lines else self.kind(line)


class Plain:
    """Levels of sets, each a list of lines, the next to leave first, and which of its lines are dirty.

    A load asks level after level, recursively, and a line that has to go is handed to the next.
    """

    def __init__(self, levels: list[Cache]) -> None:
        self.levels = levels
        self.sets = [[list[int]() for _ in range(level.sets)] for level in levels]
        self.dirty = [set[int]() for _ in levels]
        self.misses, self.back, self.ahead = ([0] * len(levels) for _ in range(3))
        self.reads = self.writes = 0
        self.beside = [AnyPlace(level) for level in levels]
        self.kinds = [Counter[str]() for _ in levels]
        self.ahead_of = [GUESSES[level.prefetcher]() for level in levels]

    def touch(self, line: int, write: bool, stream: int) -> None:
        if write:
            self.store(0, line, stream)
        else:
            self.load(0, line, stream)

    def holds(self, at: int, line: int) -> bool:
        return line in self.set_of(at, line)

    def set_of(self, at: int, line: int) -> list[int]:
        return self.sets[at][line % self.levels[at].sets]

    def store(self, at: int, line: int, stream: int) -> None:
        if at == len(self.levels):
            self.writes += 1
            return
        level, through = self.levels[at], self.levels[at].writes == "through"
        if level.write_allocate or self.holds(at, line):
            self.load(at, line, stream, fetches=level.write_fetch)
            if not through:
                self.dirty[at].add(line)
                return
        else:
            self.misses[at] += 1
            self.kinds[at][self.beside[at].passed(line)] += 1
        self.store(at + 1, line, stream)

    def load(self, at: int, line: int, stream: int, fetches: bool = True) -> None:
        asked: list[tuple[int, bool]] = []
        self.bring(at, line, fetches, asked)
        for level, missed in asked:
            other = self.ahead_of[level](stream, line, missed)
            same_page = other is not None and other // 256 == line // 256  # 4096 / 16
            if other is not None and other >= 0 and same_page and not self.holds(level, other):
                self.ahead[level] += 1
                self.misses[level] -= 1
                before = self.kinds[level].copy()
                self.bring(level, other, True, [])
                self.kinds[level] = before

    def bring(self, at: int, line: int, fetches: bool, asked: list[tuple[int, bool]]) -> None:
        if at == len(self.levels):
            self.reads += 1
            return
        held = self.holds(at, line)
        kind = self.beside[at].asked(line)
        asked.append((at, not held))
        if held:
            self.used(at, line)
            return
        self.misses[at] += 1
        self.kinds[at][kind] += 1
        swaps = at + 1 < len(self.levels) and self.levels[at + 1].inclusion == "exclusive"
        if fetches and swaps:
            taken = self.holds(at + 1, line)
            kind = self.beside[at + 1].taken(line)
            was_dirty = self.take_out(at + 1, line)
            self.insert(at, line)
            if was_dirty:
                self.dirty[at].add(line)
            if not taken:
                self.misses[at + 1] += 1
                self.kinds[at + 1][kind] += 1
                self.bring(at + 2, line, True, asked)
            return
        self.insert(at, line)
        if fetches:
            self.bring(at + 1, line, True, asked)

    def used(self, at: int, line: int) -> None:
        """First in, first out heeds no use."""
        if self.levels[at].policy == "lru":
            self.set_of(at, line).remove(line)
            self.set_of(at, line).append(line)

    def take_out(self, at: int, line: int) -> bool:
        """Was the line dirty?"""
        if self.holds(at, line):
            self.set_of(at, line).remove(line)
        dirty = line in self.dirty[at]
        self.dirty[at].discard(line)
        return dirty

    def insert(self, at: int, line: int) -> None:
        lines = self.set_of(at, line)
        lines.append(line)
        if len(lines) > self.levels[at].ways:
            victim = lines.pop(0)
            self.leave(at, victim, victim in self.dirty[at])

    def leave(self, at: int, line: int, dirty: bool) -> None:
        self.dirty[at].discard(line)
        if self.levels[at].inclusion == "inclusive":
            for upper in range(at):
                was_dirty = self.take_out(upper, line)
                self.back[upper] += was_dirty
                dirty = dirty or was_dirty
        below = at + 1
        kept = below < len(self.levels) and self.levels[below].inclusion == "exclusive"
        if not dirty and not kept:
            return
        self.back[at] += 1
        if below == len(self.levels):
            self.writes += 1
            return
        passes = not kept and not self.levels[below].write_allocate
        if self.holds(below, line) or not passes:
            self.beside[below].asked(line)
        if self.holds(below, line):
            self.used(below, line)
        elif passes:
            self.leave(below, line, dirty)
            return
        else:
            if dirty:
                self.dirty[below].add(line)
            self.insert(below, line)
        if dirty:
            self.dirty[below].add(line)


class Nobody:
    def __call__(self, stream: int, line: int, missed: bool) -> int | None:
        return None


class NextLine:
    def __call__(self, stream: int, line: int, missed: bool) -> int | None:
        return line + 1 if missed else None


class Stride:
    """By stream the lines it went to, without repeats."""

    def __init__(self) -> None:
        self.seen: dict[int, list[int]] = {}

    def __call__(self, stream: int, line: int, missed: bool) -> int | None:
        path = self.seen.setdefault(stream, [])
        if path[-1:] == [line]:
            return None
        path.append(line)
        steps = [after - before for before, after in pairwise(path)]
        even = len(steps) > 1 and steps[-1] == steps[-2]
        return line + steps[-1] if even else None


GUESSES: dict[str, Any] = {NONE: Nobody, "next-line": NextLine, "stride": Stride}


def some_chain(dice: random.Random) -> list[Cache]:
    """Two or three levels, whose features go together."""
    levels: list[Cache] = []
    through = True
    for number in range(dice.choice((2, 3))):
        through = through and dice.random() < 0.4
        allocates = dice.random() < 0.7
        above = levels[-1] if levels else None
        may_exclude = above is not None and above.writes == "back" and above.write_allocate
        kinds = ["neither", "inclusive", *(["exclusive"] if may_exclude else [])]
        inclusion = dice.choice(kinds) if number else "neither"
        prefetcher = NONE if inclusion == "exclusive" else dice.choice(sorted(GUESSES))
        levels.append(
            cache(
                16 * dice.choice((4, 8)) << 2 * number,
                16,
                dice.choice((2, 4)),
                fetch=dice.random() < 0.8,
                writes="through" if through else "back",
                write_allocate=allocates,
                inclusion=inclusion,
                prefetcher=prefetcher,
                policy=dice.choice(("lru", "lru", "fifo")),
            )
        )
    return levels


@pytest.mark.slow(keep=40)
@pytest.mark.parametrize("seed", range(400))
def test_equal_to_plain_levels(seed: int) -> None:
    """Misses, lines handed down and lines fetched ahead of every level, DRAM, and what is left."""
    dice = random.Random(seed)
    nest = product_nest(dice.randint(3, 17), dice.randint(3, 24), dice.randint(3, 12), 3, 4)
    levels = some_chain(dice)
    traffic, chain = one_core(nest, levels)
    plain = Plain(levels)
    starts = chain.state.starts.tolist()
    for line, write in accesses(nest, 16, chain.space):
        stream = sum(line >= start for start in starts) - 1
        plain.touch(line, write, stream)

    def total(level: int, what: str) -> float:
        return sum(
            getattr(row, what) for (name, _), row in traffic.items() if name == f"l{level + 1}"
        )

    for at in range(len(levels)):
        assert total(at, "misses") == plain.misses[at]
        assert total(at, "writebacks") == plain.back[at]
        assert total(at, "prefetches") == plain.ahead[at]
    dram = [row for (name, _), row in traffic.items() if name == "dram"]
    assert sum(row.reads for row in dram) == plain.reads  # type: ignore[attr-defined]
    assert sum(row.writes for row in dram) == plain.writes  # type: ignore[attr-defined]
    flushed = chain.flush()
    distinct = set().union(*plain.dirty)
    written = sum(row.writes for (name, _), row in flushed.items() if name == "dram")
    assert written == len(distinct)


@pytest.mark.slow(keep=40)
@pytest.mark.parametrize("seed", range(200))
def test_kinds_of_misses_are_those_of_a_plain_cache_beside_each(seed: int) -> None:
    """Every level's cold, capacity and conflict misses, and all else as without telling them."""
    dice = random.Random(seed)
    nest = product_nest(dice.randint(3, 17), dice.randint(3, 24), dice.randint(3, 12), 3, 4)
    levels = some_chain(dice)
    untold, _ = one_core(nest, levels)
    traffic, chain = one_core(nest, levels, by_kind=True)
    plain = Plain(levels)
    starts = chain.state.starts.tolist()
    for line, write in accesses(nest, 16, chain.space):
        plain.touch(line, write, sum(line >= start for start in starts) - 1)
    for at in range(len(levels)):
        rows = [row for (name, _), row in traffic.items() if name == f"l{at + 1}"]
        cold, capacity = sum(row.cold for row in rows), sum(row.capacity for row in rows)
        assert cold == plain.kinds[at]["cold"]
        assert capacity == plain.kinds[at]["capacity"]
        assert sum(row.misses for row in rows) - cold - capacity == plain.kinds[at]["held"]
    for key, row in traffic.items():
        assert replace(row, cold=0.0, capacity=0.0) == untold[key]


@pytest.mark.parametrize("machine", ["epyc-7763", "xeon-8380", "cortex-a76"])
def test_telling_kinds_apart_changes_nothing_else(machine: str) -> None:
    layer, flow = "gemm:40,136,72", "loops:order=ikj"
    plain, told = (
        hwsim.simulate(layer, machine, "direct", dataflow=flow, miss_kinds=kinds).layers[0]
        for kinds in (False, True)
    )
    assert told.cycles == plain.cycles and told.accesses == plain.accesses
    for level, arrays in plain.stages[0].lines.items():
        for name, lines in arrays.items():
            other = told.stages[0].lines[level][name]
            assert replace(other, cold=None, capacity=None) == lines


@pytest.mark.parametrize(
    "changed",
    [
        [],
        ["parts.l3.inclusion=inclusive"],
        ["parts.l3.inclusion=exclusive"],
        ["parts.l2.prefetcher=next-line"],
        ["parts.l1.writes=through"],
    ],
)
@pytest.mark.parametrize("kinds", [False, True])
def test_a_line_that_many_cores_write_to_leaves_once(changed: list[str], kinds: bool) -> None:
    """38 cores end with words of the same lines, dirty in each one's own caches."""
    machine = load_machine("xeon-8380", read_settings(changed))
    layer = hwsim.ConvLayer(1, 16, 14, 14, 16, 3, 3, pad=1)
    result = hwsim.simulate(layer, machine, "direct", miss_kinds=kinds).layers[0]
    written = result.accesses[machine.dram_name]["ofmap"].writes
    assert written == 16 * 14 * 14 * 4 // 64


def test_columns_that_meet_in_few_sets_are_conflicts() -> None:
    """B[k][j] by columns: 128 lines 512 bytes apart fall into 8 of 64 sets of 8 ways."""
    arguments = ("gemm:128,128,128", "epyc-7763", "direct")
    result = hwsim.simulate(*arguments, dataflow="loops:order=ijk", miss_kinds=True)
    lines = result.layers[0].stages[0].lines["l1"]["B"]
    assert lines.cold == 128 * 128 * 4 // 64
    assert lines.conflict is not None and lines.conflict > 0.9 * lines.misses
    padded = hwsim.simulate(
        *arguments,
        dataflow="loops:order=ijk",
        miss_kinds=True,
        arrays=read_arrays(("B=ld:144",)),
    )
    few = padded.layers[0].stages[0].lines["l1"]["B"]
    assert few.conflict is not None and few.conflict < 0.01 * lines.conflict


def test_an_array_that_any_cache_loses_is_a_matter_of_capacity() -> None:
    """One set: nothing can conflict. B is four times the room, and is read again for every row."""
    nest = product_nest(4, 64, 16, 1, 16)
    traffic, _ = one_core(nest, [cache(16 * 64, 64, 16)], by_kind=True)
    rows = [row for (name, _), row in traffic.items() if name == "l1"]
    assert all(row.misses == row.cold + row.capacity for row in rows)
    assert sum(row.capacity for row in rows) > 0


@pytest.mark.parametrize("seed", range(40))
def test_kinds_of_a_trace_whose_pages_lie_anywhere(seed: int) -> None:
    """Read in pieces, so that room for lines grows; other counts are as without kinds."""
    dice = random.Random(seed)
    levels = [replace(level, prefetcher=NONE) for level in some_chain(dice)]
    told, untold, plain = Hierarchy(levels, by_kind=True), Hierarchy(levels), Plain(levels)
    regions = [dice.randrange(1 << 48) for _ in range(dice.randint(1, 6))]
    for _ in range(3):
        addresses = [dice.choice(regions) + dice.randrange(4096) for _ in range(200)]
        regions.append(dice.randrange(1 << 48))
        sizes = [dice.choice((1, 4, 16, 40)) for _ in addresses]
        writes = [dice.randrange(2) for _ in addresses]
        for one in (told, untold):
            one.replay(addresses, sizes, writes)
        for address, size, write in zip(addresses, sizes, writes, strict=True):
            for line in range(address // 16, (address + size - 1) // 16 + 1):
                plain.touch(line, bool(write), 0)
    for at, (one, other) in enumerate(zip(told.counts(), untold.counts(), strict=True)):
        names = ("cold", "capacity", "conflict")
        assert [one.pop(name) for name in names] == [
            plain.kinds[at][kind] for kind in ("cold", "capacity", "held")
        ]
        assert one == other
        assert one["misses"] == plain.misses[at]


def test_kinds_of_a_trace_beside_a_prefetcher_are_refused() -> None:
    with pytest.raises(HwsimError, match="stride: kinds of misses of a trace"):
        Hierarchy([cache(1024, 64, 4, prefetcher="stride")], by_kind=True)


def test_too_many_lines_to_tell_apart_are_refused() -> None:
    layer = "gemm:20000,20000,64"
    with pytest.raises(HwsimError, match="too many to tell misses apart"):
        hwsim.simulate(layer, "epyc-9654", "direct", miss_kinds=True, patient=True)


def test_every_prefetcher_has_a_plain_twin() -> None:
    assert set(GUESSES) == {NONE, *PREFETCHERS}


def test_a_stream_that_is_fetched_ahead_misses_less_and_moves_no_less() -> None:
    nest = product_nest(64, 64, 4, 1, 64)
    plain, _ = one_core(nest, [cache(1024, 64, 4)])
    ahead, _ = one_core(nest, [cache(1024, 64, 4, prefetcher="stride")])
    misses = [
        sum(row.misses for (at, _), row in one.items() if at == "l1") for one in (plain, ahead)
    ]
    reads = [
        sum(row.reads for (at, _), row in one.items() if at == "dram") for one in (plain, ahead)
    ]
    assert misses[1] < misses[0] and reads[1] >= reads[0]


def test_an_exclusive_level_adds_its_room_and_an_inclusive_one_does_not() -> None:
    """12 lines in a loop fit 4 + 8 ways that hold different lines, and no others."""
    found = {}
    for inclusion in ("neither", "inclusive", "exclusive"):
        levels = [cache(4 * 64, 64, 4), cache(8 * 64, 64, 8, inclusion=inclusion)]
        nest = product_nest(1, 12 * 16, 20, 1, 16)
        traffic, _ = one_core(nest, levels)
        found[inclusion] = sum(row.reads for (at, _), row in traffic.items() if at == "dram")
    assert found["exclusive"] < found["neither"] <= found["inclusive"]


def test_cores_that_share_an_exclusive_level_bring_a_line_once() -> None:
    """All 64 cores read B; the eight of an L3 get it from each other."""
    settings = read_settings(["parts.l3.inclusion=exclusive"])
    moved = [
        hwsim.simulate("gemm:512,256,256", machine, "direct").layers[0].dram_read_bytes
        for machine in (load_machine("epyc-7763"), load_machine("epyc-7763", settings))
    ]
    assert moved[1] == pytest.approx(moved[0], rel=0.05)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([{"inclusion": "exclusive"}], "exclusive of nothing"),
        ([{"writes": "through"}, {"inclusion": "exclusive"}], "passes stores on"),
        ([{}, {"writes": "through"}], "behind a level that writes back"),
    ],
)
def test_what_does_not_go_together_is_named(levels: list[dict[str, str]], expected: str) -> None:
    nest = product_nest(4, 4, 4, 2, 2)
    caches = [(f"l{number}", cache(256, 16, 2, **level)) for number, level in enumerate(levels)]
    with pytest.raises(HwsimError, match=expected):
        ImplicitChain(caches, 1, AddressSpace([nest.stage]))


def test_a_cpu_with_a_prefetcher_waits_less_for_a_stream() -> None:
    plain = load_machine("toy-cpu")
    first = next(name for name, part in plain.parts.items() if isinstance(part, Cache))
    one = f"parts.{first}.in_flight=1"
    plain = load_machine("toy-cpu", read_settings([one]))
    ahead = load_machine("toy-cpu", read_settings([one, f"parts.{first}.prefetcher=next-line"]))
    layer = "gemm:4,256,64"
    times = [
        hwsim.simulate(layer, machine, "direct", dataflow="loops:order=ikj").seconds
        for machine in (plain, ahead)
    ]
    assert times[1] < times[0]


def test_what_caches_miss_is_printed_by_array_and_kind() -> None:
    words = ["run", "toy-cpu", "gemm:40,40,40", "-a", "direct", "--dataflow", "loops:order=ijk"]
    result = CliRunner().invoke(main, [*words, "--misses"])
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.stdout.split("\n"))
    head = next(line for line in result.stdout.split("\n") if line.startswith("level"))
    assert head.split() == [
        "level",
        "array",
        "look-ups",
        "misses",
        "cold",
        "capacity",
        "conflict",
        "written",
        "back",
    ]
    table = CliRunner().invoke(main, [*words, "--misses", "--csv", "-"])
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert len(rows) == 3 and {row["array"] for row in rows} == {"A", "B", "C"}
    for row in rows:
        kinds = int(row["cold"]) + int(row["capacity"]) + int(row["conflict"])
        assert kinds == int(row["misses"]) > 0
    refused = CliRunner().invoke(main, ["run", "tpu-v1", "vgg16", "--misses"])
    assert refused.exit_code == 2 and not refused.stdout
    assert refused.stderr.strip() == (  # at once, before anything is simulated
        "hwsim: tpu-v1 has no caches; expected a CPU or a GPU for --misses"
    )
