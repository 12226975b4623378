"""HBM: pseudo channels of a stack."""

from hwsim.describe.dram import DEVICES, DramTiming

DEVICES.register("hbm2-2000")(
    DramTiming(
        clock_ns=1.0,
        bus_bytes=8,
        burst=4,
        banks=16,
        groups=4,
        row_bytes=1024,
        read_latency=14,
        act_to_read=14,
        precharge=14,
        act_to_precharge=34,
        act_to_act=4,
        four_acts=15,
        read_to_read=2,
        read_to_read_in_group=4,
        read_to_precharge=5,
        refresh_every=3900,
        refresh=260,
        source="4 Gb a pseudo channel: Ramulator 2 HBM2_2000Mbps; DRAMsim3 HBM2_8Gb_x128 has "
        "tCCD_L 2, tFAW 30",
    )
)

DEVICES.register("hbm3-6400")(
    DramTiming(
        clock_ns=0.625,
        bus_bytes=4,
        burst=8,
        banks=16,
        groups=4,
        row_bytes=1024,
        read_latency=20,
        act_to_read=31,
        precharge=26,
        act_to_precharge=45,
        act_to_act=4,
        four_acts=24,
        read_to_read=2,
        read_to_read_in_group=4,
        read_to_precharge=9,
        refresh_every=6240,
        refresh=560,
        source="8 Gb a channel: Ramulator 2 HBM3_6400Mbps; vendors' row timings are not public, "
        "others differ by a third",
    )
)
