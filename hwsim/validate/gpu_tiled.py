"""Hand-written CUDA products with stated tiles: hardware counters beside their nests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil
from typing import Any

from hwsim.count.closed_form import count
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.units import Duration
from hwsim.ir.convolution import gemm_stage
from hwsim.ir.nest import Code, Hold, Loop, Nest
from hwsim.ir.transform import drop_idle
from hwsim.ir.verify import verify_nest
from hwsim.parts.cache import Cache
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.timing import Run
from hwsim.timing.gpu.occupancy import room_for
from hwsim.validate import Pair

TILED = "tiled"
SECTOR_BYTES = 32
FP32 = "fp32"


class TiledGemm:
    """Rows are kernels; those that copy tiles to shared memory count.

    sm_loads: sectors of 32 bytes that leave the SMs. l2_to_sm_bytes: of them, what the first-level
    cache does not have. dram_bytes: read and written, but for what the L2 still has in the end.
    occupancy: threads of an SM on average over its waves, in percent. time: cycles of the SMs,
    without the call.
    """

    def __init__(self, machine: str, file: str) -> None:
        self.machine, self.file = machine, file
        self.summary = f"an {machine.upper()}'s counters of tiled CUDA products: loads, time"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine(self.machine)
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            if row["kernel"] != TILED:
                continue
            size, tile = _text(row, "M", "N", "K"), _text(row, "BM", "BN", "BK")
            name, groups = f"{number} {size} by {tile}", {"tile": tile}
            loads = sm_load_sectors(row, machine)
            yield Pair(name, "sm_loads", row["l1_global_load_sectors"], loads, groups)
            run = run_by_hand(row, machine)
            yield Pair(name, "time", row["sm_cycles"], run.cycles.total, groups)
            missed = row["l1_global_load_sectors"] - row["l1_global_load_hit_sectors"]
            yield Pair(name, "l2_to_sm_bytes", missed * SECTOR_BYTES, loads * SECTOR_BYTES, groups)
            measured = row["dram_read_bytes"] + row["dram_write_bytes"]
            accesses = run.accesses[machine.dram_name].values()
            moved = sum(access.read_bytes + access.write_bytes for access in accesses)
            yield Pair(name, "dram_bytes", measured, moved, groups)
            yield Pair(name, "occupancy", row["occupancy_pct"], occupancy(row, machine), groups)

    def remarks(self, data: Any) -> Iterator[str]:
        yield (
            "two constants of the time (next_load, copy_operations) are fitted to the 48 kernels "
            "of reference/h200_tiled_gemm.json: benchmarks/calibrate_by_hand.py, left out in five "
            "folds 11%; registers are the compiler's, as the rows say"
        )


def occupancy(row: Mapping[str, Any], machine: Machine) -> float:
    """Percent of an SM's threads that are there, averaged over waves of blocks."""
    sm: StreamingMultiprocessor = machine.part(machine.compute_name, StreamingMultiprocessor)
    nest = nest_of(row, machine)
    counts = count(nest)
    blocks = counts.instances[machine.only("scratchpad", "sm")]
    held = room_for(nest, machine, counts, None).blocks
    waves = blocks / (held * sm.sms)
    resident = ceil(blocks / sm.sms) if waves <= 1 else held * waves / ceil(waves)
    return float(100 * resident * row["block"] / sm.max_threads)


def _text(row: Mapping[str, Any], *names: str) -> str:
    return "x".join(str(row[name]) for name in names)


def nest_of(row: Mapping[str, Any], machine: Machine) -> Nest:
    """Blocks of BM x BN outputs, BK of the reduction at a time, TM x TN sums a thread.

    Registers are what the compiler reports of the kernel.
    """
    stage = replace(gemm_stage(GemmLayer(row["M"], row["N"], row["K"])), dtype=FP32)
    items = (
        Hold(machine.dram_name, ("A", "B", "C")),
        Loop("m", min(row["BM"], row["M"]), "block"),
        Loop("n", min(row["BN"], row["N"]), "block"),
        Loop("k", min(row["BK"], row["K"])),
        Hold(machine.only("scratchpad", "sm"), ("A", "B"), multicast=False),
        Loop("m", row["TM"], "thread"),
        Loop("n", row["TN"], "thread"),
        Loop("k", 1),
        Hold(machine.only("registers"), ("A", "B", "C"), multicast=False),
        Loop("m", 1),
        Loop("n", 1),
    )
    code = Code(registers=row.get("registers_per_thread", 0))
    return verify_nest(Nest(stage, drop_idle(stage, items), code=code))


def sm_load_sectors(row: Mapping[str, Any], machine: Machine) -> float:
    """Sectors that the blocks load: M N K (1/BM + 1/BN) words for whole tiles."""
    nest = nest_of(row, machine)
    served = sum(count(nest).of(machine.dram_name, name).serves for name in ("A", "B"))
    return served * nest.stage.output.width / SECTOR_BYTES


def run_by_hand(row: Mapping[str, Any], machine: Machine) -> Run:
    """The kernel as its blocks run, on a machine whose calls take no time; the L2 stays dirty."""
    from hwsim.timing.gpu.blocks import run_on_blocks
    from hwsim.timing.gpu.l2 import L2Buffers

    sm, name = machine.part(machine.compute_name, StreamingMultiprocessor), machine.only("cache")
    uncalled = replace(sm, launch=Duration(0.0, True))
    machine = replace(machine, parts={**machine.parts, machine.compute_name: uncalled})
    l2 = machine.part(name, Cache)
    chain = L2Buffers(name, l2.capacity, l2.line)
    return run_on_blocks(nest_of(row, machine), machine, FP32, chain, last=False)
