"""A GPU's fused attention: a block of queries stays, keys and values stream past it.

par b, blocks of m:      blocks; Q of the block stays
  hold shared: Q K V     tiles of K and V pass through
    par m on warps:      whose sums stay in their registers; each reads all of K and V
      for m, n:  O[m] += softmax(Q[m] . K[n]) * V[n]
"""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.describe.units import whole_bytes
from hwsim.errors import HwsimError
from hwsim.ir.attention import head_width, is_fused_attention
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.sm import GROUP, StreamingMultiprocessor
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, tile_bytes

# Dao, FlashAttention-2, arXiv:2307.08691, section 3.3: blocks of 64 or 128 of either
QUERIES, FEW_QUERIES, KEYS, FEWEST_KEYS = 128, 64, 64, 16
WARP_QUERIES = 32  # of a block's queries, of one warp: four warps of 128
WARP_BYTES = 8192  # of registers for a warp's operands, beside its sums


class FusedAttention:
    """Blocks of 128 queries, or of 64 where there are no more or no more fit."""

    name = "fused-attention"
    summary = "a GPU's kernel of attention: queries stay, keys and values stream"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not is_fused_attention(stage):
            return "it is not attention in one kernel"
        if not isinstance(machine.compute, StreamingMultiprocessor):
            return "it needs streaming multiprocessors"
        try:
            tile_of(stage, machine)
        except HwsimError as error:
            return str(error)
        return None

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        queries, keys = tile_of(stage, machine)
        held, *streamed, sums = (tensor.name for tensor in stage.tensors)
        shared, registers = machine.only("scratchpad", "sm"), machine.only("registers")
        warp = min(WARP_QUERIES, queries)
        sizes = {"b": 1, "m": warp, "n": stage.extents["n"]}
        operands = sum(tile_bytes(tensor, sizes) for tensor in stage.inputs)
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            Loop("b", 1, "block"),
            Loop("m", queries, "block"),
            Hold(shared, (held,), multicast=False),
            Hold(shared, tuple(streamed), multicast=False, pieces=-(-stage.extents["n"] // keys)),
            Loop("m", warp, GROUP),
            Hold(registers, (sums,), multicast=False),
            Hold(
                registers,
                (held, *streamed),
                multicast=False,
                pieces=-(-operands // WARP_BYTES),
            ),
            *points(("m", "n")),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def tile_of(stage: Stage, machine: Machine) -> tuple[int, int]:
    """(queries, keys) of a block's step: the most that shared memory has room for.

    It holds the queries' rows, and those of a tile of keys and of values. Raises HwsimError where
    not even the smallest fits.
    """
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    wanted = QUERIES if stage.extents["m"] > FEW_QUERIES else FEW_QUERIES
    most, keys = min(wanted, stage.extents["m"]), min(KEYS, stage.extents["n"])
    for queries in dict.fromkeys((most, min(FEW_QUERIES, most))):
        tile = (queries, keys)
        while tile[1] > FEWEST_KEYS and shared_bytes(stage, tile) > sm.shared_per_block:
            tile = (queries, tile[1] // 2)
        if shared_bytes(stage, tile) <= sm.shared_per_block:
            return tile
    raise HwsimError(f"rows of {head_width(stage)} words are too long for a block's shared memory")


def shared_bytes(stage: Stage, tile: tuple[int, int]) -> int:
    """What a block of such a tile takes of shared memory."""
    queries, keys = tile
    return (queries + 2 * keys) * whole_bytes(head_width(stage) * stage.output.width)


DATAFLOWS.register("fused-attention")(_fused := FusedAttention())
_checked: Dataflow = _fused
