"""LPDDR4: a channel of two bytes, bursts of sixteen."""

from hwsim.describe.dram import DEVICES, DramTiming

DEVICES.register("lpddr4-3200")(
    DramTiming(
        clock_ns=0.625,
        bus_bytes=2,
        burst=16,
        banks=8,
        groups=1,
        row_bytes=2048,
        read_latency=31,
        act_to_read=29,
        precharge=29,
        act_to_precharge=68,
        act_to_act=16,
        four_acts=64,
        read_to_read=8,
        read_to_read_in_group=8,
        read_to_precharge=12,
        refresh_every=6246,
        refresh=448,
        source="8 Gb a channel: DRAMSys JEDEC_512Mbx16_LPDDR4-3200, CL 28 and tDQSCK 3; all-bank "
        "refresh",
    )
)
