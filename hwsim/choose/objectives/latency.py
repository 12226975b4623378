"""The least time, in seconds."""

from hwsim.choose.objectives import OBJECTIVES, Objective
from hwsim.results.result import LayerResult


def _measure(result: LayerResult) -> float:
    return result.seconds


OBJECTIVES.register("latency")(Objective(_measure, "time", rank=0, has_start=True))
