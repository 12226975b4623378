"""Systolic arrays: filling, draining, and what stays still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from hwsim.api import simulate
from hwsim.describe.layer import GemmLayer
from hwsim.describe.units import seconds_text, size_text
from hwsim.oracle.registers import step_product
from hwsim.report.tables import main_stall
from hwsim.report.text_table import text_table
from hwsim.teach import LESSONS
from hwsim.teach.content import Code, Command, Problem, Step, Table, Widget
from hwsim.timing.systolic.folds import FoldRules, Stays

STAYS: dict[Stays, str] = {"ws": "weights", "os": "outputs", "is": "inputs"}
DATAFLOWS = {"ws": "weight-stationary", "os": "output-stationary", "is": "input-stationary"}
READ = ("buffer", "weights", "sums")
LARGEST, CELLS = 8, 4  # rows of A in the animation; rows and columns of the array
CELL = """\
each cycle, in every cell:
  x from the left neighbour, y from the neighbour above
  weights or inputs stay:  send down  y + x * stays
  outputs stay:            stays += x * y, send down y
  send x to the right"""


class Systolic:
    """An array that fills, works and drains, with real values in its cells."""

    title = "Systolic arrays"
    question = "How does a chip multiply 65,536 pairs a cycle and read only 256 words of each?"
    place = 7
    topics: ClassVar[dict[str, int]] = {
        "tensor units": 1,
        "weight-, output-, input-stationary": 4,
        "batch size": 5,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "One cell, and its neighbours",
            "A cell multiplies, adds, and passes on. A word that enters at the left is used by "
            "every cell of its row, one cycle after the other. Only the edge of the array reads "
            "a memory: **r + c words a cycle feed r x c multipliers**.",
            (Code(CELL),),
        )
        yield Step(
            "Watch it fill and drain",
            "Choose what stays and step through the cycles. Vectors enter skewed: row 2 a cycle "
            "after row 1, so that each sum meets its next product on time. Shaded cells "
            "multiply. At first and at last few do. Left of the array are the words of the next "
            "four cycles.",
            (_array(),),
        )
        yield Step(
            "The cost of the corners",
            "With weights staying, r cycles shift the tile in. The first vector needs r + c - 1 "
            "cycles, each further one a cycle more. So a long stream hides the corners, a short "
            "one is all corners. The registers of a 4 x 4 array, stepped one by one:",
            (_corners(),),
        )
        yield Step(
            "What should stay?",
            "A tile that stays is read once for each fold, which is each time that the array is "
            "filled anew. What moves is read for every fold that it passes. The sizes of "
            "memories decide how long a fold can be: toy-systolic's weight memory holds 64 "
            "bytes. So with outputs staying, long reductions go on by 4 at a time and sums leave "
            "in between, and with weights staying, they come again for every few rows. Which is "
            "fastest depends on the shape: on what DRAM has to bring, and on how often a new "
            "tile shifts in.",
            (
                _dataflows(),
                Command("hwsim run toy-systolic gemm:64,16,32 --dataflow output-stationary"),
            ),
        )
        yield Step(
            "The batch makes the array worth it",
            "A layer of 4096 x 4096 weights on TPU v1. Every weight must come from DRAM once; "
            "the more rows pass it meanwhile, the busier the cells. Up to some 1,350 rows DRAM "
            "is what takes the time, whatever the array could do. At 4,096 rows maps and sums no "
            "longer fit the chip together, so the weights come twice, and the maps travel too. "
            "*Waits for* is the share of the time that a resource (here the DRAM, and B, the "
            "weights) costs beyond computing.",
            (_batches(), Command("hwsim run tpu-v1 gemm:256,4096,4096")),
        )

    def problems(self) -> tuple[Problem, ...]:
        return (
            Problem(
                "An array of 4 x 4 has weights that stay, shifted in before the first vector. "
                "How many cycles does it take for 100 rows of inputs? What share of its cells is "
                "used?",
                "4 to shift in, 100 + 4 + 4 - 2 = 106 until the last sum has left: 110 cycles. "
                "There are 100 x 16 multiplications, so 1600 / (110 x 16) = 91% of the cells are "
                "used. A second register in each cell hides the 4 cycles of the next tile.",
            ),
            Problem(
                "TPU v1 reads 34 GB/s of weights of one byte and multiplies 65,536 pairs a cycle "
                "at 700 MHz. How many rows must use each weight before the array, not the "
                "memory, is the limit?",
                "The array can use 65,536 x 0.7 = 45,875 G weights a second, if each is used "
                "once. The memory brings 34 G. So each weight must be used 45,875 / 34 = 1,350 "
                "times: a batch of 1,350 rows.",
            ),
        )


def _operands() -> tuple[list[list[int]], list[list[int]]]:
    dice = np.random.default_rng(7)
    return dice.integers(1, 6, (LARGEST, CELLS)).tolist(), dice.integers(
        1, 6, (CELLS, CELLS)
    ).tolist()


def _array() -> Widget:
    def data() -> dict[str, Any]:
        a, b = _operands()
        return {"a": a, "b": b, "rows": [1, 2, 3, 4, 6, LARGEST], "cells": CELLS}

    return Widget("systolic", "a systolic array, cycle by cycle", data, _stepped)


def _stepped() -> str:
    a, b = (np.array(side, float) for side in _operands())
    rows = []
    for stays, name in STAYS.items():
        stepped = step_product(a[:CELLS], b, stays, CELLS, CELLS, FoldRules())
        used = stepped.products / (stepped.cycles * CELLS * CELLS)
        rows.append([f"{name} stay", f"{stepped.cycles}", f"{stepped.products}", f"{used:.0%}"])
    table = text_table(
        ["4 x 4 times 4 x 4", "cycles", "multiplications", "cells used"], rows, left=1
    )
    return f"every register stepped, on an array of 4 x 4:\n\n{table}"


def _corners() -> Table:
    rows = []
    dice = np.random.default_rng(0)
    for stream in (1, 4, 16, 64, 256):
        a, b = dice.normal(size=(stream, CELLS)), dice.normal(size=(CELLS, CELLS))
        stepped = step_product(a, b, "ws", CELLS, CELLS, FoldRules())
        used = stepped.products / (stepped.cycles * CELLS * CELLS)
        rows.append(
            [
                f"{stream}",
                f"{CELLS} + {stream} + {2 * CELLS - 2}",
                f"{stepped.cycles}",
                f"{used:.0%}",
            ]
        )
    return Table(["rows that pass", "formula", "cycles stepped", "cells used"], rows, left=0)


def _dataflows() -> Table:
    rows = []
    for m, n, k in ((64, 16, 32), (16, 16, 256), (256, 8, 8)):
        for stays, name in STAYS.items():
            layer = simulate(
                GemmLayer(m, n, k), "toy-systolic", "direct", dataflow=DATAFLOWS[stays]
            ).layers[0]
            reads = {
                level: sum(side.reads for side in layer.accesses[level].values()) for level in READ
            }
            rows.append(
                [
                    f"{m} x {n} x {k}" if stays == "ws" else "",
                    name,
                    f"{layer.cycles.total:,.0f}",
                    *(f"{reads[level]:,}" for level in READ),
                    f"{layer.dram_bytes:,}",
                ]
            )
    head = ["M x N x K", "stay", "cycles", *(f"{level} read" for level in READ), "DRAM bytes"]
    return Table(
        head,
        rows,
        "Words read from each memory, with the tiles that each dataflow chooses.",
        left=2,
    )


def _batches() -> Table:
    rows = []
    for batch in (1, 16, 256, 1024, 4096):
        layer = simulate(GemmLayer(batch, 4096, 4096), "tpu-v1").layers[0]
        rows.append(
            [
                f"{batch}",
                size_text(layer.dram_bytes),
                seconds_text(layer.seconds),
                f"{layer.utilization:.1%}",
                main_stall(layer),
            ]
        )
    return Table(
        ["batch", "DRAM", "time", "cells used", "waits for"],
        rows,
        "TPU v1, one layer in int8.",
        left=0,
    )


LESSONS.register("systolic")(Systolic())
