"""The fewest bytes to and from DRAM."""

from hwsim.choose.objectives import OBJECTIVES, Objective
from hwsim.results.result import LayerResult


def _measure(result: LayerResult) -> float:
    return result.dram_bytes


OBJECTIVES.register("dram")(Objective(_measure, "DRAM bytes", rank=3))
