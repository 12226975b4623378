"""A compute part: a row of multipliers that all work on one output."""

from dataclasses import dataclass
from typing import ClassVar

from hwsim.describe.machine import PARTS, Compute
from hwsim.describe.reading import count


@PARTS.register("row_unit")
@dataclass(frozen=True)
class RowUnit(Compute):
    """lanes: multipliers, one product a cycle each."""

    kind: ClassVar[str] = "row_unit"
    family: ClassVar[str] = "row unit"
    timing: ClassVar[str] = "word-by-word"
    lanes: int = count()

    @property
    def dtypes(self) -> tuple[str, ...]:
        return ("int8",)

    def peak_macs_per_cycle(self, dtype: str) -> float:
        return float(self.lanes)
