"""The mapper: tables equal the closed form, the search equals trying everything, and what it writes runs."""

from __future__ import annotations

import html
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import hwsim
from hwsim.choose.layer import run_nest
from hwsim.cli import main
from hwsim.count.closed_form import count
from hwsim.describe.layer import ConvLayer, GemmLayer
from hwsim.describe.machine import Machine, Memory, load_machine
from hwsim.energy.account import energy_pj, pj_per_byte
from hwsim.energy.tables import table_for
from hwsim.errors import Beaten, HwsimError
from hwsim.ir.convolution import conv_stages, gemm_stage
from hwsim.ir.stage import Stage
from hwsim.ir.transform import temporal_steps
from hwsim.ir.verify import verify_nest
from hwsim.rewrite.placement import Placement
from hwsim.schedule.mapper import Options, best_mapping
from hwsim.schedule.mapper.found import OBJECTIVES
from hwsim.schedule.mapper.groups import Group, keeps
from hwsim.schedule.mapper.hunt import Choice
from hwsim.schedule.mapper.kernels import Limit, evaluate_batch, score_of
from hwsim.schedule.mapper.model import Model, evaluate
from hwsim.schedule.mapper.rooms import first_holds
from hwsim.schedule.mapper.roots import Subproblem, pack
from hwsim.schedule.mapper.search import Search
from hwsim.schedule.mapper.space import Skeleton, Space, Tiling, cuts, find_space
from hwsim.schedule.mapper.tables import Ints
from hwsim.timing import Surroundings

SMALL = {
    "gemm": lambda dtype: gemm_stage(GemmLayer(20, 12, 9, dtype=dtype)),
    "conv": lambda dtype: conv_stages(
        ConvLayer(n=2, c=6, h=9, w=9, k=5, r=3, s=3, pad=1, stride=2, dtype=dtype), ("c",)
    )[0],
    "depthwise": lambda dtype: conv_stages(
        ConvLayer(n=1, c=4, h=8, w=8, k=4, r=3, s=3, pad=1, groups=4, dtype=dtype), ("c",)
    )[0],
}


def _stage(kind: str, machine: Machine) -> Stage:
    return replace(SMALL[kind](machine.dtype), dtype=machine.dtype)


def _belongs(model: Model, skeleton: Skeleton, tiling: Tiling) -> bool:
    """Does the tiling keep to the skeleton's running loops?"""
    return all(
        keeps(group, model.space, skeleton.running)[x * len(group.inner) + y]
        for group, (x, y) in zip(model.groups, model.row(tiling), strict=True)
    )


def _draw(dice: random.Random, space: Space, model: Model) -> tuple[Skeleton, Tiling]:
    while True:
        skeleton = dice.choice(space.skeletons)
        tiling = Tiling(
            {dim: dice.choice(space.outer[dim]) for dim in space.dims},
            dice.choice(space.spreads),
            {dim: dice.choice(space.cell[dim]) for dim in space.dims},
        )
        try:
            if _belongs(model, skeleton, tiling):
                return skeleton, tiling
        except ValueError:  # neighbours that never have work are left out of the space
            continue


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("name", ["toy-8x8", "tpu-v1", "eyeriss-v1"])
def test_the_tables_are_the_closed_form(name: str, kind: str) -> None:
    machine = load_machine(name)
    stage = _stage(kind, machine)
    space = find_space(stage, machine, Placement(), Options())
    model, dice = Model(space), random.Random(7)
    table = table_for(machine.process_nm)
    for _ in range(25):
        skeleton, tiling = _draw(dice, space, model)
        nest = verify_nest(space.nest(skeleton, tiling))
        energy, dram = sum(energy_pj(machine, machine.dtype, stage.operations, {}).values()), 0
        for (level, tensor), traffic in count(nest).traffic.items():
            if level not in machine.memories:
                continue  # cells of an array are no memory
            hold = next(
                hold for hold in skeleton.holds if hold.level == level and tensor in hold.tensors
            )
            width = model.charges.width(skeleton, hold, stage.tensor(tensor))
            part, reads = machine.memories[level], float(traffic.reads)
            energy += (reads * _made(stage, tensor, part, machine) + traffic.writes) * (
                width * pj_per_byte(part, table)
            )
            moved = (reads + traffic.writes) * width
            dram += moved if level == machine.dram_name else 0
        metrics = evaluate(model, skeleton, tiling)
        assert metrics[0] == pytest.approx(energy, rel=1e-12)
        assert metrics[1] == dram


def _made(stage: Stage, tensor: str, part: Memory, machine: Machine) -> float:
    """The share of reads that gating PEs make: of filters, where a product switches."""
    gated = machine.compute.zeros == "gating" and part.per == "pe"
    if not gated or stage.tensor(tensor).role != "weight":
        return 1.0
    return stage.operations.effectual_multiplies / stage.operations.multiplies


def test_the_multipliers_are_busy_for_every_temporal_step_and_the_ends() -> None:
    machine = load_machine("toy-8x8")
    stage = _stage("gemm", machine)
    space = find_space(stage, machine, Placement(), Options(convention="timeloop"))
    model, dice = Model(space), random.Random(3)
    for _ in range(40):
        skeleton, tiling = _draw(dice, space, model)
        steps = 1
        for dim, bound in stage.bounds:
            own = tuple(
                (loop.tile, loop.spatial is not None)
                for loop in space.nest(skeleton, tiling).loops
                if loop.dim == dim
            )
            steps *= temporal_steps(bound, own)
        assert evaluate(model, skeleton, tiling)[model.metrics.index("multipliers")] == steps


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("kind", "machine"),
    [
        ("conv", "eyeriss-v1"),
        ("depthwise", "eyeriss-v1"),
        ("gemm", "eyeriss-v1"),
        ("gemm", "eyeriss-isca16"),
        ("gemm", "toy-8x8"),
        ("gemm", "tpu-v1"),
    ],
)
def test_no_simulation_is_quicker_than_the_busiest_resource(
    kind: str, machine: str, seed: int
) -> None:
    """Ramps of passes, and what one buffer cannot hide, among what it is busy with."""
    chip = load_machine(machine)
    stage = _stage(kind, chip)
    space = find_space(stage, chip, Placement(), Options())
    model, dice, fitting, nearest = Model(space), random.Random(seed), 0, 0.0
    for _ in range(60):
        skeleton, tiling = _draw(dice, space, model)
        nest = verify_nest(space.nest(skeleton, tiling))
        try:
            simulated = run_nest(nest, chip, chip.dtype, Surroundings()).cycles.total
        except HwsimError:
            continue  # it does not fit
        least = evaluate(model, skeleton, tiling)[2:].max()
        assert least <= simulated * (1 + 1e-9), nest.text()
        fitting, nearest = fitting + 1, max(nearest, least / simulated)
    assert fitting > 5
    assert nearest > 0.85


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
@pytest.mark.parametrize("name", ["toy-8x8", "eyeriss-v1"])
def test_a_mapping_costs_the_same_whatever_was_costed_before(name: str, kind: str) -> None:
    """A model that has seen every skeleton, and a new one: how the others are held matters too."""
    machine = load_machine(name)
    stage = _stage(kind, machine)
    space = find_space(stage, machine, Placement(), Options())
    model, dice = Model(space), random.Random(7)
    for skeleton in model.space.skeletons:
        model.bound_parts(skeleton)
    for _ in range(12):
        skeleton, tiling = _draw(dice, space, model)
        alone = evaluate(Model(space), skeleton, tiling)
        assert evaluate(model, skeleton, tiling) == pytest.approx(alone, rel=1e-12)


def test_latency_is_not_counted_for_tiles_of_padding_alone() -> None:
    """A row of outputs that meets padding only: its tile moves nothing."""
    machine = load_machine("eyeriss-v1")
    layer = ConvLayer(n=1, c=8, h=4, w=2, k=3, r=1, s=1, pad=2, dtype=machine.dtype)
    stage = replace(conv_stages(layer, ("c",))[0], dtype=machine.dtype)
    space = find_space(stage, machine, Placement(), Options())
    model, dice, fitting = Model(space), random.Random(1), 0
    for _ in range(300):
        skeleton, tiling = _draw(dice, space, model)
        nest = verify_nest(space.nest(skeleton, tiling))
        try:
            simulated = run_nest(nest, machine, machine.dtype, Surroundings()).cycles.total
        except HwsimError:
            continue  # it does not fit
        fitting += 1
        assert evaluate(model, skeleton, tiling)[2:].max() <= simulated * (1 + 1e-9), nest.text()
    assert fitting > 30


@pytest.mark.parametrize("machine", ["toy-8x8", "eyeriss-v1", "tpu-v1"])
def test_only_mappings_below_a_mark_are_looked_for(machine: str) -> None:
    """The same optimum below a mark a little above it; none below a mark a little under it."""
    chip = load_machine(machine)
    stage = _stage("gemm", chip)
    found = best_mapping(stage, chip, "latency")
    assert found.optimal
    below = best_mapping(stage, chip, "latency", beat=found.cost * 1.01)
    assert below.cost == pytest.approx(found.cost, rel=1e-6)
    with pytest.raises(Beaten):
        best_mapping(stage, chip, "latency", beat=found.cost * 0.999)


def _tiny_pes(folder: Path) -> Machine:
    """2 x 2 PEs with 7 bytes each beside 40 bytes of buffer."""
    text = (Path(hwsim.__file__).parent.parent / "configs/accelerator/toy-8x8.yaml").read_text()
    small = (
        text.replace("rows: 8", "rows: 2")
        .replace("cols: 8", "cols: 2")
        .replace("16 KiB", "40 B")
        .replace("64 B", "7 B")
    )
    path = folder / "pes.yaml"
    path.write_text(small.replace("bypass: true\n    energy: 6", "energy: 6"))
    return load_machine(path)


def _tiny_systolic(folder: Path) -> Machine:
    """2 x 2 cells beside a few hundred bytes."""
    text = (Path(hwsim.__file__).parent.parent / "configs/accelerator/tpu-v1.yaml").read_text()
    small = (
        text.replace("rows: 256", "rows: 2")
        .replace("cols: 256", "cols: 2")
        .replace("24 MiB", "500 B")
        .replace("4 MiB", "40 B")
        .replace("256 KiB", "16 B")
    )
    path = folder / "systolic.yaml"
    path.write_text(small)
    return load_machine(path)


TINY = {
    "product, PEs": (_tiny_pes, gemm_stage(GemmLayer(6, 4, 5, dtype="int8")), (5, 23, 3)),
    "other product, PEs": (_tiny_pes, gemm_stage(GemmLayer(7, 3, 8, dtype="int8")), (5, 23, 3)),
    "convolution, PEs": (
        _tiny_pes,
        conv_stages(ConvLayer(n=1, c=2, h=4, w=3, k=2, r=2, s=2, pad=0, dtype="int8"), ("c",))[0],
        (9, 263, 3),
    ),
    "product, systolic": (
        _tiny_systolic,
        gemm_stage(GemmLayer(24, 18, 5, dtype="int8")),
        (1, 1, 5),
    ),
    "convolution, systolic": (
        _tiny_systolic,
        conv_stages(ConvLayer(n=2, c=2, h=4, w=4, k=3, r=2, s=2, pad=0, dtype="int8"), ("c",))[0],
        (1, 9, 3),
    ),
}


@pytest.mark.slow(keep=5)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", TINY)
def test_the_search_finds_what_trying_everything_finds(
    name: str, objective: str, tmp_path: Path
) -> None:
    make, stage, (some_spreads, some_skeletons, most) = TINY[name]
    machine = make(tmp_path)
    stage = replace(stage, dtype="int8")
    space = find_space(stage, machine, Placement(), Options())
    space = replace(
        space,
        outer={dim: tiles[:most] for dim, tiles in space.outer.items()},
        cell={dim: tiles[-most:] for dim, tiles in space.cell.items()},
        spreads=space.spreads[::some_spreads],
        skeletons=space.skeletons[::some_skeletons],
    )
    model = Model(space)
    search = Search(model, objective)  # type: ignore[arg-type]
    found = search.run(workers=1)
    assert found.optimal
    best, tried = np.inf, 0
    for skeleton, tiling in _every(space, model.groups):
        if not _belongs(model, skeleton, tiling) or not _fits(model, skeleton, tiling):
            continue
        tried += 1
        metrics = evaluate(model, skeleton, tiling)
        longest = metrics[2:].max()
        score = {
            "latency": longest + search.goal.tie * metrics[0],
            "energy": metrics[0] + search.goal.tie * longest,
            "edp": metrics[0] * longest,
            "dram": metrics[1] + search.goal.tie * longest,
        }[objective]
        best = min(best, score)
    assert tried > 300
    assert found.cost == pytest.approx(best, rel=1e-6)
    assert found.bound <= best * (1 + 1e-9)


def _every(space: Space, groups: tuple[Group, ...]) -> Iterator[tuple[Skeleton, Tiling]]:
    """Every mapping of a (small) space, for exhaustive checks."""
    for skeleton in space.skeletons:
        for spread in space.spreads:
            cells = [
                range(*group.range_of(tuple(spread[dim] for dim in group.dims))) for group in groups
            ]
            for inner in itertools.product(*cells):
                for outer in itertools.product(*(group.outer for group in groups)):
                    x: dict[str, int] = {}
                    f: dict[str, int] = {}
                    t: dict[str, int] = {}
                    for group, tiles, row in zip(groups, outer, inner, strict=True):
                        x.update(zip(group.dims, tiles, strict=True))
                        f.update(zip(group.dims, group.inner[row][0], strict=True))
                        t.update(zip(group.dims, group.inner[row][1], strict=True))
                    yield skeleton, Tiling(x, f, t)


def _fits(model: Model, skeleton: Skeleton, tiling: Tiling) -> bool:
    """Every level's tiles within its capacity; a tile that is the whole tensor needs one buffer."""
    rows = [
        x * len(group.inner) + y
        for group, (x, y) in zip(model.groups, model.row(tiling), strict=True)
    ]
    need: dict[str, float] = {}
    for hold in skeleton.memories(model.machine)[1:]:
        widths, sizes = model.sizes(skeleton, hold)
        for member, (width, name) in enumerate(widths):
            words = float(
                np.prod([size[row, member] for size, row in zip(sizes, rows, strict=True)])
            )
            whole = words >= model.stage.tensor(name).elements and hold in first_holds(skeleton)
            need[hold.level] = need.get(hold.level, 0.0) + words * width / (
                hold.buffers if whole else 1
            )
    return all(size <= model.machine.memories[level].capacity for level, size in need.items())


@pytest.mark.slow(keep=3)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    ("kind", "machine"), [("gemm", "toy-8x8"), ("depthwise", "toy-8x8"), ("conv", "eyeriss-v1")]
)
def test_what_is_ruled_out_of_a_subproblem_is_never_its_best(
    kind: str, machine: str, objective: str
) -> None:
    """Random subproblems, searched and tried mapping by mapping."""
    chip = load_machine(machine)
    model = Model(find_space(_stage(kind, chip), chip, Placement(), Options()))
    search = Search(model, objective)  # type: ignore[arg-type]
    dice, compared = random.Random(5), 0
    for _ in range(40):
        number = dice.randrange(len(model.space.skeletons))
        spread = dice.randrange(len(model.space.spreads))
        problem = Subproblem(0.0, number, spread)
        search.prepare([problem])
        best = _best_of_all(search, problem)
        if best is None:
            continue
        found = search.solve(problem, Limit(np.inf, 0.0, np.inf), np.zeros(2, np.int64))
        compared += np.isfinite(best)
        if not np.isfinite(best):
            assert found is None
            continue
        assert found is not None
        assert found[0] == pytest.approx(best, rel=1e-9)
        beaten = Limit(best * (1.0 - 1e-9), 0.0, np.inf)
        assert search.solve(problem, beaten, np.zeros(2, np.int64)) is None
    assert compared >= 5


def _best_of_all(search: Search, problem: Subproblem) -> float | None:
    """The best score of a subproblem's mappings, each tried; None where they are too many."""
    candidates = search._candidates(problem)
    costs, room = search._costs_of(problem.skeleton, False), search._room_of(problem.skeleton)
    own = []
    for group, inner in enumerate(candidates.inner_counts):
        rows = np.flatnonzero(candidates.keeps[group])
        y = rows % inner
        own.append(rows[(candidates.starts[group] <= y) & (y < candidates.ends[group])])
    if np.prod([len(rows) for rows in own]) > 200_000:
        return None
    best = np.inf
    for mapping in itertools.product(*own):
        words = np.prod([room.words[group, row] for group, row in enumerate(mapping)], axis=0)
        bytes_of = words * np.where(words >= room.elements, room.once, room.widths)
        held = np.bincount(room.level_of, bytes_of, len(room.limits))
        if (held > room.limits).any():
            continue
        factors = np.prod(
            [
                candidates.tables[group, row, costs.columns[:, group]]
                for group, row in enumerate(mapping)
            ],
            axis=0,
        )
        metrics = costs.constant + (factors[:, 0] - factors[:, 1]) @ costs.weights
        best = min(best, float(score_of(search.goal, metrics)))
    return best


def test_a_batch_is_the_scalar_cost_many_times() -> None:
    machine = load_machine("toy-8x8")
    model = Model(find_space(_stage("gemm", machine), machine, Placement(), Options()))
    skeleton, dice = model.space.skeletons[37], random.Random(1)
    drawn = []
    for _ in range(2000):
        tiling = Tiling(
            {dim: dice.choice(model.space.outer[dim]) for dim in model.space.dims},
            dice.choice(model.space.spreads),
            {dim: dice.choice(model.space.cell[dim]) for dim in model.space.dims},
        )
        try:
            drawn.append((tiling, model.row(tiling)))
        except ValueError:
            continue
    terms, packed = model.inner_terms(skeleton), pack(model)
    rows = np.array([row for _, row in drawn], np.int64)
    result = np.empty((len(drawn), len(model.metrics)))
    evaluate_batch(
        packed.tables,
        packed.inner_counts,
        terms.columns,
        terms.weights,
        terms.constant,
        np.ascontiguousarray(rows[:, :, 0]),
        np.ascontiguousarray(rows[:, :, 1]),
        result,
    )
    for (tiling, _), metrics in list(zip(drawn, result, strict=True))[::100]:
        outer = model.outer_terms(skeleton)
        alone = evaluate(model, skeleton, tiling)
        for column, weight in zip(outer.columns, outer.weights.T, strict=True):
            values = [
                model.columns.table(group)[x * len(model.groups[group].inner) + y, column[group]]
                for group, (x, y) in enumerate(model.row(tiling))
            ]
            alone = alone - weight * (
                np.prod([value[0] for value in values]) - np.prod([value[1] for value in values])
            )
        np.testing.assert_allclose(metrics, alone, rtol=1e-9, atol=1e-6)


@pytest.mark.slow
def test_the_product_of_timeloops_mapper_with_a_proof() -> None:
    # reference/timeloop.json: Timeloop's mapper 40.9 J*cycle after 20,000 valid mappings; 37.2 is the best known with one dim an axis
    mappings = hwsim.map_layers(
        "gemm:256,256,256", "toy-8x8", "edp", mixed=False, convention="timeloop"
    )
    found = mappings.stages[0].found
    assert found.optimal
    assert mappings.to_dict()["mappings"][0]["edp_j_cycles"] <= 37.2
    assert verify_nest(found.nest)


@pytest.mark.slow
def test_a_search_cut_short_states_a_gap() -> None:
    machine = load_machine("toy-8x8")
    stage = replace(gemm_stage(GemmLayer(256, 256, 256, dtype="int8")), dtype="int8")
    found = best_mapping(stage, machine, "edp", most=10, workers=1)
    whole = best_mapping(stage, machine, "edp", options=Options(mixed=False))
    assert 0 < found.gap < 1
    assert found.bound <= whole.cost


def test_a_search_stopped_before_it_found_anything_says_so() -> None:
    machine = load_machine("toy-8x8")
    search = Search(
        Model(find_space(_stage("gemm", machine), machine, Placement(), Options())), "edp"
    )
    search.stop[0] = 1
    with pytest.raises(HwsimError, match="no mapping found in the time given"):
        search.run()


def test_a_search_interrupted_while_it_descends_claims_no_optimum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = load_machine("toy-8x8")
    stage = replace(gemm_stage(GemmLayer(64, 48, 80, dtype="int8")), dtype="int8")
    search = Search(Model(find_space(stage, machine, Placement(), Options())), "edp")
    descend, calls = search.descend, itertools.count()

    def some(problem: Subproblem, tally: Ints) -> Choice | None:
        if next(calls) > 40:
            raise KeyboardInterrupt
        return descend(problem, tally)

    monkeypatch.setattr(search, "descend", some)
    found = search.run(workers=1)
    assert found.interrupted
    assert found.gap > 0
    assert not found.optimal


def test_cuts_make_every_number_of_chunks() -> None:
    assert cuts(10, 20) == (10, 5, 4, 3, 2, 1)
    assert {-(-10 // tile) for tile in cuts(10, 20)} == {1, 2, 3, 4, 5, 10}


@pytest.fixture
def nest_file(tmp_path: Path) -> Path:
    path = tmp_path / "nest.yaml"
    result = CliRunner().invoke(main, ["map", "toy-8x8", "gemm:24,16,40", "--out", str(path)])
    assert result.exit_code == 0, result.output
    return path


def test_what_the_mapper_prints_the_simulator_runs(tmp_path: Path) -> None:
    """One search: of mappings that cost the same another search may find another."""
    path = tmp_path / "nests.yaml"
    words = ["map", "toy-8x8", "gemm:24,16,40", "--out", str(path), "--json", "-"]
    mapped = json.loads(CliRunner().invoke(main, words).stdout)["mappings"][0]
    shown = CliRunner().invoke(main, ["run", "--nest", str(path), "--json", "-"])
    assert shown.exit_code == 0, shown.output
    stage = json.loads(shown.stdout)["layers"][0]["stages"][0]
    assert stage["cycles"]["total"] == mapped["simulated"]["cycles"]
    assert stage["nest"] == mapped["nest"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("for: m", "for: mm", "no dim 'mm' in gemm"),
        ("hold: rf", "hold: fr", "no memory 'fr' in toy-8x8; did you mean 'rf'?"),
        ("tensors: [A, B, C]", "tensors: [A, B, D]", "no tensor 'D' in gemm"),
        ("stage: gemm", "stage: gem", "no stage 'gem'"),
        ("machine: toy-8x8", "machine: toy", "toy"),
        ("op: gemm", "op: gem", "op"),
    ],
)
def test_a_wrong_nest_says_where(nest_file: Path, old: str, new: str, expected: str) -> None:
    text = nest_file.read_text()
    assert old in text
    nest_file.write_text(text.replace(old, new, 1))
    result = CliRunner().invoke(main, ["run", "--nest", str(nest_file)])
    assert result.exit_code == 2
    assert expected in result.output
    assert "Traceback" not in result.output


def test_a_nest_that_overflows_names_the_level_the_tensor_and_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text(
        "machine: toy-8x8\nalgorithm: direct\ndtype: int8\nnests:\n  - layer: big\n    shape: {op: gemm, m: 64, n: 8, k: 512}\n"
        "    stage: gemm\n    nest:\n      - {hold: dram, tensors: [A, B, C]}\n      - {for: m, step: 64}\n"
        "      - {hold: gb, tensors: [A, B, C]}\n      - {for: m, step: 1}\n      - {for: n, step: 1}\n      - {for: k, step: 1}\n"
    )
    result = CliRunner().invoke(main, ["run", "--nest", str(path)])
    assert result.exit_code == 2
    assert "gb overflows by 20.5 KiB" in result.output
    assert "most of it is A: no loop outside gb cuts its k of 512" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["map", "toy-8x8", "gemm:1,2"], "k missing"),
        (["map", "toy-8x8", "gemm:1,2,x"], "expected a whole number"),
        (["map", "toy-8x8", "conv:c=3,hh=4"], "no field 'hh'"),
        (["map", "toy-8x8", "gemm:8,8,8", "-o", "edq"], "did you mean 'edp'"),
        (["map", "h200", "gemm:8,8,8"], "no mapping space"),
        (["map", "toy-8x8", "vgg16:conv9"], "conv9"),
        (["run"], "expected MACHINE and WORKLOAD"),
    ],
)
def test_wrong_requests_are_one_line(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert expected in result.output


def test_the_mapper_beats_or_equals_the_rule_on_eyeriss() -> None:
    layer = ConvLayer(n=1, c=64, h=28, w=28, k=64, r=3, s=3, pad=1)
    assert (
        hwsim.simulate(layer, "eyeriss-v1", "direct").cycles
        <= hwsim.simulate(layer, "eyeriss-v1", "direct", dataflow="row-stationary").cycles
    )


NEST = """machine: toy-8x8
algorithm: direct
dtype: int8
nests:
  - layer: g
    shape: {op: gemm, m: 8, n: 8, k: 8}
    stage: gemm
    nest:
      - {hold: dram, tensors: [A, B, C]}
      - {par: m, step: 1, on: column}
      - {par: k, step: 1, on: row}
      - {hold: rf, tensors: [A]}
      - {for: n, step: 1}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("m: 8", "m: 800", "800 neighbours on column, which has 8"),
        ("on: column", "on: row", "64 neighbours on row, which has 8"),
        ("on: column", "on: diag", "no axis 'diag'"),
        ("hold: rf", "hold: dram", "expected the order dram, gb, rf"),
        ("hold: rf", "hold: gb", "gb is the chip's, inside a spatial loop"),
        ("tensors: [A]", "tensors: [A, A]", "expected the names of tensors, each once"),
        ("tensors: [A]", "tensors: []", "expected the names of tensors, each once"),
        ("{for: n, step: 1}", "{for: n, step: 1, on: row}", "a temporal loop on row"),
        ("algorithm: direct", "algorithm: auto", "algorithm 'auto' where one is needed"),
        ("{for: n, step: 1}", "{for: n, par: n, step: 1}", "nest[4]: an item with for and par"),
    ],
)
def test_a_nest_that_the_machine_cannot_run_is_refused(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(NEST)
    assert CliRunner().invoke(main, ["run", "--nest", str(path)]).exit_code == 0
    assert old in NEST
    path.write_text(NEST.replace(old, new))
    result = CliRunner().invoke(main, ["run", "--nest", str(path)])
    assert result.exit_code == 2, result.output
    assert expected in result.output
    assert "g.yaml" in result.output or "auto" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["map", "toy-8x8", "gemm:8,8,8", "-a", "auto"],
            "where one is needed; expected one of",
        ),
        (["map", "toy-8x8", "gemm:8,8,8", "--seconds", "nan"], "expected a number of seconds"),
    ],
)
def test_map_says_what_it_cannot_do(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert expected in result.output


def test_a_batch_is_rows_of_a_product() -> None:
    shown = CliRunner().invoke(
        main, ["map", "toy-8x8", "gemm:4,8,8", "--batch", "2", "--json", "-"]
    )
    assert json.loads(shown.stdout)["mappings"][0]["tiles"]["m"]["outer"] <= 8
    assert "m x8" in shown.stdout or "m x2" in shown.stdout or "m x4" in shown.stdout


@pytest.mark.slow
def test_the_least_dram_traffic_is_proven_by_what_must_move() -> None:
    found = hwsim.map_layers("gemm:20,20,20", "toy-8x8", "dram").stages[0].found
    assert found.metrics["dram bytes"] == 3 * 400
    assert found.optimal
    fastest = hwsim.map_layers("gemm:20,20,20", "toy-8x8", "latency").stages[0].found
    assert max(
        value for name, value in found.metrics.items() if name not in ("energy", "dram bytes")
    ) <= 1.25 * max(
        value for name, value in fastest.metrics.items() if name not in ("energy", "dram bytes")
    )


def test_a_notebook_shows_mappings_and_nests() -> None:
    found = hwsim.map_layers("gemm:4,4,4", "toy-8x8")
    assert found._repr_html_() == f"<pre>{html.escape(found.text())}</pre>"
    nest = found.stages[0].nest
    assert nest._repr_html_().startswith("<pre>hold dram:")


def test_a_gap_is_said_as_a_multiple_of_the_optimum() -> None:
    """A gap of 85% of the cost is 6.9 times the optimum, and was called 85% above it."""
    mapped = hwsim.map_layers("gemm:32,32,32", "epyc-7763", "edp")
    found = mapped.stages[0].found
    assert found.gap > 0.5
    assert f"at most {found.cost / found.bound:.3g} times the optimum" in mapped.text()


def test_an_algorithm_that_gives_way_is_said() -> None:
    found = hwsim.map_layers("gemm:8,8,8", "toy-8x8", algorithm="winograd-f2")
    (note,) = found.notes
    assert note.startswith("winograd-f2 does not apply") and "(gemm)" in note
    assert hwsim.map_layers("gemm:8,8,8", "toy-8x8").notes == ()
