"""TPU v1's performance counters beside the simulation of tpu-v1, on six applications.

Jouppi et al., ISCA 2017: table 1 gives layers, weights and batch of each application, table 3 what
the matrix unit's cycles went to. Layer sizes are not published. Assumed here: equal layers in whole
weight tiles that come near the published weights.

    MLP0    5 x 2048-2048                        21.0 M (20 M)   batch 200
    LSTM0   24 x 1024-2048, 34 vector layers     50.3 M (52 M)   batch 64, 16-bit activations:
                                                                 its 3.7 TOPS at 8.2% active
    CNN0    16 convolutions of 256-256           8.4 M (8 M)     batch 8: 2888 operations a
            on 19 x 19, two of them 1 x 1                        weight byte
    MLP1, LSTM1, CNN1 likewise; they count only in the sensitivity

Weights are fetched ahead, from one layer into the next. Columns of outputs are activated on the
vector unit while the next ones are multiplied, so a layer's last 256 are waited for. Of the matrix
unit's cycles, those in which vectors enter are active; those in which a tile shifts in with nothing
else to do are weight shift; those without a tile from DDR3 are weight stall, once the last results
have left; the rest is non-matrix. Input over PCIe is taken to come in time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hwsim.algorithms import lower
from hwsim.describe.layer import ConvLayer, ElementwiseLayer, GemmLayer, Layer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.units import Bandwidth
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import keep_on_chip
from hwsim.schedule.dataflows import applicable
from hwsim.validate import CHECKS, Pair

if TYPE_CHECKING:
    from hwsim.timing.explicit.array import ArrayRun
    from hwsim.timing.explicit.pipeline import Played, Work

MACHINE, BLOCK = "tpu-v1", "table3_counters_pct"
LAST_COLUMNS = 256
METRICS = ("array_active", "weight_stall", "weight_shift", "non_matrix")
PUBLISHED_GAINS = {
    "memory bandwidth x4, mean of the six": 3.0,
    "clock x4, convolutional ones": 2.0,
    "clock x4, the others": 1.0,
}


def application(name: str) -> list[Layer]:
    """The layers of one of the six. Raises KeyError for another name."""
    made = {
        "MLP0": lambda: _products(5, 200, 2048, 2048, 5),
        "MLP1": lambda: _products(4, 168, 1280, 1024, 4),
        "LSTM0": lambda: _products(24, 64, 1024, 2048, 34, "int16x8"),
        "LSTM1": lambda: _products(37, 96, 768, 1280, 19, "int16x8"),
        "CNN0": lambda: _board(8),
        "CNN1": lambda: _images(32),
    }
    return made[name]()


def _products(
    count: int, batch: int, k: int, n: int, vectors: int, dtype: str = "int8"
) -> list[Layer]:
    product: Layer = GemmLayer(batch, n, k, dtype=dtype)
    vector: Layer = ElementwiseLayer(batch, min(n, LAST_COLUMNS), 1, 1, dtype=dtype)
    return [*[product, vector] * count, *[vector] * (vectors - count)]


def _board(batch: int) -> list[Layer]:
    """A network on the 19 x 19 points of a Go board."""
    activation: Layer = ElementwiseLayer(batch, LAST_COLUMNS, 19, 19, dtype="int8")
    wide: Layer = ConvLayer(batch, 256, 19, 19, 256, 3, 3, pad=1, dtype="int8")
    narrow: Layer = ConvLayer(batch, 256, 19, 19, 256, 1, 1, dtype="int8")
    return [*[wide, activation] * 14, *[narrow, activation] * 2]


def _images(batch: int) -> list[Layer]:
    """72 convolutions on 13 x 13 points and four products: 1750 operations a weight byte."""
    convolution: Layer = ConvLayer(batch, 256, 13, 13, 192, 3, 3, pad=1, dtype="int8")
    activation: Layer = ElementwiseLayer(batch, 192, 13, 13, dtype="int8")
    return [*[convolution, activation] * 72, *_products(4, batch, 4096, 4096, 17)]


class TpuV1:
    """Rows are counters in percent of the matrix unit's cycles; columns are applications."""

    file = "tpu_v1.yaml"
    summary = "the chip: what the matrix unit's cycles go to in MLP0, LSTM0 and CNN0"

    def pairs(self, data: Any) -> Iterator[Pair]:
        table = data.get(BLOCK, data)
        rows = {
            row[0]: dict(zip(table["columns"][1:], row[1:], strict=True)) for row in table["rows"]
        }
        machine = load_machine(MACHINE)
        for name in table["columns"][1:]:
            modelled = play(application(name), machine).shares
            for metric in METRICS:
                if metric in rows:
                    yield Pair(
                        name,
                        metric,
                        float(rows[metric][name]),
                        round(modelled[metric], 1),
                        {"application": name},
                        100.0,
                    )

    def remarks(self, data: Any) -> list[str]:
        """The paper's figures beside the counters.

        They are the 600 x 600 example, and what faster memory or a faster clock bring.
        """
        machine = load_machine(MACHINE)
        small, large = (_microseconds(replace_array(machine, size), size) for size in (256, 512))
        lines = [
            f"a 600 x 600 matrix in whole tiles: {small:.1f} us on 256 x 256 cells (paper: 18), "
            f"{large:.1f} us on 512 x 512 (32)"
        ]
        return lines + [
            f"{what}: {gain:.2f} (paper: {PUBLISHED_GAINS[what]:g})"
            for what, gain in sensitivity(machine).items()
        ]


@dataclass(frozen=True)
class Run:
    """An application's pipeline, played. active: cycles in which vectors enter the array."""

    work: Work
    played: Played
    active: float

    @property
    def cycles(self) -> float:
        return self.played.cycles.total

    @property
    def shares(self) -> dict[str, float]:
        """What the matrix unit's cycles went to, in percent."""
        stalled, shifting = _weight_counters(self.work, self.played)
        known = {"array_active": self.active, "weight_stall": stalled, "weight_shift": shifting}
        return {
            name: 100 * cycles / self.cycles
            for name, cycles in {**known, "non_matrix": self.cycles - sum(known.values())}.items()
        }


def _weight_counters(work: Work, played: Played) -> tuple[float, float]:
    """(weight stall, weight shift).

    The stall is what the array waits for a tile once the last results have left it, less the tile's
    own shifting in; the shift is that shifting, or the gap behind the fold before.
    """
    plan, log = played.plan, played.log
    _, gaps = work.spans(work.marks)
    stalled = shifting = now = earliest = 0.0
    passing = 0.0
    waits = [
        plan.waits[start:end].tolist() for start, end in itertools.pairwise(plan.wait_at.tolist())
    ]
    for tiles, began, span, gap in zip(
        waits, log.began.tolist(), plan.spans.tolist(), gaps.tolist(), strict=True
    ):
        for tile in tiles:
            waited = max(0.0, float(log.ready[tile]) - now)
            first = min(waited, passing)
            settled = min(waited - first, float(plan.settle[tile]))
            stalled, shifting = stalled + waited - first - settled, shifting + settled
            passing, now = passing - first, now + waited
        shifting += max(0.0, earliest - now)
        now, passing = began + span, work.results
        earliest = now + gap
    return stalled + log.end - now, shifting


def play(layers: Sequence[Layer], machine: Machine) -> Run:
    """The layers as one pipeline of tiles and folds."""
    from hwsim.timing.explicit.layers import chained
    from hwsim.timing.explicit.pipeline import run_pipeline

    runs = {layer: on_array(layer, machine) for layer in dict.fromkeys(layers)}
    steps = [runs[layer] for layer in layers]
    active = sum(run.cycles.compute for layer, run in zip(layers, steps, strict=True) if layer.macs)
    work = chained([run.work for run in steps], [run.ends for run in steps])
    return Run(work, run_pipeline(work), active)


def on_array(layer: Layer, machine: Machine) -> ArrayRun:
    """One layer by its rule: its stage's pipeline, not yet chained."""
    from hwsim.timing.systolic.pace import run_folds

    plan = lower(layer, "direct" if layer.macs else "memory-bound")
    stage, placement = plan.stages[0], keep_on_chip(plan, machine)
    return run_folds(
        applicable(stage, machine)[0].schedule(stage, machine, placement),
        machine,
        layer.dtype or machine.dtype,
    )


def replace_array(machine: Machine, size: int) -> Machine:
    """TPU v1 with a square array of another size, and a weight FIFO for four of its tiles."""
    array = machine.part("array", SystolicArray)
    fifo = machine.part("weight_fifo", Scratchpad)
    parts = {
        **machine.parts,
        "array": replace(array, rows=size, cols=size),
        "weight_fifo": replace(fifo, capacity=4 * size * size),
    }
    return replace(machine, parts=parts)


def _microseconds(machine: Machine, size: int) -> float:
    """A product with a 600 x 600 matrix, padded to whole tiles of size x size."""
    whole = -(-600 // size) * size
    return (
        play([GemmLayer(96, whole, whole, dtype="int8")], machine).cycles / machine.clock_hz * 1e6
    )


def sensitivity(machine: Machine) -> dict[str, float]:
    """How many times faster the applications run with four times a resource.

    It is the memory bandwidth, and the clock.

    The faster clock comes with as many times the accumulators, so that weights need not be fetched
    more often (clock+ in the paper's figure 11).
    """
    dram: Any = machine.parts[machine.dram_name]
    faster = replace(
        dram, bandwidth=Bandwidth(4 * dram.bandwidth.value, False), channels=4 * dram.channels
    )
    wide = replace(machine, parts={**machine.parts, machine.dram_name: faster})
    accumulators: Any = machine.parts["accumulators"]
    more = {
        **machine.parts,
        "accumulators": replace(accumulators, capacity=4 * accumulators.capacity),
    }
    quick = replace(machine, clock_hz=4 * machine.clock_hz, parts=more)
    names = ("MLP0", "MLP1", "LSTM0", "LSTM1", "CNN0", "CNN1")
    seconds = {
        (name, kind): play(application(name), other).cycles / other.clock_hz
        for name in names
        for kind, other in (("as it is", machine), ("memory", wide), ("clock", quick))
    }
    gain = {
        (name, kind): seconds[name, "as it is"] / took for (name, kind), took in seconds.items()
    }
    return dict(
        zip(
            PUBLISHED_GAINS,
            (
                fmean(gain[name, "memory"] for name in names),
                fmean(gain[name, "clock"] for name in names if name.startswith("CNN")),
                fmean(gain[name, "clock"] for name in names if not name.startswith("CNN")),
            ),
            strict=True,
        )
    )


CHECKS.register("tpu-v1")(TpuV1())
