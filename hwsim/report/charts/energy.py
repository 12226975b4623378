"""Energy of the whole network, run by run."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, dots, tips


@CHARTS.register("energy")
class EnergyDots:
    place = 50
    title = "Energy for one image"
    caption = "Multipliers, memories and DRAM; what a machine burns while idle is not in it."
    tables = ("runs",)
    scope: Scope = "all"

    def spec(self, shown: Shown) -> Spec:
        tooltip = tips(run="run", energy_mJ="mj:.4~g", average_W="watts:.4~g", type="dtype")
        return dots("mj", "millijoules", shown, tooltip)
