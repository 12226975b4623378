"""Pages: TLBs walked beside a plain oracle, their bound, and columns that were measured."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import Machine
from hwsim.describe.units import Duration
from hwsim.errors import ConfigError
from hwsim.ir.nest import Nest
from hwsim.ir.tensor import Array
from hwsim.parts.core import with_cores
from hwsim.parts.tlb import Tlb, tlbs_of
from hwsim.timing.caches.batches import Walkers
from hwsim.timing.caches.chain import AddressSpace
from hwsim.timing.caches.reach import most_misses
from hwsim.timing.caches.stream import run_stream
from hwsim.timing.cpu.translation import page_chain
from tests.test_config import CPUS
from tests.test_warping import random_layer, random_order

PAGE = 4096
PROBE = Path(__file__).parents[1] / "benchmarks" / "zen4_probe.txt"
MACHINE = (Path(__file__).parents[1] / "configs" / "cpu" / "epyc-9654.yaml").read_text()


def tlb(entries: int, ways: int, page: int = PAGE) -> Tlb:
    return Tlb(entries, ways, Duration(30, True), 1, page)


def random_nest(dice: random.Random) -> Nest:
    """Rows of so many words that most of them lie in pages of their own."""
    (stage,) = lower(random_layer(dice), "direct").with_dtype("fp32").stages
    rows = tuple(
        replace(tensor, ld=tensor.row + dice.choice((0, 300, 1024, 1040)))
        for tensor in stage.tensors
    )
    return random_order(replace(stage, tensors=rows), dice)


def walked(nest: Nest, *tlbs: Tlb) -> dict[str, int]:
    """Misses of every TLB."""
    named = [(f"t{number}", each) for number, each in enumerate(tlbs)]
    chain = page_chain(named, 1, AddressSpace([nest.stage]), by_kind=False)
    walkers = Walkers(1, 64, 16)
    traffic = run_stream(nest, nest.holds[-1], frozenset(), chain, walkers).traffic
    return {
        name: round(sum(lines.misses for (level, _), lines in traffic.items() if level == name))
        for name, _ in named
    }


def pages_of(nest: Nest) -> list[int]:
    """Pages, look-up after look-up, by executing the loops word by word."""
    stage, space = nest.stage, AddressSpace([nest.stage])
    loops = nest.loops_above(nest.holds[-1])
    found: list[int] = []
    before: dict[str, Any] = {}

    def tile(ranges: dict[str, range]) -> None:
        for tensor in stage.tensors:
            touched = [
                [
                    at
                    for at in range(
                        axis.offset + sum(c * ranges[dim][0] for dim, c in axis.terms),
                        axis.offset + sum(c * ranges[dim][-1] for dim, c in axis.terms) + axis.span,
                    )
                    if 0 <= at < axis.size
                ]
                for axis in tensor.axes
            ]
            if before.get(tensor.name) == touched:
                continue
            before[tensor.name] = touched
            words = [0]
            for ats, stride in zip(touched, tensor.strides, strict=True):
                words = [word + at * stride for word in words for at in ats]
            start = space.base(tensor.name)
            seen = dict.fromkeys(int(start + word * tensor.width) // PAGE for word in words)
            found.extend(seen)

    def run(number: int, ranges: dict[str, range]) -> None:
        if number == len(loops):
            tile(ranges)
            return
        loop = loops[number]
        whole = ranges[loop.dim]
        for first in range(0, len(whole), loop.tile):
            run(number + 1, {**ranges, loop.dim: whole[first : first + loop.tile]})

    run(0, {dim: range(size) for dim, size in stage.bounds})
    return found


def missed(pages: list[int], *tlbs: Tlb) -> list[int]:
    """Misses of TLBs that are asked one after another; each set a list, the youngest first."""
    sets: list[dict[int, list[int]]] = [{} for _ in tlbs]
    misses = [0] * len(tlbs)
    for page in pages:
        for number, each in enumerate(tlbs):
            own = sets[number].setdefault(page % each.sets, [])
            hit = page in own
            if hit:
                own.remove(page)
            own.insert(0, page)
            del own[each.ways :]
            if hit:
                break
            misses[number] += 1
    return misses


def random_tlbs(dice: random.Random) -> list[Tlb]:
    sizes = [(4, 4), (8, 2), (16, 4), (12, 3), (64, 4)]
    return [tlb(*dice.choice(sizes[number:])) for number in range(dice.randint(1, 2))]


def test_tlbs_miss_what_lists_of_pages_miss() -> None:
    some = 0
    for seed in range(40):
        dice = random.Random(seed)
        nest, tlbs = random_nest(dice), random_tlbs(dice)
        found = list(walked(nest, *tlbs).values())
        assert found == missed(pages_of(nest), *tlbs), seed
        some += found[0] > len(nest.stage.tensors)
    assert some > 20


def test_the_bound_is_never_below_what_is_missed() -> None:
    told, near = 0, 0
    for seed in range(150):
        dice = random.Random(seed)
        nest, tlbs = random_nest(dice), random_tlbs(dice)
        most = most_misses(nest, nest.holds[-1], frozenset(), tlbs[-1])
        if most is not None:
            found = list(walked(nest, *tlbs).values())[-1]
            assert found <= most, seed
            told, near = told + 1, near + (most <= 4 * found)
    assert told > 80
    assert near > 20


def one_core(**changes: Any) -> Machine:
    machine = with_cores(hwsim.load_machine("epyc-9654"), 1)
    return replace(
        machine, parts={**machine.parts, "tlb": replace(machine.part("tlb", Tlb), **changes)}
    )


def column_cycles(machine: Machine, n: int, ld: int, rows: int = 2) -> float:
    """Cycles a step of a product in the order ijk."""
    arrays = {name: Array(ld=ld) for name in "ABC"}
    layer = GemmLayer(rows, n, n)
    result = hwsim.simulate(
        layer, machine, "direct", dataflow="loops:order=ijk,fused=no", arrays=arrays
    )
    return result.seconds * machine.clock_hz / (rows * n * n)


def test_columns_beyond_the_tlb_wait_for_walks() -> None:
    machine = one_core()
    assert column_cycles(machine, 1024, 1040) < 3
    result = hwsim.simulate(
        GemmLayer(1, 4096, 4096),
        machine,
        "direct",
        dataflow="loops:order=ijk,fused=no",
        arrays={"B": Array(ld=4112)},
    )
    stalls = result.layers[0].online[0].cycles.stall
    assert max(stalls, key=lambda name: stalls[name]) == "misses of tlb"
    assert column_cycles(one_core(page=2 << 20), 4096, 4112, 1) < 3.5


def test_more_entries_ways_and_walks_at_a_time_are_never_slower() -> None:
    for n, ld in ((300, 1040), (300, 1024), (512, 2048)):
        small = one_core(entries=64, ways=4)
        slowest = column_cycles(small, n, ld)
        tlb = small.part("tlb", Tlb)
        for better in (
            {"entries": 128, "ways": 8},
            {"entries": 512, "ways": 32},
            {"at_once": tlb.at_once * 2},
            {"miss": tlb.miss.halved()},
        ):
            faster = column_cycles(one_core(**{"entries": 64, "ways": 4, **better}), n, ld)
            assert faster <= slowest, (n, ld, better)


@pytest.mark.slow
def test_products_on_a_zen_4_core_as_measured() -> None:
    """The probe's last table.

    The time of a walk is from its table before: this tests when there are walks, and how many.
    """
    rows = [line.split(": ") for line in PROBE.read_text().split("ijk, by n")[1].splitlines()[1:]]
    off = {}
    for what, cycles in rows:
        n, ld = (int(word) for word in what.split(" x "))
        off[what] = column_cycles(one_core(), n, ld) / float(cycles) - 1
    assert len(off) == 10
    assert median(abs(each) for each in off.values()) < 0.25
    assert abs(off["4096 x 4112"]) < 0.1
    assert abs(off["6000 x 6000"]) < 0.3


def test_every_real_cpu_states_a_tlb() -> None:
    for name in CPUS:
        assert [each for each, _ in tlbs_of(hwsim.load_machine(name))] == ["tlb"], name


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  - cores -> tlb\n", "", "a tlb that nothing asks; expected a link 'cores -> tlb'"),
        ("    ways: 24 ", "    ways: 25 ", "25 ways do not divide 3072 entries"),
        ("    type: tlb\n", "    type: tlb\n    page: 5000 B\n", "a page of 5000 bytes"),
        (
            "links:\n",
            "  two: {type: tlb, entries: 8, ways: 8, miss: 1 cycles, page: 8 KiB}\nlinks:\n  - tlb -> two\n",
            "8192 bytes, but 4096 of tlb; expected the same",
        ),
    ],
)
def test_tlbs_that_are_wrong(old: str, new: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "machine.yaml"
    assert old in MACHINE
    file.write_text(MACHINE.replace(old, new))
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        hwsim.load_machine(str(file))
