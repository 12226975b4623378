"""DDR4: sixteen banks in four groups."""

from hwsim.describe.dram import DEVICES, DramTiming

DEVICES.register("ddr4-2400")(
    DramTiming(
        clock_ns=1 / 1.2,
        bus_bytes=8,
        burst=8,
        banks=16,
        groups=4,
        row_bytes=8192,
        read_latency=17,
        act_to_read=17,
        precharge=17,
        act_to_precharge=39,
        act_to_act=4,
        four_acts=26,
        read_to_read=4,
        read_to_read_in_group=6,
        read_to_precharge=9,
        refresh_every=9360,
        refresh=420,
        source="17-17-17, 8 Gb x8: DRAMsim3 DDR4_8Gb_x8_2400, gem5 DDR4_2400_8x8 (tRFC 360 ns in "
        "Ramulator 2)",
    )
)

DEVICES.register("ddr4-3200")(
    DramTiming(
        clock_ns=0.625,
        bus_bytes=8,
        burst=8,
        banks=16,
        groups=4,
        row_bytes=8192,
        read_latency=22,
        act_to_read=22,
        precharge=22,
        act_to_precharge=52,
        act_to_act=4,
        four_acts=34,
        read_to_read=4,
        read_to_read_in_group=8,
        read_to_precharge=12,
        refresh_every=12480,
        refresh=560,
        source="22-22-22, 8 Gb x8: DRAMsim3 DDR4_8Gb_x8_3200 (tRFC 360 ns in Ramulator 2)",
    )
)
