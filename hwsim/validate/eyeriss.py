"""Eyeriss v1's measurements, layer by layer, beside the row-stationary simulation of eyeriss-v1.

Chen, Krishna, Emer, Sze, JSSC 52(1), 2017, tables V and VI (and rows like theirs). As on the chip,
feature maps lie in memory with their padding (the H and W of table III), and the share of zeros
that the table gives of a layer's input is an input here. An output has the zeros of the next
layer's input (the last one its own input's), and at least half of it is zero: a ReLU of values as
often above zero as below leaves half, and pooling before the next layer, which takes the maximum,
only takes zeros away.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwsim.algorithms import lower
from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer, Density
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.networks import load_workload
from hwsim.errors import HwsimError, UnknownName
from hwsim.results.result import StageResult
from hwsim.rewrite.placement import Placement
from hwsim.schedule.row_stationary_tiles import Space
from hwsim.validate import CHECKS, Pair

MACHINE = "eyeriss-v1"
HALF = 0.5
COLUMNS = {
    "processing_latency": "processing_latency_ms",
    "active_pes": "active_PEs",
    "glb_bytes": "GLB_accesses_MB_per_batch",
    "dram_bytes": "DRAM_accesses_MB_per_batch",
    "power": "power_mW",
}
ZEROS = "zeros_in_ifmap_pct"


@dataclass
class Eyeriss:
    """Rows are layers of a network, with the chip's five figures.

    They are milliseconds without DRAM, PEs at work, megabytes of the buffer and of DRAM,
    milliwatts.

    table: of the reference's file; a file of other rows says network and batch itself.
    """

    summary: str
    table: str
    network: str
    batch: int
    file: str = "eyeriss.yaml"

    def pairs(self, data: Any) -> Iterator[Pair]:
        own = {"network": self.network, "batch": self.batch}
        yield from _table({**own, **data[self.table]} if self.table in data else data)


def _table(table: Mapping[str, Any]) -> Iterator[Pair]:
    """The layers of one network."""
    machine = load_machine(MACHINE)
    network = load_workload(table["network"], int(table["batch"]))
    rows = [_named(table["columns"], row) for row in table["rows"]]
    rows = [row for row in rows if row["layer"].lower() != "total"]
    for row, following in itertools.zip_longest(rows, rows[1:]):
        layer = _as_stored(_layer(network.layers, row["layer"]), row, following)
        modelled = chip_numbers(layer, machine)
        for metric, column in COLUMNS.items():
            if row.get(column) is not None:
                yield Pair(row["layer"], metric, float(row[column]), modelled[metric])


def _named(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    if len(row) != len(columns):
        raise HwsimError(
            f"row {row}: {len(row)} values; expected one for each of {', '.join(columns)}"
        )
    return dict(zip(columns, row, strict=True))


def _layer(layers: Mapping[str, Any], name: str) -> ConvLayer:
    """The table's CONV1-2 is a workload's conv1_2."""
    own = name.lower().replace("-", "_")
    if own not in layers:
        raise UnknownName("layer", name, layers)
    layer = layers[own]
    if not isinstance(layer, ConvLayer):
        raise HwsimError(f"{name}: {layer.summary}; expected a convolution")
    return layer


def _as_stored(
    layer: ConvLayer, row: Mapping[str, Any], following: Mapping[str, Any] | None
) -> ConvLayer:
    """The layer with its padding stored, and with the zeros of its input and output."""
    inputs = 1 - float(row[ZEROS]) / 100
    outputs = min(HALF, 1 - float((following or row)[ZEROS]) / 100)
    h, w = layer.h + sum(layer.pads[0]), layer.w + sum(layer.pads[1])
    return replace(layer, h=h, w=w, pad=0, density=Density(1.0, inputs, outputs=outputs))


def chip_numbers(layer: ConvLayer, machine: Machine) -> dict[str, float]:
    """The five metrics of one layer, mapped as on the chip.

    processing_latency leaves out what the PEs wait for DRAM, as the paper's does.
    """
    plan = lower(replace(layer, dtype=machine.dtype), "direct")
    mapping = Space(plan.stages[0], machine, Placement()).published()
    stage = (
        simulate(layer, machine, "direct", dataflow=f"row-stationary:{mapping.text}", timeline=True)
        .layers[0]
        .online[0]
    )
    assert stage.timeline is not None
    processing = float(np.diff(stage.timeline.steps).sum())
    chip = sum(energy for part, energy in stage.energy_pj.items() if part != stage.dram)
    return {
        "processing_latency": round(processing / machine.clock_hz * 1e3, 2),
        "active_pes": layer.r * mapping.e * mapping.r * mapping.t,
        "glb_bytes": round(_array_side_bytes(stage, layer) / 1e6, 1),
        "dram_bytes": round((stage.dram_read_bytes + stage.dram_write_bytes) / 1e6, 2),
        "power": round(chip * 1e-9 / (processing / machine.clock_hz)),
    }


def _array_side_bytes(stage: StageResult, layer: ConvLayer) -> int:
    """What the PEs read from and write to the buffers.

    Filling them from DRAM and emptying them is not counted.
    """
    inputs, filters, sums = (
        stage.accesses["glb"]["ifmap"],
        stage.accesses["filter_glb"]["filter"],
        stage.accesses["glb"]["ofmap"],
    )
    emptied = layer.n * layer.k * layer.p * layer.q * (sums.write_bytes // sums.writes)
    return inputs.read_bytes + filters.read_bytes + sums.read_bytes - emptied + sums.write_bytes


CHECKS.register("eyeriss")(
    Eyeriss(
        "the chip: latency, active PEs, buffer and DRAM traffic, power of AlexNet's convolutions",
        "table_V_alexnet_N4_1V_200MHz_60MHz",
        "alexnet",
        4,
    )
)
CHECKS.register("eyeriss-vgg16")(
    Eyeriss(
        "the chip: the same of VGG-16's convolutions",
        "table_VI_vgg16_N3_1V_200MHz_60MHz",
        "vgg16",
        3,
    )
)
