"""A GPU's fused attention: a block of queries stays, keys and values stream past it.

par b, blocks of m:      blocks; Q of the block and its sums stay
  hold shared: Q O       tiles of K and V pass through
    par m on threads:
      for n:  O[m] += softmax(Q[m] . K[n]) * V[n]
"""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.ir.attention import is_fused_attention
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, tile_bytes

# Dao, FlashAttention-2, arXiv:2307.08691, section 3.3: blocks of 64 or 128 of either
QUERIES, FEW_QUERIES, KEYS = 128, 64, 64
THREAD_BYTES = 512  # of registers for a thread's operands


class FusedAttention:
    """Blocks of 128 queries, or of 64 where there are no more."""

    name = "fused-attention"
    summary = "a GPU's kernel of attention: queries stay, keys and values stream"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not is_fused_attention(stage):
            return "it is not attention in one kernel"
        if not isinstance(machine.compute, StreamingMultiprocessor):
            return "it needs streaming multiprocessors"
        return None

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        queries, keys = tile_of(stage)
        held, *streamed, sums = (tensor.name for tensor in stage.tensors)
        names = (held, *streamed, sums)
        shared = machine.only("scratchpad", "sm")
        sizes = {"b": 1, "m": 1, "n": stage.extents["n"]}
        of_thread = sum(tile_bytes(tensor, sizes) for tensor in stage.tensors)
        pieces = -(-of_thread // THREAD_BYTES)
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            Loop("b", 1, "block"),
            Loop("m", queries, "block"),
            Hold(shared, (held, sums), multicast=False),
            Hold(shared, tuple(streamed), multicast=False, pieces=-(-stage.extents["n"] // keys)),
            Loop("m", 1, "thread"),
            Hold(machine.only("registers"), names, multicast=False, pieces=pieces),
            *points(("n",)),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def tile_of(stage: Stage) -> tuple[int, int]:
    """(queries, keys) of a block's step."""
    extents = stage.extents
    queries = QUERIES if extents["m"] > FEW_QUERIES else FEW_QUERIES
    return min(queries, extents["m"]), min(KEYS, extents["n"])


DATAFLOWS.register("fused-attention")(_fused := FusedAttention())
_checked: Dataflow = _fused
