"""Results as plain data: the versioned document of docs/json.md (docs/schemas/result.json)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from hwsim.ir.stage import Operations
from hwsim.results.result import Accesses, Cycles, LayerResult, Lines, Result, StageResult
from hwsim.results.reuse import Reuse
from hwsim.results.schemas import (
    AccessDocument,
    ComparisonDocument,
    CountsDocument,
    CyclesDocument,
    LayerDocument,
    LinesDocument,
    ResultDocument,
    ReuseDocument,
    SamplingDocument,
    StageDocument,
    WhatIfDocument,
)

if TYPE_CHECKING:
    from hwsim.results.comparison import Comparison

SCHEMA: Final = "hwsim.result/2"
COMPARISON: Final = "hwsim.comparison/1"


def result_document(result: Result) -> ResultDocument:
    """One workload on one machine."""
    return {
        "schema": SCHEMA,
        "machine": result.machine,
        "workload": result.workload,
        "algorithm": result.algorithm,
        "dtype": result.dtype,
        "batch": result.batch,
        "dataflow": result.dataflow,
        "clock_hz": result.clock_hz,
        "cycles": _cycles(sum((layer.cycles for layer in result.layers), Cycles())),
        "seconds": result.seconds,
        "start_seconds": result.start_seconds,
        "counts": _counts(result.counts),
        "dram": {
            "read_bytes": sum(layer.dram_read_bytes for layer in result.layers),
            "write_bytes": sum(layer.dram_write_bytes for layer in result.layers),
            "compulsory_bytes": result.compulsory_bytes,
        },
        "footprint_bytes": result.footprint_bytes,
        "capacity_bytes": dict(result.capacities),
        "utilization": result.utilization,
        "energy_pj": result.energy_pj,
        "edp_js": result.edp_js,
        "machine_fidelity": result.machine_fidelity,
        "layers": [_layer(layer) for layer in result.layers],
    }


def comparison_document(comparison: Comparison) -> ComparisonDocument:
    """Several results side by side, and what doubling a resource would bring."""
    return {
        "schema": COMPARISON,
        "results": [result_document(result) for result in comparison.results],
        "what_if": [cast(WhatIfDocument, vars(change)) for change in comparison.what_if],
        "left_out": list(comparison.left_out),
    }


def _layer(layer: LayerResult) -> LayerDocument:
    return {
        "name": layer.name,
        "shape": layer.shape,
        "algorithm": layer.algorithm,
        "notes": [str(note) for note in layer.notes],
        "cycles": _cycles(layer.cycles),
        "seconds": layer.seconds,
        "counts": _counts(layer.operations),
        "macs": layer.macs,
        "workspace_bytes": layer.workspace_bytes,
        "dram": {
            "read_bytes": layer.dram_read_bytes,
            "write_bytes": layer.dram_write_bytes,
            "compulsory_bytes": layer.compulsory_bytes,
        },
        "footprint_bytes": layer.footprint_bytes,
        "utilization": layer.utilization,
        "energy_pj": layer.energy_pj,
        "stages": [_stage(stage) for stage in layer.stages],
    }


def _stage(stage: StageResult) -> StageDocument:
    sampling: SamplingDocument | None = None
    if stage.sampling is not None:
        sampling = {
            "share": stage.sampling.share,
            "error": stage.sampling.error,
            "lines": stage.sampling.lines,
            "time": stage.sampling.time,
            "of": stage.sampling.of,
        }
    return {
        "name": stage.name,
        "dataflow": stage.dataflow,
        "nest": stage.nest,
        "fidelity": stage.fidelity,
        "offline": stage.offline,
        "sampling": sampling,
        "cycles": _cycles(stage.cycles),
        "seconds": stage.seconds,
        "counts": _counts(stage.operations),
        "accesses": _accesses(stage.accesses),
        "dram": {"read_bytes": stage.dram_read_bytes, "write_bytes": stage.dram_write_bytes},
        "footprint_bytes": {part: dict(tensors) for part, tensors in stage.footprint_bytes.items()},
        "utilization": stage.utilization,
        "energy_pj": dict(stage.energy_pj),
        "energy_by_tensor_pj": {
            part: dict(tensors) for part, tensors in stage.energy_by_tensor_pj.items()
        },
        "reuse": _reuse(stage),
        "lines": {
            level: {name: _lines(lines) for name, lines in arrays.items()}
            for level, arrays in stage.lines.items()
        },
    }


def _lines(lines: Lines) -> LinesDocument:
    found: LinesDocument = {
        "reads": lines.reads,
        "writes": lines.writes,
        "misses": lines.misses,
        "written_back": lines.written_back,
        "fetched_ahead": lines.fetched_ahead,
    }
    cold, capacity, conflict = lines.cold, lines.capacity, lines.conflict
    if cold is not None and capacity is not None and conflict is not None:
        found.update({"cold": cold, "capacity": capacity, "conflict": conflict})
    return found


def _reuse(stage: StageResult) -> dict[str, ReuseDocument]:
    """Factors that do not apply to a tensor are left out."""
    return {
        tensor: {
            "ideal": _factors(reuse.ideal),
            "achieved": {level: _factors(factors) for level, factors in reuse.achieved.items()},
        }
        for tensor, reuse in stage.reuse.items()
    }


def _factors(reuse: Reuse) -> dict[str, float]:
    return {name: value for name, value in vars(reuse).items() if value is not None}


def _cycles(cycles: Cycles) -> CyclesDocument:
    return {"total": cycles.total, "compute": cycles.compute, "stall": dict(cycles.stall)}


def _counts(operations: Operations) -> CountsDocument:
    return cast(CountsDocument, dict(vars(operations)))


def _accesses(accesses: Accesses) -> dict[str, dict[str, AccessDocument]]:
    return {
        part: {
            tensor: {
                "reads": access.reads,
                "writes": access.writes,
                "read_bytes": access.read_bytes,
                "write_bytes": access.write_bytes,
            }
            for tensor, access in tensors.items()
        }
        for part, tensors in accesses.items()
    }
