"""Programs and traces through caches: as a plain list does it, and as cachegrind counted."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwsim.cli import main
from hwsim.timing.caches.loads import Level, Program, Range, Reference
from hwsim.timing.caches.programs import Memory
from hwsim.validate import run_check

DATA = Path(__file__).parent.parent / "reference/cachegrind.json"


class Plain:
    """Lists of lines, the youngest first: nothing is left out."""

    def __init__(self, levels: list[Level]) -> None:
        self.levels = levels
        self.sets = [[[] for _ in range(level.sets)] for level in levels]
        self.misses = [[0, 0] for _ in levels]

    def touch(self, address: int, write: bool) -> None:
        for level, sets, misses in zip(self.levels, self.sets, self.misses, strict=True):
            line = address // level.line
            own = sets[line % level.sets]
            hit = line in own
            if hit:
                own.remove(line)
            own.insert(0, line)
            del own[level.ways :]
            if hit:
                return
            misses[write] += 1


def run_plainly(program: Program, plain: Plain) -> None:
    def at(depth: int, after: bool, values: dict[str, int]) -> None:
        for reference in program.references:
            if (reference.depth, reference.after) == (depth, after):
                offset = sum(
                    coefficient * values.get(name, 0)
                    for name, coefficient in reference.coefficients.items()
                )
                plain.touch(reference.base + offset, reference.write)

    def go(depth: int, values: dict[str, int]) -> None:
        at(depth, False, values)
        if depth < len(program.loops):
            loop = program.loops[depth]
            start, stop = 0, loop.bound
            if loop.of:
                start = values[loop.of]
                tile = next(other.tile for other in program.loops if other.name == loop.of)
                stop = min(start + tile, loop.bound)
            for value in range(start, stop, loop.tile):
                go(depth + 1, {**values, loop.name: value})
            at(depth, True, values)

    go(0, {})


def random_program(dice: random.Random) -> Program:
    bounds = [dice.randint(1, 9) for _ in range(3)]
    tile = dice.randint(1, 4)
    loops = [Range(name, bound) for name, bound in zip("ijk", bounds, strict=True)]
    if dice.random() < 0.5:
        loops = [Range("kk", bounds[2], tile), *loops[:2], Range("k", bounds[2], of="kk")]
    names = [loop.name for loop in loops]
    references = []
    for _ in range(dice.randint(1, 5)):
        depth = dice.randint(0, len(loops))
        own = names[:depth]
        coefficients = {name: 4 * dice.choice((-3, 0, 1, 1, 5, 40)) for name in own}
        references.append(
            Reference(
                8192 + 4 * dice.randint(0, 500),
                coefficients,
                depth,
                dice.random() < 0.4,
                depth < len(loops) and dice.random() < 0.3,
            )
        )
    return Program(tuple(loops), tuple(references))


@pytest.mark.parametrize("seed", range(60))
def test_a_program_misses_as_a_plain_list_does(seed: int) -> None:
    """Passing over iterations that stay in their lines changes nothing; nor do lines that differ."""
    dice = random.Random(seed)
    levels = [
        Level(dice.choice((64, 128, 256)), dice.choice((1, 2, 4)), dice.choice((16, 32))),
        Level(1024, dice.choice((2, 4)), dice.choice((32, 64))),
    ]
    memory, plain = Memory(levels), Plain(levels)
    for _ in range(2):
        program = random_program(dice)
        memory.run(program)
        run_plainly(program, plain)
    assert memory.misses.tolist() == plain.misses


def test_cachegrinds_misses(tmp_path: Path) -> None:
    """A row of each kernel here; all 205 by `hwsim validate cachegrind`."""
    rows = json.loads(DATA.read_text())["rows"]
    chosen = {row["program"]: row for row in reversed(rows) if row["counts"]["Dr"] < 5_000_000}
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"rows": list(chosen.values())}))
    report = run_check("cachegrind", path)
    assert report.rows >= 7
    assert report.metrics["d1_misses"].max_abs_rel_err == 0.0
    assert report.metrics["loads"].exact == report.metrics["stores"].exact == len(chosen)
    assert report.groups["exact"]["True"]["ll_misses"].max_abs_rel_err == 0.0


def test_instructions_lead_astray_by_twelve_misses_at_most(tmp_path: Path) -> None:
    """Rows of a last level that instructions share; all 18 by `hwsim validate cachegrind`."""
    rows = [row for row in json.loads(DATA.read_text())["rows"] if not row["exact_expected"]]
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"rows": rows[:4]}))
    assert run_check("cachegrind", path).metrics["ll_misses_beyond_12"].exact == 4


def test_a_trace_of_either_kind(tmp_path: Path) -> None:
    """A store into the line of the load before; a load across a line's end looks up two."""
    din, lackey = tmp_path / "din", tmp_path / "lackey"
    din.write_text("0 1000\n1 1004\n2 400\n0 103f\n0 1040\n1 7ffe00001000\n")
    lackey.write_text("==1== x\n L 1000,4\n S 1004,4\nI  400,2\n L 103e,4\n S 7ffe00001000,8\n")
    for path, loads in ((din, 3), (lackey, 2)):
        words = ["cache", "--trace", str(path), "--level", "1KiB:2:64", "--json", "-"]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        assert (document["loads"], document["stores"]) == (loads, 2)
        assert document["levels"] == [{"level": 1, "load_misses": 2, "store_misses": 1}]


@pytest.mark.parametrize(
    ("text", "level", "expected"),
    [
        ("0 1000\nx\n", "1KiB:2:64", ":2: 'x'; expected '0 7ffe10'"),
        ("", "1KiB:2:64", "no loads or stores"),
        (" L 10,0\n", "1KiB:2:64", "an access of 0 bytes"),
        ("0 10\n", "1KiB:2", "expected SIZE:WAYS:LINE"),
        ("0 10\n", "1KiB:2:60", "a power of two"),
        ("0 10\n", "1000 B:2:64", "no whole sets"),
        ("0 10\n", "1KiB:2:64,strid", "did you mean 'stride'"),
        ("0 10\n", "1KiB:2:64,stride,next-line", "expected one"),
        ("0 10\n", "1KiB:2:64,exclusive", "exclusive of nothing"),
    ],
)
def test_what_is_wrong_is_named(text: str, level: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    result = CliRunner().invoke(main, ["cache", "--trace", str(path), "--level", level])
    assert result.exit_code == 2
    assert expected in result.output


@pytest.mark.slow(keep=10)
@pytest.mark.parametrize("seed", range(60))
def test_pycachesims_convention_as_it_was_seen(seed: int, tmp_path: Path) -> None:
    """Plainly: a store that misses is a load first; a store that hits does not count as a use.

    benchmarks/pycachesim.py compares with the tool itself.
    """
    dice = random.Random(seed)
    shapes = [(4, 2), (8, 4), (16, 4)][: dice.choice((1, 2, 3))]
    trace = [
        (dice.randrange(3000), dice.choice((1, 8, 40)), dice.random() < 0.4) for _ in range(900)
    ]
    sets = [[list[int]() for _ in range(count)] for count, _ in shapes]
    dirty, counts = [set[int]() for _ in shapes], [[0, 0, 0] for _ in shapes]

    def load(level: int, line: int) -> None:
        if level == len(shapes):
            return
        own = sets[level][line % shapes[level][0]]
        if line in own:
            counts[level][0] += 1
            own.append(own.pop(own.index(line)))
            return
        counts[level][1] += 1
        load(level + 1, line)
        own.append(line)
        victim = own.pop(0) if len(own) > shapes[level][1] else None
        if victim in dirty[level]:
            dirty[level].discard(victim)
            counts[level][2] += 1
            store(level + 1, victim)

    def store(level: int, line: int) -> None:
        if level < len(shapes):
            if line not in sets[level][line % shapes[level][0]]:
                load(level, line)
            dirty[level].add(line)

    for address, size, write in trace:
        for line in range(address // 16, (address + size - 1) // 16 + 1):
            (store if write else load)(0, line)
    path = tmp_path / "trace"
    path.write_text(
        "".join(f" {'S' if write else 'L'} {at:x},{size}\n" for at, size, write in trace)
    )
    levels = [f"--level={16 * count * ways}B:{ways}:16" for count, ways in shapes]
    words = ["cache", "--trace", str(path), "--convention", "pycachesim", "--json", "-", *levels]
    found = json.loads(CliRunner().invoke(main, words).stdout)["levels"]
    assert [[row["hits"], row["misses"], row["evicted"]] for row in found] == counts


def test_words_of_a_level_are_features_of_a_cache(tmp_path: Path) -> None:
    """A row of eight lines, stored twice: 8 misses, of which next-line saves every second one; with
    no-allocate none is ever there."""
    path = tmp_path / "trace"
    path.write_text("".join(f"1 {64 * (line % 8):x}\n" for line in range(16)))

    def level(word: str) -> dict[str, int]:
        words = ["cache", "--trace", str(path), "--level", f"1KiB:16:64{word}", "--json", "-"]
        words += ["--convention", "hwsim"]
        (row,) = json.loads(CliRunner().invoke(main, words).stdout)["levels"]
        return dict(row)

    assert level("")["misses"] == 8
    ahead = level(",next-line")
    assert (ahead["misses"], ahead["prefetches"]) == (4, 4)
    assert level(",no-allocate")["misses"] == 16


@pytest.mark.parametrize(
    ("lines", "ahead"), [([0, 1], 0), ([0, 1, 2], 1), ([1, 0], 0), ([5, 4], 0), ([5, 4, 3], 1)]
)
def test_a_stride_is_two_steps_alike(lines: list[int], ahead: int, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("".join(f"0 {64 * line:x}\n" for line in lines))
    words = ["cache", "--trace", str(path), "--level", "1KiB:2:64,stride", "--json", "-"]
    (row,) = json.loads(CliRunner().invoke(main, words).stdout)["levels"]
    assert row["prefetches"] == ahead


def test_a_device_is_no_trace() -> None:
    result = CliRunner().invoke(main, ["cache", "--trace", "/dev/zero"])
    assert result.exit_code == 2
    assert "no regular file" in result.output
