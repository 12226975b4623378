"""What a layer must move whatever its algorithm and schedule: each word once."""

from __future__ import annotations

from functools import lru_cache

from hwsim.count.closed_form import touched_together
from hwsim.ir.stage import Plan


def compulsory_of(
    reference: Plan, plan: Plan, kept: tuple[str, ...] = (), found: float = 0.0, stays: float = 0.0
) -> int:
    """What a layer must move whatever its algorithm: its feature maps and weights.

    Maps are those of its direct plan, weights of that or of its own.

    Factors may be smaller than the filters that they stand for; maps are what the layer is given
    and gives. found, stays: shares of them that are on the chip when it begins, and when it ends.
    """
    others = (*kept, "activation", "output")
    # a plan that copies its filters first has none that come as weights
    sizes = [compulsory_bytes(each, others) for each in (reference, plan)]
    weights = min((size for size in sizes if size), default=0)
    read = compulsory_bytes(reference, (*kept, "weight", "output"))
    written = compulsory_bytes(reference, (*kept, "weight", "activation"))
    return weights + int(read * (1 - found)) + int(written * (1 - stays))


@lru_cache(maxsize=4096)
def compulsory_bytes(plan: Plan, kept: tuple[str, ...] = ()) -> int:
    """Every distinct word that comes or goes, once.

    kept: roles of tensors that are left out, as they stay on the chip.
    """
    stages = tuple(stage for stage in plan.stages if not stage.offline)
    widths = {
        tensor.name: tensor.width
        for stage in stages
        for tensor in stage.tensors
        if tensor.buffer not in plan.temporaries and tensor.role not in kept
    }
    words = touched_together(stages, widths)
    coded = {tensor.buffer: tensor.coded for stage in stages for tensor in stage.tensors}
    return sum(int(words[name] * width * coded[name]) for name, width in widths.items())
