"""The roofline of every level of memory.

S. Williams et al., CACM 2009; several levels at once as C. Yang et al., "Hierarchical Roofline
Analysis", 2020.
"""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, color, tips


@CHARTS.register("roofline")
class Roofline:
    place = 100
    title = "Roofline, level by level"
    caption = (
        "A layer has a point for each level: multiplications for each byte that the level moves. "
        "On a level's slope it waits for that level; under the flat part for something else. "
        "The three slowest layers are named."
    )
    tables = ("levels", "roofs")
    scope: Scope = "run"

    def spec(self, shown: Shown) -> Spec:
        x = {
            "field": "intensity",
            "type": "quantitative",
            "title": "multiplications a byte",
            "scale": {"type": "log", "nice": False},
            "axis": {"format": "~g", "labelOverlap": True, "tickCount": 6},
        }
        y = {
            "field": "rate",
            "type": "quantitative",
            "title": "billion multiplications a second",
            "scale": {"type": "log"},
            "axis": {"format": "~s", "labelOverlap": True, "tickCount": 6},
        }
        shared = {"x": x, "y": y, "color": color("level")}
        return {
            "height": 300,
            "layer": [
                {
                    "data": {"name": "roofs"},
                    "mark": {"type": "line", "strokeWidth": 1.6},
                    "encoding": shared,
                },
                {
                    "data": {"name": "levels"},
                    "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.85},
                    "encoding": {
                        **shared,
                        "tooltip": tips(
                            layer="layer",
                            level="level",
                            multiplications_a_byte="intensity:.4~g",
                            G_a_second="rate:.4~g",
                            time_ms="ms:.4~g",
                        ),
                    },
                },
                *(_name(number, x, y) for number in range(3)),
            ],
        }


def _name(number: int, x: Spec, y: Spec) -> Spec:
    """The name of the slowest layer, the next or the third: right of its point, left, or below.

    So names do not cover each other where the points are close.
    """
    beside: tuple[Spec, ...] = (
        {"align": "left", "dx": 6},
        {"align": "right", "dx": -6},
        {"align": "center", "dy": 12},
    )
    slowest = [
        {"filter": "datum.dram"},
        {
            "window": [{"op": "row_number", "as": "slow"}],
            "sort": [{"field": "ms", "order": "descending"}],
        },
        {"calculate": f"datum.slow == {number + 1} ? datum.layer : ''", "as": "name"},
    ]
    return {
        "data": {"name": "levels"},
        "transform": slowest,
        "mark": {"type": "text", "fontSize": 10, **beside[number]},
        "encoding": {"x": x, "y": y, "text": {"field": "name"}},
    }
