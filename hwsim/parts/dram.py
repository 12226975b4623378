"""Main memory with a peak bandwidth shared by reads and writes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from hwsim.config import quantity
from hwsim.spec.machine import PARTS, Memory
from hwsim.units import Bandwidth, Duration


@PARTS.register("dram")
@dataclass(frozen=True)
class Dram(Memory):
    """capacity in bytes; bandwidth for reads and writes together; latency of a first word.

    technology: whose energy per bit is taken where `energy` gives none. compression: 'rlc' when feature maps whose density is
    stated cross the port run-length coded (hwsim.count.rlc).
    """

    kind: ClassVar[str] = "dram"
    management = "backing"
    bandwidth: Bandwidth = quantity("bandwidth")
    latency: Duration = quantity("duration")
    energy: float | None = quantity("energy_pj_per_byte", default=None)
    technology: Literal["ddr3", "ddr4", "lpddr3", "hbm2", "gddr6"] = "ddr3"
    compression: Literal["none", "rlc"] = "none"
