"""Where the time of every layer goes."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, stacks, tips


@CHARTS.register("causes")
class Causes:
    place = 40
    title = "Where the time goes"
    caption = (
        "Computing is time in which the array or the cores work, however full they are. "
        "The rest is waiting, named after what has to be faster."
    )
    tables = ("causes",)
    scope: Scope = "run"

    def spec(self, shown: Shown) -> Spec:
        tooltip = tips(layer="layer", cause="cause", time_ms="ms:.4~g")
        return stacks("causes", "ms", "cause", "milliseconds", tooltip)
