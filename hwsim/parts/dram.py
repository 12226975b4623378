"""Main memory with a peak bandwidth shared by reads and writes."""

from dataclasses import dataclass
from typing import ClassVar

from hwsim.config import quantity
from hwsim.spec.machine import PARTS, Memory
from hwsim.units import Bandwidth, Duration


@PARTS.register("dram")
@dataclass(frozen=True)
class Dram(Memory):
    """capacity in bytes; bandwidth for reads and writes together; latency of a first word."""

    kind: ClassVar[str] = "dram"
    management = "backing"
    bandwidth: Bandwidth = quantity("bandwidth")
    latency: Duration = quantity("duration")
    energy: float | None = quantity("energy_pj_per_byte", default=None)
