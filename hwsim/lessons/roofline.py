"""Rooflines, and what to build next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from hwsim.api import simulate
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import load_workload
from hwsim.describe.units import seconds_text, si
from hwsim.parts.doubled import BANDWIDTH, MEMORY, MULTIPLIERS, START, doubled
from hwsim.report.tables import main_stall
from hwsim.report.text_table import LAST, text_table
from hwsim.results.result import Result
from hwsim.teach import LESSONS
from hwsim.teach.content import Command, Problem, Step, Table, Widget

MACHINES = ("h200", "tpu-v1", "tpu-v4", "edge-tpu", "xeon-8380", "cortex-a76")
OTHERS = (  # on the page only
    "a100",
    "h100",
    "v100",
    "nvdla-large",
    "graphcore-gc200",
    "sambanova-sn10",
    "cerebras-wse2",
    "epyc-7763",
    "epyc-9654",
    "xeon-8480",
    "graviton2",
    "graviton3",
    "cortex-a53",
)
NETWORKS = ("vgg16", "mobilenet-v1")
ALGORITHM = "implicit-gemm"
SHORT = {
    MULTIPLIERS: "multipliers x2",
    BANDWIDTH: "DRAM x2",
    MEMORY: "on chip x2",
    START: "latency /2",
}
KEPT = Path(__file__).with_suffix(".json")


class Roofline:
    """Every layer on every machine, and the resource whose doubling helps most."""

    title = "Rooflines, and what to build next"
    question = "Which part of this machine should be better, and how would you know?"
    place = 9
    topics: ClassVar[dict[str, int]] = {
        "roofline": 1,
        "which hardware optimisations (Q2)": 3,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "Two limits",
            "A layer needs multiplications, and words from DRAM. A machine gives so many of each "
            "a second. *Intensity* is a layer's multiplications for each byte. Where it is low, "
            "the layer waits for DRAM; where it is high, for the multipliers. The two limits "
            "meet at the **ridge**: the intensity at which the machine is in balance.",
            (_ridges(), Command("hwsim show tpu-v1")),
        )
        yield Step(
            "Every layer under its roof",
            "Choose a network and a machine. Each point is a layer; bytes are those that it "
            "really moved, so maps that stay on the chip are not among them. How far a point is "
            "below the roof is what the roof does not know: filling and draining, launches, "
            "cells without work. A depthwise layer on an array uses one column of cells for each "
            "channel, and of these cells a few rows: it computes all the time, and reaches next "
            "to nothing. Then make one thing better and see which points move.",
            (_roof(),),
        )
        yield Step(
            "Double one resource",
            "The question to ask of hardware is not what is busiest, but what would help. Here "
            "each machine was changed in one thing and simulated again.\n\nAt batch 1, VGG-16's "
            "fully connected layers use each weight once. On the arrays they wait for DRAM, so "
            "**bandwidth** is what VGG-16 wants there; a CPU and a GPU want **multipliers**. "
            "MobileNet has few weights, and its depthwise layers leave most of an array empty: a "
            "second array helps them, and on tpu-v1, whose DRAM is slow, bandwidth too. On a GPU "
            "its layers are so short that each kernel mostly fills and drains, and nothing here "
            "helps much. xeon-8380 wants bandwidth most: its cores wait for it in the thin "
            "layers. More memory on the chip helps them by 4% at most here.",
            (
                _gains("vgg16"),
                _gains("mobilenet-v1"),
                Command("hwsim run tpu-v1 mobilenet-v1 -a implicit-gemm"),
            ),
        )

    def problems(self) -> tuple[Problem, ...]:
        return (
            Problem(
                "A machine multiplies 10 T pairs a second and reads 1 TB a second. A layer has "
                "an intensity of 4 multiplications a byte. How fast can it run? What does "
                "doubling the multipliers bring?",
                "The ridge is at 10 multiplications a byte; the layer is left of it. It runs at "
                "most 4 x 1 T = 4 T a second. Doubling the multipliers brings nothing, doubling "
                "the bandwidth doubles its speed.",
            ),
            Problem(
                "Which hardware optimisations should be considered to make deep learning faster? "
                "Argue from the table above.",
                "None for all: it depends on the layers. Layers that use each weight once want "
                "bandwidth. Large convolutions want multipliers. Depthwise layers want arrays "
                "that many channels can share, small layers on a GPU fewer, larger kernels. And "
                "much needs no new hardware: tiles, batches, fusion, narrower types, Winograd at "
                "large batches, zeros in whole blocks. The other lessons have the numbers.",
            ),
        )


def measured(machine: str, network: str, changes: Sequence[str] = tuple(SHORT)) -> dict[str, Any]:
    """A network's layers on a machine, and their times with each of some resources doubled."""
    base = load_machine(machine)
    run = simulate(network, base, ALGORITHM)
    return {
        "layers": [
            [
                layer.name,
                layer.macs,
                layer.dram_bytes,
                round(layer.seconds * 1e6, 3),
                main_stall(layer),
            ]
            for layer in run.layers
            if layer.macs
        ],
        "doubled": {
            what: _times(simulate(network, other, ALGORITHM))
            for what, other in doubled(base).items()
            if what in changes
        },
    }


def _times(run: Result) -> list[list[float]]:
    """Microseconds and DRAM bytes of the layers that multiply.

    Other machines may choose other tiles.
    """
    return [[round(layer.seconds * 1e6, 3), layer.dram_bytes] for layer in run.layers if layer.macs]


@cache
def kept() -> dict[str, Any]:
    """What benchmarks/what_if.py wrote: `measured` of every machine and network."""
    content: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return content


def _limits(name: str) -> tuple[float, float]:
    """Multiplications and DRAM bytes a second."""
    machine = load_machine(name)
    dram: Any = machine.parts[machine.dram_name]
    rate = machine.compute.peak_macs_per_cycle(machine.dtype) * machine.clock_hz
    return rate, dram.bandwidth.bytes_per_cycle(machine.clock_hz) * machine.clock_hz


def _ridges() -> Table:
    rows = []
    for name in MACHINES:
        rate, bandwidth = _limits(name)
        machine = load_machine(name)
        rows.append(
            [
                name,
                machine.dtype,
                f"{si(rate)}",
                f"{bandwidth / 1e9:,.4g}",
                f"{rate / bandwidth:,.4g}",
            ]
        )
    head = ["machine", "type", "multiplications/s", "DRAM GB/s", "ridge, per byte"]
    caption = "edge-tpu's DRAM is its host's, behind USB."
    return Table(head, rows, caption, left=2)


def _roof() -> Widget:
    def data() -> dict[str, Any]:
        return {
            "limits": {name: _limits(name) for name in kept()},
            "roofs": {MULTIPLIERS: (2, 1), BANDWIDTH: (1, 2)},
            "runs": kept(),
        }

    return Widget("roofline", "layers under the roof of a machine", data, _points)


def _points() -> str:
    run = kept()["tpu-v1"]["mobilenet-v1"]
    rate, bandwidth = _limits("tpu-v1")
    rows = []
    for name, macs, moved, us, waits in run["layers"][:12]:
        roof = min(rate, macs / moved * bandwidth) if moved else rate
        rows.append(
            [
                name,
                f"{macs / moved:.1f}" if moved else "on chip",
                si(macs / us * 1e6),
                si(roof),
                waits,
            ]
        )
    table = text_table(
        ["layer", "per byte", "reached/s", "roof/s", "waits for"], rows, left=1, wrapped=LAST
    )
    return f"mobilenet-v1 on tpu-v1, its first layers:\n\n{table}"


def _gains(network: str) -> Table:
    rows, heads = [], list(next(iter(kept().values()))[network]["doubled"])
    for name in MACHINES:
        run = kept()[name][network]
        before = sum(layer[3] for layer in run["layers"])
        cells = [f"{before / sum(time for time, _ in run['doubled'][what]):.2f}x" for what in heads]
        rows.append([name, seconds_text(before / 1e6), *cells])
    short = [SHORT[head] for head in heads]
    title = (
        f"{load_workload(network).name}, batch 1: times as fast with each. Latency: of a GPU's "
        "launch, else of DRAM."
    )
    return Table(["machine", "time", *short], rows, title)


LESSONS.register("roofline")(Roofline())
