"""DRAM timing: what a device's commands must keep apart, in cycles of its command clock, one row a device.

Read from three simulators' device tables, which agree but where a row says otherwise: Ramulator and Ramulator 2
(CMU-SAFARI/ramulator, CMU-SAFARI/ramulator2), DRAMsim3 (umd-memsys/DRAMsim3, configs/*.ini), gem5 (gem5/gem5,
src/mem/DRAMInterface.py) and DRAMSys (tukl-msd/DRAMSys, configs/memspec). JEDEC's own tables were not opened.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DramTiming:
    """One channel (of HBM: one pseudo channel). Times in command clocks of clock_ns; row_bytes and bus_bytes of the channel.

    act_to_read tRCD, precharge tRP, act_to_precharge tRAS, act_to_act tRRD_S, four_acts tFAW, read_to_read tCCD_S between bank
    groups and tCCD_L within one, read_to_precharge tRTP, read_latency CL, refresh_every tREFI, refresh tRFC.
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


TIMINGS: dict[str, DramTiming] = {
    "ddr3-1600": DramTiming(1.25, 8, 8, 8, 1, 8192, 11, 11, 11, 28, 5, 24, 4, 4, 6, 6240, 208,
                            "11-11-11, 4 Gb x8: Ramulator 2, DRAMsim3 DDR3_4Gb_x8_1600, gem5 DDR3_1600_8x8 agree"),
    "ddr3-2133": DramTiming(0.9375, 8, 8, 8, 1, 8192, 14, 14, 14, 36, 6, 27, 4, 4, 8, 8320, 278,
                            "14-14-14, 4 Gb x8: gem5 DDR3_2133_8x8, Ramulator DDR3_2133_14 (tRRD 5 there)"),
    "ddr4-2400": DramTiming(1 / 1.2, 8, 8, 16, 4, 8192, 17, 17, 17, 39, 4, 26, 4, 6, 9, 9360, 420,
                            "17-17-17, 8 Gb x8: DRAMsim3 DDR4_8Gb_x8_2400, gem5 DDR4_2400_8x8 (tRFC 360 ns in Ramulator 2)"),
    "ddr4-3200": DramTiming(0.625, 8, 8, 16, 4, 8192, 22, 22, 22, 52, 4, 34, 4, 8, 12, 12480, 560,
                            "22-22-22, 8 Gb x8: DRAMsim3 DDR4_8Gb_x8_3200 (tRFC 360 ns in Ramulator 2)"),
    "lpddr4-3200": DramTiming(0.625, 2, 16, 8, 1, 2048, 31, 29, 29, 68, 16, 64, 8, 8, 12, 6246, 448,
                              "8 Gb a channel: DRAMSys JEDEC_512Mbx16_LPDDR4-3200, CL 28 and tDQSCK 3; all-bank refresh"),
    "hbm2-2000": DramTiming(1.0, 8, 4, 16, 4, 1024, 14, 14, 14, 34, 4, 15, 2, 4, 5, 3900, 260,
                            "4 Gb a pseudo channel: Ramulator 2 HBM2_2000Mbps; DRAMsim3 HBM2_8Gb_x128 has tCCD_L 2, tFAW 30"),
    "hbm3-6400": DramTiming(0.625, 4, 8, 16, 4, 1024, 20, 31, 26, 45, 4, 24, 2, 4, 9, 6240, 560,
                            "8 Gb a channel: Ramulator 2 HBM3_6400Mbps; vendors' row timings are not public, others differ by a third"),
}
