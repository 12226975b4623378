"""DRAM devices, one file a family: what their commands must keep apart, in clocks.

Times are in cycles of a device's command clock. They are read from three simulators' device tables,
which agree but where a row says otherwise: Ramulator and Ramulator 2 (CMU-SAFARI/ramulator,
CMU-SAFARI/ramulator2), DRAMsim3 (umd-memsys/DRAMsim3, configs/*.ini), gem5 (gem5/gem5,
src/mem/DRAMInterface.py) and DRAMSys (tukl-msd/DRAMSys, configs/memspec). JEDEC's own tables were
not opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.registry import Registry


@dataclass(frozen=True)
class DramTiming:
    """One channel (of HBM: one pseudo channel).

    Times in command clocks of clock_ns; row_bytes and bus_bytes of the channel.

    act_to_read tRCD, precharge tRP, act_to_precharge tRAS, act_to_act tRRD_S, four_acts tFAW,
    read_to_read tCCD_S between bank groups and tCCD_L within one, read_to_precharge tRTP,
    read_latency CL, refresh_every tREFI, refresh tRFC.
    """

    clock_ns: float
    bus_bytes: int
    burst: int
    banks: int
    groups: int
    row_bytes: int
    read_latency: int
    act_to_read: int
    precharge: int
    act_to_precharge: int
    act_to_act: int
    four_acts: int
    read_to_read: int
    read_to_read_in_group: int
    read_to_precharge: int
    refresh_every: int
    refresh: int
    source: str

    @property
    def burst_bytes(self) -> int:
        return self.bus_bytes * self.burst

    @property
    def peak_bytes_per_ns(self) -> float:
        """A channel's bursts back to back."""
        return self.burst_bytes / (self.read_to_read * self.clock_ns)


DEVICES: Registry[DramTiming] = Registry("DRAM device", "hwsim.describe.dram")
