"""A DRAM device: DDR4-3200 with half of its latencies."""

from dataclasses import replace

from hwsim.describe.dram import DEVICES

DEVICES.register("ddr9-3200")(
    replace(DEVICES["ddr4-3200"], read_latency=11, act_to_read=11, precharge=11, source="invented")
)
