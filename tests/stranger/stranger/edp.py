"""An objective: energy times delay."""

from hwsim.choose.objectives import OBJECTIVES, Objective

OBJECTIVES.register("edp")(
    Objective(lambda result: sum(result.energy_pj.values()) * result.seconds, "energy x delay")
)
