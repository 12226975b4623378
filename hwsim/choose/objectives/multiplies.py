"""The fewest multiplications of data by data."""

from hwsim.choose.objectives import OBJECTIVES, Objective
from hwsim.results.result import LayerResult


def _measure(result: LayerResult) -> float:
    return result.operations.multiplies


OBJECTIVES.register("multiplies")(Objective(_measure, "multiplications", rank=2))
