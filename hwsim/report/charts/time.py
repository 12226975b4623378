"""Time of the whole network, run by run."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, dots, tips


@CHARTS.register("time")
class Time:
    place = 10
    title = "Time for one image"
    caption = "Layer after layer. A step to the right is a factor: the scale is logarithmic."
    tables = ("runs",)
    scope: Scope = "all"

    def spec(self, shown: Shown) -> Spec:
        tooltip = tips(run="run", time_ms="ms:.4~g", images_a_second="images:.4~g", type="dtype")
        return dots("ms", "milliseconds", shown, tooltip)
