"""Replacement policies, compiled, beside each one written plainly from its definition."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwsim.cli import main
from hwsim.describe.policies import POLICIES
from hwsim.timing.caches.loads import Level
from hwsim.timing.caches.programs import Memory
from hwsim.validate.cachegrind import PROGRAMS
from tests.test_plugins import hwsim as strangers_hwsim

Set = Callable[[int], bool]  # a line is looked up; True: it was there


def lru(ways: int, where: int) -> Set:
    held: list[int] = []

    def look_up(line: int) -> bool:
        found = line in held
        if found:
            held.remove(line)
        held.append(line)
        del held[:-ways]
        return found

    return look_up


def fifo(ways: int, where: int) -> Set:
    held: list[int] = []

    def look_up(line: int) -> bool:
        if line in held:
            return True
        held.append(line)
        del held[:-ways]
        return False

    return look_up


def plru(ways: int, where: int) -> Set:
    """The tree as nested pairs of [points right?, left, right] over the places."""

    def tree(low: int, high: int) -> list:  # type: ignore[type-arg]
        middle = (low + high) // 2
        return [True, tree(low, middle), tree(middle, high)] if high - low > 1 else [low]

    root, held = tree(0, ways), dict[int, int]()

    def point_away(place: int) -> None:
        node, low, high = root, 0, ways
        while len(node) > 1:
            middle = (low + high) // 2
            node[0] = place < middle
            node, low, high = (node[1], low, middle) if place < middle else (node[2], middle, high)

    def look_up(line: int) -> bool:
        found = line in held.values()
        if found:
            place = next(place for place, other in held.items() if other == line)
        elif len(held) < ways:
            place = len(held)
        else:
            node = root
            while len(node) > 1:
                node = node[2] if node[0] else node[1]
            (place,) = node
        held[place] = line
        point_away(place)
        return found

    return look_up


def srrip(ways: int, where: int) -> Set:
    held: list[list[int]] = []  # [line, how late it is used again]

    def look_up(line: int) -> bool:
        for entry in held:
            if entry[0] == line:
                entry[1] = 0
                return True
        if len(held) < ways:
            held.append([line, 2])
            return False
        while max(late for _, late in held) < 3:
            for entry in held:
                entry[1] += 1
        leaving = next(entry for entry in held if entry[1] == 3)
        leaving[:] = [line, 2]
        return False

    return look_up


def any_line(ways: int, where: int) -> Set:
    held: list[int] = []
    state = where

    def look_up(line: int) -> bool:
        nonlocal state
        if line in held:
            return True
        if len(held) < ways:
            held.append(line)
            return False
        state = (1103515245 * state + 12345) % (1 << 31)
        held[(state >> 16) % ways] = line
        return False

    return look_up


PLAIN = {"lru": lru, "fifo": fifo, "plru": plru, "srrip": srrip, "random": any_line}


def test_every_policy_has_a_plain_twin() -> None:
    assert set(PLAIN) == set(POLICIES)


@pytest.mark.parametrize("name", sorted(PLAIN))
@pytest.mark.parametrize("seed", range(8))
def test_misses_are_those_of_the_definition(name: str, seed: int) -> None:
    """Two levels; the second is looked up where the first misses."""
    rng = random.Random(seed)
    ways = [rng.choice([1, 2, 4, 8]), rng.choice([2, 4, 16])]
    sets = [rng.choice([1, 2, 3, 8]), rng.choice([4, 8])]
    levels = [
        Level(16 * each * many, many, 16, name) for each, many in zip(sets, ways, strict=True)
    ]
    reach = 3 * max(ways[0] * sets[0], ways[1] * sets[1])
    lines = [min(rng.randrange(reach), rng.randrange(reach)) for _ in range(4000)]
    memory = Memory(levels)
    memory.replay([16 * line for line in lines], [4] * len(lines), [0] * len(lines))
    words = [many + POLICIES[name].words(many) for many in ways]
    starts = [0, sets[0] * words[0]]
    plain = [
        [
            PLAIN[name](ways[level], starts[level] + index * words[level])
            for index in range(sets[level])
        ]
        for level in (0, 1)
    ]
    missed = [0, 0]
    for line in lines:
        for level in (0, 1):
            if plain[level][line % sets[level]](line):
                break
            missed[level] += 1
    assert memory.misses.sum(axis=1).tolist() == missed


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_program_is_its_trace(name: str) -> None:
    """A product's loops, of which equal iterations are passed over under LRU alone."""
    n, levels = 20, [Level(256, 2, 64, name), Level(1024, 4, 64, name)]
    bases = {"A": 0, "B": 4 * n * n, "C": 8 * n * n}
    whole, replayed = Memory(levels), Memory(levels)
    (loops,) = PROGRAMS["mm_ikj"]([n], bases)
    whole.run(loops)
    trace = []
    for i in range(n):
        for k in range(n):
            trace.append((bases["A"] + 4 * (i * n + k), 0))
            for j in range(n):
                c = bases["C"] + 4 * (i * n + j)
                trace += [(bases["B"] + 4 * (k * n + j), 0), (c, 0), (c, 1)]
    addresses, writes = zip(*trace, strict=True)
    replayed.replay(addresses, [4] * len(trace), writes)
    assert whole.misses.tolist() == replayed.misses.tolist()
    assert whole.accesses.tolist() == replayed.accesses.tolist()


def test_a_strangers_policy_is_compiled_into_the_caches(tmp_path: Path) -> None:
    """Where the youngest leaves, all but one line of a loop stay that is one line too long: 4 lines in 3 ways."""
    trace = tmp_path / "loop.din"
    trace.write_text("".join(f"0 {64 * line:x}\n" for line in [0, 1, 2, 3] * 30))
    words = ("cache", "--trace", str(trace), "--json", "-", "--level")
    run = strangers_hwsim(*words, "192B:3:64:youngest-leaves")
    assert run.returncode == 0, run.stderr
    assert '"load_misses": 42' in run.stdout  # 3, then one in three
    assert '"load_misses": 120' in strangers_hwsim(*words, "192B:3:64").stdout


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("192B:3:64:plru", "3 ways under plru, which takes a power of two"),
        ("192B:3:64:lur", "did you mean 'lru'"),
    ],
)
def test_wrong_policies_are_named(level: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("0 0\n")
    result = CliRunner().invoke(main, ["cache", "--trace", str(tmp_path / "t"), "--level", level])
    assert result.exit_code == 2
    assert expected in result.output.replace("\n", " ")
