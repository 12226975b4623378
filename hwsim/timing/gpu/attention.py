"""Time of a GPU's fused attention, in closed form.

    a block's step of q queries and k keys, q k pairs =
        products        2 d of a pair, at what mma.sync reaches
      + operands        K and V, read out of shared memory by each of the block's warps
      + exponentials    one of a pair, at the special function units' rate
      + scalars         scale and subtract, maximum, sum, conversion of a pair, on the CUDA cores

The phases of a step follow each other, as each needs the one before, and blocks on an SM do not
fill each other's gaps: FlashAttention-2 reaches about a third of an H100's peak (Shah et al. 2024,
arXiv:2407.08608, section 1). Nothing here is fitted to times of attention.
"""

from __future__ import annotations

from math import ceil

from hwsim.describe.machine import Machine
from hwsim.ir.attention import head_width
from hwsim.ir.nest import Nest
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import Cycles
from hwsim.schedule.dataflows.fused_attention import (
    FEW_QUERIES,
    QUERIES,
    WARP_QUERIES,
    tile_of,
)
from hwsim.timing.gpu.kernel_time import Chip, slower_port

EXPONENTIALS = 16  # a cycle and SM: NVIDIA, CUDA C++ guide, throughput of special functions
SCALARS = 4  # of a pair, on the CUDA cores
# mma.sync of what wgmma reaches: 1330 products a cycle and SM, reference/h200_micro.json, of the
# 1893 of the machine's tensor_macs_per_cycle; see Luo et al. 2024, arXiv:2402.13499
MMA_SHARE = 0.70
FILLS = 2  # waits for DRAM of a block before its first step: for its queries, then for keys


def attention_cycles(
    nest: Nest, machine: Machine, dtype: str, l2_bytes: float, dram_bytes: float
) -> Cycles:
    """Cycles of one call of fused attention.

    With too few blocks for the SMs, keys are split among more of them, and a second call adds the
    parts.
    """
    sm, chip, stage = machine.compute, Chip.of(machine), nest.stage
    assert isinstance(sm, StreamingMultiprocessor)
    extents, width = stage.extents, head_width(stage)
    queries, keys = tile_of(stage, machine)
    rows = QUERIES if queries > FEW_QUERIES else FEW_QUERIES  # idle ones are computed, too
    blocks = extents["b"] * ceil(extents["m"] / queries)
    pairs = rows * ceil(extents["n"] / keys) * keys
    seen = stage.effectual / stage.operations.multiplies
    if seen < 1:  # tiles that are masked whole are left out, those on the diagonal are not
        seen = min(1.0, seen + keys / extents["n"] / 2)
    word = stage.output.width
    each = {
        "products": 2 * width / _products_a_cycle(sm, dtype),
        "operands": 2 * width * word / WARP_QUERIES / chip.shared_bandwidth,
        "exponentials": 1 / EXPONENTIALS,
        "scalars": SCALARS / sm.vector_ops_per_cycle_per_sm("fp32"),
    }
    split = blocks < sm.sms and rows == FEW_QUERIES
    busiest = blocks / sm.sms if split else ceil(blocks / sm.sms)
    work = {name: busiest * pairs * seen * cycles for name, cycles in each.items()}
    fill = FILLS * chip.dram_latency * (1 if split else busiest)
    moving, port = slower_port(machine, chip, l2_bytes, dram_bytes)
    launches = (2 if split else 1) * sm.launch.cycles(machine.clock_hz)
    whole = sum(work.values()) + fill
    ideal = stage.effectual / sm.sms / sm.macs_per_cycle_per_sm(dtype)
    if moving > whole:
        return Cycles(ideal, {port: moving - ideal, "kernel launch": launches})
    shared = machine.only("scratchpad", "sm")
    stalls = {
        "older tensor instructions": max(0.0, work["products"] - ideal),
        shared: work["operands"],
        "exponentials": work["exponentials"] + work["scalars"],
        "fill and drain": fill,
        "kernel launch": launches,
    }
    return Cycles(min(ideal, work["products"]), {n: c for n, c in stalls.items() if c > 0})


def _products_a_cycle(sm: StreamingMultiprocessor, dtype: str) -> float:
    """Of an SM by mma.sync: less than its peak where groups may multiply out of shared memory."""
    library = sm.library
    assert library is not None
    newer = any(family.from_shared for family in library.families.values())
    return sm.macs_per_cycle_per_sm(dtype) * (MMA_SHARE if newer else 1.0)
