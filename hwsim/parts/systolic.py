"""A systolic array: rows x cols multiply-accumulate cells, operands stepping one cell a cycle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import ClassVar, Literal, get_args

from hwsim.describe.machine import PARTS, Compute, Memory
from hwsim.describe.reading import count, quantity, required
from hwsim.describe.units import DTYPE_BYTES

OwnDataflow = Literal["weight-stationary", "output-stationary", "input-stationary"]


@PARTS.register("systolic")
@dataclass(frozen=True)
class SystolicArray(Compute):
    """arrays: of rows x cols cells each, side by side. A product's columns are spread over them
    first; arrays that are left take a share of the vectors, with a copy of the weights.

    rates: share of the peak rate by operand dtype (TPU v1: int8 1, int16 0.25).

    preload_hidden: the next fold's stationary tile shifts in while this one computes
    (double-buffered cells). overlap_folds: a fold's first input enters right behind the last of the
    fold before it. drain: sums that stayed in the cells shift out through the cells below
    (output-stationary). partial_folds: 'real' when a fold smaller than the array takes only as long
    as its own rows and columns, or 'whole'. mac_stages: pipeline stages of a cell's
    multiply-accumulate. dataflows: what it runs when a user names none, the best of them; by
    default any of the three. diagonal: products of a batch, such as the channels of a depthwise
    layer, may lie beside each other, none in another's rows or columns; else one follows another.
    zeros: 'gating' when a product with a zero switches no multiplier; 'skipping' when blocks of
    weights as large as the array that are zero all over are left out, too.
    """

    kind: ClassVar[str] = "systolic"
    family: ClassVar[str] = "systolic"
    timing: ClassVar[str] = "systolic"
    rows: int = count()
    cols: int = count()
    rates: dict[str, float] = required()
    preload_hidden: bool = True
    overlap_folds: bool = True
    accumulator_bytes: int = count(default=4)
    arrays: int = count(default=1)
    drain: bool = True
    partial_folds: Literal["real", "whole"] = "real"
    mac_stages: int = count(default=1)
    dataflows: tuple[OwnDataflow, ...] = get_args(OwnDataflow)
    diagonal: bool = True
    zeros: Literal["multiplied", "gating", "skipping"] = "multiplied"
    mac_energy: float | None = quantity("energy_pj", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.dataflows:
            yield "dataflows", f"none; expected one or more of {', '.join(get_args(OwnDataflow))}"
        if not self.rates:
            yield "rates", "none; expected shares by data type, such as {int8: 1}"
        for dtype, rate in self.rates.items():
            if dtype not in DTYPE_BYTES:
                yield (
                    f"rates.{dtype}",
                    f"unknown data type; expected one of {', '.join(DTYPE_BYTES)}",
                )
            if rate > 1:
                yield f"rates.{dtype}", f"{rate:g} of the peak; expected at most 1"

    @property
    def dtypes(self) -> tuple[str, ...]:
        return tuple(self.rates)

    @property
    def own_dataflows(self) -> tuple[str, ...]:
        return self.dataflows

    def peak_macs_per_cycle(self, dtype: str) -> float:
        return self.rows * self.columns * self.rates[dtype]

    def with_twice_the_units(self) -> SystolicArray:
        return replace(self, arrays=self.arrays * 2)

    @property
    def columns(self) -> int:
        """Of all arrays."""
        return self.cols * self.arrays

    def wrong_way(self, memories: Sequence[Memory]) -> str | None:
        right = all(memory.kind == "scratchpad" and memory.per == "chip" for memory in memories)
        return (
            None if right and memories else "dram - one scratchpad or more of per: chip - the array"
        )

    @property
    def units(self) -> int:
        return self.arrays

    @property
    def axes(self) -> Mapping[str, int]:
        rows, columns = self.rows * self.arrays, self.columns
        return {
            "row": rows,
            "column": columns,
            "diagonal": min(self.rows, self.cols) * self.arrays,
            "set": rows * self.cols,
        }

    def on_diagonal(self, rows: int, columns: int) -> int:
        """Blocks of rows x columns cells, on all arrays, that share no row and no column.

        A block that is larger than an array takes several.
        """
        if not self.diagonal:
            return 1
        across = ceil(rows / self.rows) * ceil(columns / self.cols)
        if across > 1:
            return max(1, self.arrays // across)
        return self.arrays * min(self.rows // rows, self.cols // columns)

    def crowded(self, used: Mapping[str, int]) -> str:
        """Every array takes rows x cols neighbours at most, whichever axis goes on to the next.

        Blocks on a diagonal share no row and no column.
        """
        if used["diagonal"] > 1:
            most = self.on_diagonal(used["row"], used["column"])
            if used["diagonal"] * used["set"] <= most:
                return ""
            return (
                f"{used['diagonal'] * used['set']} blocks of {used['row']} x {used['column']} "
                f"neighbours on diagonals that take {most}"
            )
        if self.arrays == 1:
            return super().crowded(used)
        needed = ceil(used["row"] / self.rows) * ceil(used["column"] / self.cols) * used["set"]
        if needed <= self.arrays:
            return ""
        return (
            f"{used['row']} x {used['column']} neighbours on {self.arrays} arrays of "
            f"{self.rows} x {self.cols}"
        )
