"""The least energy, in pJ."""

from hwsim.choose.objectives import OBJECTIVES, Objective
from hwsim.results.result import LayerResult


def _measure(result: LayerResult) -> float:
    return sum(result.energy_pj.values())


OBJECTIVES.register("energy")(Objective(_measure, "energy", rank=1))
