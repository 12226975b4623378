"""The register file: always explicit, filled by the compiler's or the PE's own loads."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from hwsim.describe.machine import PARTS, Memory
from hwsim.describe.reading import count, quantity


@PARTS.register("registers")
@dataclass(frozen=True)
class Registers(Memory):
    """capacity is per core, SM or PE. banks: equal parts of it, of which an access costs the energy
    of one."""

    kind: ClassVar[str] = "registers"
    per: Literal["core", "sm", "pe"] = "core"
    energy: float | None = quantity("energy_pj_per_byte", default=None)
    banks: int = count(default=1)
