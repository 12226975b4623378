"""The JSON documents that hwsim writes: their fields, a class a document.

docs/json.md says what they mean. `hwsim schema KIND` prints the JSON Schema of each.

Within a version, fields are only added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, NotRequired, TypedDict


class Between(NamedTuple):
    """What a number is not below, and not above."""

    minimum: float
    maximum: float | None = None


Amount = Annotated[float, Between(0)]
Whole = Annotated[int, Between(0)]
Share = Annotated[float, Between(0, 1)]
ByName = Mapping[str, Amount]

# -- a result --------------------------------------------------------------------------------------


class CyclesDocument(TypedDict):
    """total = compute + all stalls."""

    total: Amount
    compute: Amount
    stall: ByName


class CountsDocument(TypedDict):
    """Operations of a statement, a stage, a layer or a network."""

    multiplies: Whole
    constant_multiplies: Whole
    shifts: Whole
    additions: Whole
    effectual_multiplies: Whole
    fused: Whole


class DramDocument(TypedDict):
    """Bytes over DRAM's port, and those of every distinct word once."""

    read_bytes: Whole
    write_bytes: Whole
    compulsory_bytes: Whole


class StageDramDocument(TypedDict):
    """Bytes over DRAM's port."""

    read_bytes: Whole
    write_bytes: Whole


class AccessDocument(TypedDict):
    """Of one tensor in one part, all instances."""

    reads: Whole
    writes: Whole
    read_bytes: Whole
    write_bytes: Whole


class SamplingDocument(TypedDict):
    """Share of the steps, or of the caches' sets, that was walked; how far lines may be off."""

    share: Share
    error: Amount
    lines: int
    time: Amount
    of: Literal["steps", "sets"]


class ReuseDocument(TypedDict):
    """Uses of a word by cause; factors that do not apply are left out."""

    ideal: ByName
    achieved: Mapping[str, ByName]


class LinesDocument(TypedDict):
    """What a cache did with the lines of one array."""

    reads: Whole
    writes: Whole
    misses: Whole
    written_back: Whole
    fetched_ahead: Whole
    cold: NotRequired[Whole]
    capacity: NotRequired[Whole]
    conflict: NotRequired[Whole]


class StageDocument(TypedDict):
    """One stage of a layer."""

    name: str
    dataflow: str
    nest: str
    fidelity: str
    offline: bool
    sampling: SamplingDocument | None
    cycles: CyclesDocument
    seconds: Amount
    counts: CountsDocument
    accesses: dict[str, dict[str, AccessDocument]]
    dram: StageDramDocument
    footprint_bytes: Mapping[str, ByName]
    utilization: Share
    energy_pj: ByName
    energy_by_tensor_pj: Mapping[str, ByName]
    reuse: dict[str, ReuseDocument]
    lines: dict[str, dict[str, LinesDocument]]


class LayerDocument(TypedDict):
    """One layer under one algorithm."""

    name: str
    shape: str
    algorithm: str
    notes: list[str]
    cycles: CyclesDocument
    seconds: Amount
    counts: CountsDocument
    macs: Whole
    workspace_bytes: Whole
    dram: DramDocument
    footprint_bytes: ByName
    utilization: Share
    energy_pj: ByName
    stages: list[StageDocument]


class ResultDocument(TypedDict):
    """One workload on one machine: run --json."""

    schema: Literal["hwsim.result/2"]
    machine: str
    workload: str
    algorithm: str
    dtype: str
    batch: Whole
    dataflow: str
    clock_hz: Amount
    cycles: CyclesDocument
    seconds: Amount
    start_seconds: Amount
    counts: CountsDocument
    dram: DramDocument
    footprint_bytes: ByName
    capacity_bytes: ByName
    utilization: Share
    energy_pj: ByName
    edp_js: Amount
    machine_fidelity: str
    layers: list[LayerDocument]


class WhatIfDocument(TypedDict):
    """The fastest run of a machine again, with one resource better."""

    machine: str
    variant: str
    change: str
    seconds: Amount
    gain: Amount


class ComparisonDocument(TypedDict):
    """Several results side by side: compare --json."""

    schema: Literal["hwsim.comparison/1"]
    results: list[ResultDocument]
    what_if: list[WhatIfDocument]
    left_out: list[str]


class MovedDocument(TypedDict):
    """A number that differs; layer null: of the whole run; share null: it was 0."""

    run: str
    layer: str | None
    what: str
    before: float
    after: float
    share: float | None


class DiffDocument(TypedDict):
    """Two files of results: diff --json."""

    schema: Literal["hwsim.diff/1"]
    runs: list[str]
    moved: list[MovedDocument]
    alone: list[str]


# -- mappings and tilings --------------------------------------------------------------------------


class TilesDocument(TypedDict):
    """Tiles of a dim: of the outer block, neighbours that share it, a neighbour's own."""

    outer: Whole
    neighbours: Whole
    cell: Whole


class SimulatedDocument(TypedDict):
    """What the simulator makes of a nest."""

    cycles: Amount
    energy_pj: ByName
    dram_bytes: Whole
    edp_j_cycles: Amount


class FoundDocument(TypedDict):
    """The best mapping of a stage."""

    layer: str
    stage: str
    dataflow: str
    by: str
    nest: str
    tiles: dict[str, TilesDocument]
    cost: Amount
    bound: Amount
    gap: Share
    optimal: bool
    space_size: Whole
    evaluated: Whole
    search_seconds: Amount
    cycles: Amount
    resource_cycles: ByName
    energy_pj: Amount
    dram_bytes: Amount
    edp_j_cycles: Amount
    simulated: SimulatedDocument


class MappingDocument(TypedDict):
    """The best mappings of a workload: map --json."""

    schema: Literal["hwsim.mapping/1"]
    machine: str
    objective: str
    algorithm: str
    dtype: str
    mappings: list[FoundDocument]
    notes: list[str]


class SizeDocument(TypedDict):
    """A size of a memory; dram_bytes null: nothing fits."""

    capacity: Whole
    dram_bytes: Whole | None
    gap: Share


class CurveDocument(TypedDict):
    """DRAM traffic by the size of a memory: map --curve --json."""

    schema: Literal["hwsim.curve/1"]
    layer: str
    machine: str
    memory: str
    points: list[SizeDocument]


class BlocksDocument(TypedDict):
    """Blocks of the second layer's outputs, and what is kept between them."""

    images: Whole
    rows: Whole
    cols: Whole
    channels: Whole
    keep_between: bool
    keep_input: bool
    first_stays: bool
    second_stays: bool


class PairChoiceDocument(TypedDict):
    """One way to fuse two layers."""

    blocks: BlocksDocument
    dram_bytes: Whole
    products: Whole
    cycles_at_least: Amount
    room_bytes: Whole
    held_bytes: ByName


class ApartDocument(TypedDict):
    """The two layers by themselves."""

    dram_bytes: Whole
    cycles: Amount


class FusedPairDocument(TypedDict):
    """Two layers as one: map --fuse --json."""

    schema: Literal["hwsim.fused-pair/1"]
    machine: str
    layers: list[str]
    objective: str
    dtype: str
    best: PairChoiceDocument | None
    lacking: str
    keeper: str
    fused_least_dram_bytes: Whole
    apart_least_dram_bytes: Whole
    apart: ApartDocument | None
    curve: list[PairChoiceDocument]


class ServedDocument(TypedDict):
    """What a memory served."""

    reads: Whole
    read_bytes: Whole


class SimulatedTilesDocument(TypedDict):
    """Tiles on a machine with caches."""

    seconds: Amount
    served: dict[str, ServedDocument]


class TilesCostDocument(TypedDict):
    """What tiles cost on a machine: words to and from an explicit memory, or those that enter the
    registers; simulated null: too much, as the note says."""

    dram_words: NotRequired[Whole]
    dram_pj: NotRequired[Amount]
    compute_pj: NotRequired[Amount]
    dram_seconds: NotRequired[Amount]
    compute_seconds: NotRequired[Amount]
    words_in: NotRequired[Whole]
    simulated: NotRequired[SimulatedTilesDocument | None]
    note: NotRequired[str]


class BestTilesDocument(TilesCostDocument):
    """The best tiles that fit a memory."""

    tiles: list[Whole]
    footprint_words: Whole


class TriedTilesDocument(TilesCostDocument):
    """Tiles of another size on a machine with caches."""

    tiles: list[Whole]
    footprint_words: Whole


class TilesMachineDocument(TilesCostDocument):
    """Tiles on a machine, beside the best."""

    name: str
    memory: str
    capacity_bytes: Whole
    best: BestTilesDocument


class SweptTilesDocument(TypedDict):
    """One tiling of many; pareto: none moves less in less room."""

    tiles: list[Whole]
    footprint_words: Whole
    dram_words: Whole
    pareto: bool


class TilingDocument(TypedDict):
    """Tiles of a product: tile --json. executed null: too many iterations. best_by: the tried tiles
    of the least time, and of the fewest reads of each memory."""

    schema: Literal["hwsim.tiling/1"]
    m: Whole
    n: Whole
    k: Whole
    tiles: list[Whole]
    formulas: ByName
    exact: Mapping[str, Whole]
    executed: Mapping[str, Whole] | None
    footprint_words: Whole
    dram_words: Whole
    machine: NotRequired[TilesMachineDocument]
    sweep: NotRequired[list[SweptTilesDocument]]
    tried: NotRequired[list[TriedTilesDocument]]
    best_by: NotRequired[dict[str, list[Whole]]]


# -- counts, errors, caches ------------------------------------------------------------------------


class AlgorithmCountsDocument(TypedDict):
    """A workload under one algorithm."""

    algorithm: str
    counts: CountsDocument
    offline: CountsDocument
    direct_multiplies: Whole
    reduction: float | None
    workspace_bytes: Whole
    fallbacks: list[str]


class OperationsDocument(TypedDict):
    """Operations by algorithm: count --json."""

    schema: Literal["hwsim.counts/1"]
    workload: str
    algorithms: list[AlgorithmCountsDocument]


class RoundingDocument(TypedDict):
    """Of one algorithm in one format: the largest error, and rms over the outputs' rms."""

    algorithm: str
    format: str
    largest: Amount
    relative: Amount


class ErrorsDocument(TypedDict):
    """What rounding does: error --json."""

    schema: Literal["hwsim.errors/1"]
    workload: str
    seed: int
    layers: dict[str, list[RoundingDocument]]


class LevelDocument(TypedDict):
    """Of one level, 1 next to the core: what the convention counts."""

    level: Whole
    load_misses: NotRequired[Whole]
    store_misses: NotRequired[Whole]
    loads: NotRequired[Whole]
    stores: NotRequired[Whole]
    hits: NotRequired[Whole]
    misses: NotRequired[Whole]
    prefetches: NotRequired[Whole]
    evicted: NotRequired[Whole]
    cold: NotRequired[Whole]
    capacity: NotRequired[Whole]
    conflict: NotRequired[Whole]


class CacheDocument(TypedDict):
    """A trace through caches: cache --json."""

    schema: Literal["hwsim.cache/1"]
    convention: str
    loads: Whole
    stores: Whole
    levels: list[LevelDocument]


class ScoreDocument(TypedDict):
    """How far a set of pairs is off."""

    n: Whole
    exact: Whole
    mean_abs_rel_err: Amount
    median_abs_rel_err: Amount
    max_abs_rel_err: Amount


class WorstDocument(TypedDict):
    """A row that is far off."""

    row: str
    metric: str
    expected: float
    modelled: float
    abs_rel_err: Amount


class CheckDocument(TypedDict):
    """The model beside measured or published data: validate NAME --json (a list without NAME)."""

    name: str
    rows: Whole
    metrics: dict[str, ScoreDocument]
    groups: dict[str, dict[str, dict[str, ScoreDocument]]]
    worst: list[WorstDocument]
    remarks: NotRequired[list[str]]


# -- sweeps and chips ------------------------------------------------------------------------------


class SweepPointDocument(TypedDict):
    """A point: what it swept, and its numbers; null where they are not known."""

    point: Whole
    values: dict[str, str]
    seconds: float | None
    energy_pj: float | None
    seconds_an_image: float | None
    pj_an_image: float | None
    edp: float | None
    dram_bytes_an_image: float | None
    macs: int | None
    utilization: float | None
    watts: float | None
    multipliers: float | None
    on_chip_bytes: float | None
    bottleneck: str
    area_mm2: float | None


class SensitivityDocument(TypedDict):
    """The mean of an objective by an axis' values."""

    axis: str
    objective: str
    values: list[str]
    means: list[float]


class SweepDocument(TypedDict):
    """The answer of a sweep: sweep --json. Every point is in its table."""

    schema: Literal["hwsim.sweep/1"]
    name: str
    points: Whole
    failed: Whole
    best: dict[str, SweepPointDocument]
    pareto: list[SweepPointDocument]
    sensitivities: list[SensitivityDocument]


class SplitOptionDocument(TypedDict):
    """One way to split a network over chips."""

    tensor: Whole
    pipeline: Whole
    data: Whole
    microbatches: Whole
    seconds: Amount
    speedup: Amount
    memory_bytes: Amount
    fits: bool
    shares: ByName


class SplitLayerDocument(TypedDict):
    """How a layer is split, and what it takes."""

    layer: str
    split_by: str
    gives: str
    collective: str
    computing_seconds: Amount
    moving_seconds: Amount


class SplitDocument(TypedDict):
    """A network on several chips: split --json, options quickest first."""

    schema: Literal["hwsim.split/1"]
    system: str
    chip: str
    chips: Whole
    topology: str
    workload: str
    dtype: str
    batch: Whole
    one_chip_seconds: Amount
    options: list[SplitOptionDocument]
    best_stages: list[list[SplitLayerDocument]]


# -- other tools' files ----------------------------------------------------------------------------


class TimeloopLevelDocument(TypedDict):
    """A level and a tensor: as Timeloop counts, and as words move."""

    level: str
    tensor: str
    timeloop_per_instance: dict[str, float]
    exact_all_instances: dict[str, float]


class TimeloopDocument(TypedDict):
    """Timeloop's files: timeloop --json."""

    schema: Literal["hwsim.timeloop/1"]
    problem: str
    products: Whole
    cycles: Amount
    utilization: Share
    multipliers: Whole
    passed_over: list[str]
    levels: list[TimeloopLevelDocument]


class ScaleSimLayerDocument(TypedDict):
    """A layer, as SCALE-Sim counts it; shares in percent."""

    name: str
    m: Whole
    n: Whole
    k: Whole
    times: Whole
    batch: Whole
    cycles: Whole
    util: Amount
    mapping_efficiency: Amount
    sram_ifmap_reads: Whole
    sram_filter_reads: Whole
    sram_ofmap_writes: Whole


class ScaleSimDocument(TypedDict):
    """SCALE-Sim's files: run --convention scalesim --json."""

    schema: Literal["hwsim.scalesim/1"]
    machine: str
    rows: Whole
    columns: Whole
    dataflow: str
    notes: list[str]
    cycles: Whole
    layers: list[ScaleSimLayerDocument]


DOCUMENTS = {
    "result": ResultDocument,
    "comparison": ComparisonDocument,
    "diff": DiffDocument,
    "mapping": MappingDocument,
    "curve": CurveDocument,
    "fused-pair": FusedPairDocument,
    "tiling": TilingDocument,
    "counts": OperationsDocument,
    "errors": ErrorsDocument,
    "cache": CacheDocument,
    "check": CheckDocument,
    "sweep": SweepDocument,
    "split": SplitDocument,
    "timeloop": TimeloopDocument,
    "scalesim": ScaleSimDocument,
}
