"""An array of processing elements with small scratchpads, fed by multicast buses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from hwsim.describe.machine import PARTS, Compute, Memory, Role
from hwsim.describe.reading import choice, count, quantity
from hwsim.describe.units import DTYPE_BYTES, Bandwidth


@PARTS.register("pe_array")
@dataclass(frozen=True)
class PeArray(Compute):
    """rows x cols PEs of one multiply-accumulate a cycle; one bus per tensor from the buffer to the
    array.

    zeros: 'gating' when a product with a zero operand takes its cycle but switches no multiplier
    and reads no filter from the PE's scratchpad.
    """

    kind: ClassVar[str] = "pe_array"
    family: ClassVar[str] = "spatial"
    timing: ClassVar[str] = "spatial"
    rows: int = count()
    cols: int = count()
    supported: tuple[str, ...] = choice(tuple(DTYPE_BYTES))
    activation_bus: Bandwidth = quantity("bandwidth")
    weight_bus: Bandwidth = quantity("bandwidth")
    output_bus: Bandwidth = quantity("bandwidth")
    accumulator_bytes: int = count(default=2)
    zeros: Literal["multiplied", "gating"] = "multiplied"
    mac_energy: float | None = quantity("energy_pj", default=None)

    def with_twice_the_units(self) -> PeArray:
        return replace(self, cols=self.cols * 2)

    @property
    def busses(self) -> dict[Role, Bandwidth]:
        """The bus of every role."""
        return {
            "activation": self.activation_bus,
            "weight": self.weight_bus,
            "output": self.output_bus,
        }

    @property
    def columns(self) -> int:
        return self.cols

    @property
    def own_dataflows(self) -> tuple[str, ...]:
        return ("weight-stationary",)

    def wrong_way(self, memories: Sequence[Memory]) -> str | None:
        scratchpads = all(memory.kind == "scratchpad" for memory in memories)
        if scratchpads and memories and memories[0].per == "chip":
            return None
        return "dram - a scratchpad of per: chip - more of them or of per: pe - the array"

    @property
    def units(self) -> int:
        return self.rows * self.cols

    @property
    def dtypes(self) -> tuple[str, ...]:
        return self.supported

    def peak_macs_per_cycle(self, dtype: str) -> float:
        return self.rows * self.cols
