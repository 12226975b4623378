"""Which parts of the machine take the energy of every layer."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, stacks, tips


@CHARTS.register("energy-parts")
class EnergyParts:
    place = 70
    title = "Where the energy goes"
    caption = "Energy of each layer by the part of the machine that takes it."
    tables = ("energy",)
    scope: Scope = "run"

    def spec(self, shown: Shown) -> Spec:
        tooltip = tips(layer="layer", part="part", energy_mJ="mj:.4~g")
        return stacks("energy", "mj", "part", "millijoules", tooltip)
