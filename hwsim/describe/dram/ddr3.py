"""DDR3: eight banks, one group."""

from hwsim.describe.dram import DEVICES, DramTiming

DEVICES.register("ddr3-1600")(
    DramTiming(
        clock_ns=1.25,
        bus_bytes=8,
        burst=8,
        banks=8,
        groups=1,
        row_bytes=8192,
        read_latency=11,
        act_to_read=11,
        precharge=11,
        act_to_precharge=28,
        act_to_act=5,
        four_acts=24,
        read_to_read=4,
        read_to_read_in_group=4,
        read_to_precharge=6,
        refresh_every=6240,
        refresh=208,
        source="11-11-11, 4 Gb x8: Ramulator 2, DRAMsim3 DDR3_4Gb_x8_1600, gem5 DDR3_1600_8x8 "
        "agree",
    )
)

DEVICES.register("ddr3-2133")(
    DramTiming(
        clock_ns=0.9375,
        bus_bytes=8,
        burst=8,
        banks=8,
        groups=1,
        row_bytes=8192,
        read_latency=14,
        act_to_read=14,
        precharge=14,
        act_to_precharge=36,
        act_to_act=6,
        four_acts=27,
        read_to_read=4,
        read_to_read_in_group=4,
        read_to_precharge=8,
        refresh_every=8320,
        refresh=278,
        source="14-14-14, 4 Gb x8: gem5 DDR3_2133_8x8, Ramulator DDR3_2133_14 (tRRD 5 there)",
    )
)
