"""What a core waits for: beside measured loops, and against changes of one resource at a time."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.choose.nests import MEASURES
from hwsim.cli import main
from hwsim.describe.catalog import data_folder
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.units import Bandwidth
from hwsim.errors import HwsimError
from hwsim.ir.tensor import Array
from hwsim.parts.core import with_cores
from hwsim.results.result import StageResult
from hwsim.rewrite.arrays import read_arrays
from hwsim.validate import CHECKS, Pair, _load

LOOPS = (
    "order=ijk,fused=no",
    "order=ikj,fused=no",
    "order=jki,fused=no,reloads=1",
    "order=ikj,vector=j,entry=40",
    "order=ijk,tile=16x16x16",
    "order=ijk,registers=4x4x1,vector=j,lanes=4",
)


def one_core(name: str = "epyc-7763") -> Machine:
    return with_cores(load_machine(name), 1)


def stage(machine: Machine, loops: str, n: int = 96, **arrays: Array) -> StageResult:
    layer = hwsim.GemmLayer(n, n, n)
    result = hwsim.simulate(layer, machine, "direct", dataflow=f"loops:{loops}", arrays=arrays)
    return result.layers[0].stages[0]


def changed(machine: Machine, part: str, **fields: Any) -> Machine:
    return replace(
        machine,
        parts={**machine.parts, part: replace(machine.parts[part], **fields)},  # type: ignore[type-var]
    )


def doubled(machine: Machine) -> dict[str, Machine]:
    """The machine with each resource that can be named as a stall twice as good."""
    core: Any = machine.compute
    l1: Any = machine.parts["l1"]
    found = {
        "instructions": changed(machine, "cores", issue=2 * core.issue),
        "sums that wait": changed(
            machine, "cores", fma_latency=core.fma_latency // 2, add_latency=core.add_latency / 2
        ),
        "load and store ports": changed(
            machine, "cores", loads=2 * core.loads, stores=2 * core.stores
        ),
        "sets of l1": changed(machine, "l1", set_busy=l1.set_busy // 2),
        "misses of l1": changed(machine, "l1", in_flight=2 * l1.in_flight),
    }
    for name in ("l1", "l2", "l3", "dram"):
        part: Any = machine.parts[name]
        fields = {"bandwidth": Bandwidth(2 * part.bandwidth.value, part.bandwidth.per_cycle)}
        if getattr(part, "core_bandwidth", None):
            alone = part.core_bandwidth
            fields["core_bandwidth"] = Bandwidth(2 * alone.value, alone.per_cycle)
        found[name] = changed(machine, name, **fields)
    return found


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("n", [64, 96])
def test_the_named_resource_is_the_one_whose_doubling_helps_most(loops: str, n: int) -> None:
    machine = one_core()
    before = stage(machine, loops, n).cycles
    after = {name: stage(other, loops, n).cycles.total for name, other in doubled(machine).items()}
    assert all(total <= before.total * 1.0001 for total in after.values())
    named = max(before.stall, key=lambda name: before.stall[name])
    if named in after and before.stall[named] > 0.1 * before.total:
        assert after[named] <= min(after.values()) * 1.01, (named, after)


def misses_by_hand(order: str, n: int, cache: tuple[int, int], arrays: dict[str, Array]) -> int:
    """Lines of A, B, C that a product in this order misses in one LRU cache.

    The cache is (sets, ways) of lines of 64 bytes; addresses are worked out word by word.
    """
    sets, ways = cache
    base = {"A": 0, "B": 1 << 20, "C": 2 << 20}
    axes = {"A": ("m", "k"), "B": ("k", "n"), "C": ("m", "n")}

    def line(name: str, at: dict[str, int]) -> int:
        array = arrays.get(name, Array())
        outer, inner = (at[axis] for axis in array.order or axes[name])
        if array.block:
            word = (inner // array.block * n + outer) * array.block + inner % array.block
        else:
            word = outer * (array.ld or n) + inner
        return (base[name] + 4 * word) // 64

    lines: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(sets)]
    missed = 0

    def touch(number: int) -> None:
        nonlocal missed
        held = lines[number % sets]
        if number in held:
            held.move_to_end(number)
            return
        missed += 1
        held[number] = None
        if len(held) > ways:
            held.popitem(last=False)

    letters = {"i": "m", "j": "n", "k": "k"}
    dims = [letters[letter] for letter in order]
    last: dict[str, tuple[int, ...]] = {}
    for x in range(n):
        for y in range(n):
            for z in range(n):
                at = dict(zip(dims, (x, y, z), strict=True))
                for name in "ABC":
                    place = tuple(at[axis] for axis in axes[name])
                    if last.get(name) == place:
                        continue
                    if name == "C" and "C" in last:
                        touch(line("C", dict(zip(axes["C"], last["C"], strict=True))))
                    last[name] = place
                    if name != "C" or at["k"]:
                        touch(line(name, at))
    touch(line("C", dict(zip(axes["C"], last["C"], strict=True))))
    return missed


@pytest.mark.parametrize("seed", range(12))
def test_arrays_that_lie_otherwise_miss_as_counted_word_by_word(seed: int) -> None:
    rng = random.Random(seed)
    n, order = rng.choice([12, 16, 24, 33]), rng.choice(["ijk", "ikj", "jki", "kij"])
    arrays = {}
    for name, axes in (("A", ("m", "k")), ("B", ("k", "n")), ("C", ("m", "n"))):
        turned = axes[::-1] if rng.random() < 0.5 else axes
        how = rng.choice(["ld", "block", "plain"])
        if how == "ld":
            arrays[name] = Array(turned, ld=n + rng.choice([1, 4, 16]))
        elif how == "block":
            arrays[name] = Array(turned, block=rng.choice([4, 8]))
        else:
            arrays[name] = Array(turned)
    machine = changed(one_core(), "l1", capacity=1024, ways=4)
    refilled = stage(machine, f"order={order}", n, **arrays).accesses["l1"]
    filled = sum(access.writes for access in refilled.values()) - n * n * (
        1 if order.endswith("k") else n
    )
    assert filled == misses_by_hand(order, n, (4, 4), arrays)


def test_longer_rows_keep_columns_apart() -> None:
    """zen3_loops.json: rows of 528 words instead of 512 take ijk from 228 to 125 ms."""
    plain = stage(one_core(), "order=ijk,fused=no", 256)
    padded = stage(one_core(), "order=ijk,fused=no", 256, B=Array(ld=272))
    assert padded.accesses["l2"]["B"].reads < plain.accesses["l2"]["B"].reads / 10
    assert padded.cycles.total < plain.cycles.total


def test_cores_that_share_a_cache_have_their_own_part_of_it() -> None:
    """An EPYC's L3 is one for eight cores: a core alone sees 32 MiB, all of them eight times that."""
    layer = hwsim.GemmLayer(256, 512, 512)
    alone, all_of_them = (
        hwsim.simulate(layer, machine, "direct") for machine in (one_core(), "epyc-7763")
    )
    assert alone.seconds > 20 * all_of_them.seconds
    with pytest.raises(HwsimError, match="65 cores of epyc-7763; expected 1 to 64"):
        with_cores(load_machine("epyc-7763"), 65)


@pytest.mark.parametrize("objective", ["latency", "energy", "edp", "dram"])
@pytest.mark.parametrize("shape", ["gemm:96,100,64", "conv:8,14,14,24,3,3,1,1"])
def test_map_is_never_worse_than_the_rule_and_never_below_its_bound(
    objective: str, shape: str
) -> None:
    machine = with_cores(load_machine("epyc-7763"), 4)
    (mapped,) = hwsim.map_layers(shape, machine, objective, seconds=2).stages
    rule = hwsim.simulate(shape, machine, "direct").layers[0].stages[0]
    measure = MEASURES[objective]
    assert measure(mapped.simulated)[0] <= measure(rule)[0] * 1.0001
    assert 0 < mapped.found.bound <= measure(mapped.simulated)[0]
    if objective == "latency":
        peak = machine.compute.peak_macs_per_cycle("fp32")
        assert rule.operations.multiplies / peak <= mapped.found.bound


def test_a_mapping_on_cores_runs_from_its_file_as_it_was_found(tmp_path: Path) -> None:
    """Weights in panels, and all sizes, are in the file; 13 filters have their vectors along m."""
    mappings = hwsim.map_layers("gemm:26,13,64", one_core(), "latency")
    path = tmp_path / "nest.yaml"
    path.write_text(mappings.nest_file("epyc-7763"))
    assert "packed: true" in path.read_text()
    again = hwsim.run_nests(path).layers[0].stages[0]
    assert again.cycles == mappings.stages[0].simulated.cycles
    assert again.accesses == mappings.stages[0].simulated.accesses


def test_register_tiles_by_name() -> None:
    """The rule's own sizes are the rule.

    Sums of 4 x 8 are 4 vectors for 2 ports of latency 4: half of the multipliers wait.
    """
    machine = one_core()
    rule, named, few = (
        hwsim.simulate("gemm:192,192,192", machine, "direct", dataflow=flow).layers[0].stages[0]
        for flow in ("register-tiled", "register-tiled:mr=6,nr=16", "register-tiled:mr=4,nr=8")
    )
    assert named.cycles == rule.cycles
    assert few.cycles.total == pytest.approx(2 * few.cycles.compute, rel=0.15)
    assert max(few.cycles.stall, key=few.cycles.stall.__getitem__) == "sums that wait"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-d", "register-tiled:mr=8,nr=16"], "take 19 vector registers; expected at most 16"),
        (["-d", "register-tiled:mq=12"], "did you mean 'mr'"),
        (["-d", "register-tiled:mr=0"], "mr=0; expected a number"),
        (["--array", "B"], "expected B=n,k or B=ld:528"),
        (["--array", "B=ld:" + "9" * 5000], "expected a number of words"),
        (["-d", "register-tiled:kc=" + "1" * 5000], "expected a number of words"),
        (["-d", "register-tiled:kc=6,kc=7"], "kc is given twice"),
        (["-d", "register-tiled:packed=maybe"], "packed=maybe; expected yes, run or no"),
        (["-d", "loops:order=imk"], "names a loop twice"),
        (["-d", "loops:order=ijk,lanes=4"], "lanes without a loop"),
        (["-d", "register-tiled", "--array", "B=n,k"], "packs B, however it lies"),
        (["--array", "B=ld:4"], "ld 4 is less than a row of 16 words"),
        (["--array", "B=n,n"], "expected its axes k,n in any order"),
        (["--array", "D=ld:16"], "no array 'D' in direct"),
        (["--array", "B=ldd:16"], "did you mean 'ld'"),
        (["--array", "B=ld:16,block:4"], "expected ld or block"),
        (["--array", "B=ld:16", "--array", "B=n,k"], "given twice"),
        (["--cores", "99"], "99 cores of epyc-7763; expected 1 to 64"),
    ],
)
def test_wrong_arrays_and_cores_are_named(words: list[str], expected: str) -> None:
    result = CliRunner().invoke(
        main, ["run", "epyc-7763", "gemm:8,16,8", "-a", "direct", "-d", "loops:order=ijk", *words]
    )
    assert result.exit_code == 2
    assert expected in result.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("algorithm", "array"), [("im2col", "columns=ld:300"), ("im2col", "filter=k,c,r,s")]
)
def test_an_array_that_stages_see_otherwise_is_refused(algorithm: str, array: str) -> None:
    """And no other algorithm takes over."""
    words = ["run", "epyc-7763", "conv:4,16,16,8,3,3,1,1", "-a", algorithm, "--array", array]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "expected" in result.output


def test_what_cores_have_is_refused_on_a_gpu() -> None:
    machine = changed(load_machine("h200"), "l2", shared_by=2)
    with pytest.raises(HwsimError, match="shared_by is simulated where CPU cores use the cache"):
        hwsim.simulate("gemm:64,64,64", machine, "direct")


def test_arrays_are_for_caches() -> None:
    with pytest.raises(HwsimError, match="expected a machine with caches"):
        hwsim.simulate("gemm:8,8,8", "toy-8x8", "direct", arrays=read_arrays(("B=n,k",)))


def scored(name: str, keep: Any) -> dict[str, list[Pair]]:
    """A check's pairs by metric, on those rows of its file that are kept."""
    check = CHECKS[name]
    data = _load(data_folder("reference") / check.file)
    found: dict[str, list[Pair]] = {}
    for pair in check.pairs({**data, "rows": [row for row in data["rows"] if keep(row)]}):
        found.setdefault(pair.metric, []).append(pair)
    return found


def median(pairs: list[Pair]) -> float:
    return sorted(pair.error for pair in pairs)[len(pairs) // 2]


@pytest.mark.slow
def test_loop_orders_take_what_they_took_on_a_zen_3_core() -> None:
    """Products of 128; `hwsim validate zen3-loops` has the others."""
    found = scored("zen3-loops", lambda row: row["n"] == 128)
    assert median(found["time"]) < 0.3
    scalar = [pair for pair in found["order"] if "O2" in pair.row]
    assert all(1 / 1.6 < pair.modelled / pair.expected < 1.6 for pair in scalar)
    assert all(pair.exact for pair in found["fastest"] if "O2" in pair.row)


@pytest.mark.slow
def test_tiles_pay_and_lose_as_on_a_zen_4_core() -> None:
    """n = 512 without vectors: the cliff above tiles of 16, and ikj, which loses by tiles."""
    found = scored("zen4-tiling", lambda row: row["build"] == "tile_O2" and row["n"] == 512)
    speedup = {pair.row: pair.modelled for pair in found["speedup"]}
    assert all(faster < 1 for row, faster in speedup.items() if "tikj" in row)
    assert speedup["tile_O2 tijk n 512 tile 8"] > 4
    assert speedup["tile_O2 tijk n 512 tile 64"] < 1.1
    assert all(pair.modelled / pair.expected < 2 for pair in found["best_tile"])


@pytest.mark.parametrize("name", ["xeon-8380", "xeon-8480"])
def test_loads_that_fill_the_ports_pass_the_first_cache_once(name: str) -> None:
    """Its own port was counted after the cores' ports, for the same words."""
    machine = one_core(name)
    l1: Any = machine.parts["l1"]
    wide = changed(machine, "l1", bandwidth=Bandwidth(64 * l1.bandwidth.value, per_cycle=True))
    loops = "order=ijk,registers=2x2x1,vector=j"
    assert stage(machine, loops).cycles.total == stage(wide, loops).cycles.total


def test_the_busiest_core_sets_the_time_of_its_own_caches() -> None:
    """Of three tiles on two cores one has two, as of four: its misses were taken as 1.5 tiles'."""
    machine = with_cores(load_machine("epyc-7763"), 2)

    def cycles(rows: int) -> float:
        layer = hwsim.GemmLayer(rows, 8, 2048)
        flow = "register-tiled:mr=4,nr=8"
        result = hwsim.simulate(layer, machine, "direct", dataflow=flow).layers[0].stages[0]
        assert (
            max(result.cycles.stall, key=lambda name: result.cycles.stall[name]) == "misses of l1"
        )
        return result.cycles.total

    assert cycles(12) > 0.95 * cycles(16)
