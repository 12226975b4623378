"""Main memory: a peak bandwidth, or a device's channels with rows, banks and refresh.

Reads and writes share the bandwidth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from hwsim.describe.dram import DEVICES, DramTiming
from hwsim.describe.formats import FORMATS
from hwsim.describe.machine import PARTS, Memory, Role
from hwsim.describe.reading import count, quantity
from hwsim.describe.units import Bandwidth, Duration
from hwsim.errors import nearest


@PARTS.register("dram")
@dataclass(frozen=True)
class Dram(Memory):
    """capacity in bytes; bandwidth for reads and writes together; latency of a first word.

    timing: a device of hwsim.describe.dram, `channels` of which make up the bandwidth; without it,
    the bandwidth is always reached. ports: 'shared' by all tensors, or a 'separate' one of the
    whole bandwidth for each. burst: transfers are whole bursts of so many bytes.

    technology: whose energy per bit is taken where `energy` gives none; without either one is
    assumed, and runs say so. compression: the format (hwsim.describe.formats) in which tensors
    whose density is stated cross the port. compresses: which of them.
    """

    kind: ClassVar[str] = "dram"
    management = "backing"
    bandwidth: Bandwidth = quantity("bandwidth")
    latency: Duration = quantity("duration")
    energy: float | None = quantity("energy_pj_per_byte", default=None)
    technology: Literal["ddr3", "ddr4", "lpddr3", "hbm2", "gddr6"] | None = None
    compression: str = "none"
    compresses: tuple[Role, ...] = ("activation", "output")
    timing: str | None = None
    channels: int = count(default=1)
    ports: Literal["shared", "separate"] = "shared"
    burst: int = quantity("bytes", default=1)

    @property
    def device(self) -> DramTiming | None:
        return None if self.timing is None else DEVICES[self.timing]

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.compression != "none" and self.compression not in FORMATS:
            known = ", ".join(("none", *FORMATS))
            yield (
                "compression",
                f"{self.compression!r}{nearest(self.compression, FORMATS)}; expected one of "
                f"{known}",
            )
        if self.timing is not None and self.timing not in DEVICES:
            yield (
                "timing",
                f"{self.timing!r}{nearest(self.timing, DEVICES)}; expected one of "
                f"{', '.join(DEVICES)}",
            )
        elif self.device is not None and not self.bandwidth.per_cycle:
            peak = self.channels * self.device.peak_bytes_per_ns * 1e9
            if abs(self.bandwidth.value / peak - 1) > 0.02:
                yield (
                    "bandwidth",
                    f"{self.bandwidth}; {self.channels} channels of {self.timing} have "
                    f"{peak / 1e9:.4g} GB/s",
                )
        elif self.device is not None:
            yield "bandwidth", f"{self.bandwidth}; expected GB/s beside a timing"
