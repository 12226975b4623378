"""DRAM traffic of every layer, tensor by tensor."""

from hwsim.report.charts import CHARTS, Scope, Shown, Spec, rows_of, stacks, tips


@CHARTS.register("tensors")
class TensorStacks:
    place = 80
    title = "DRAM traffic by tensor"
    caption = "A tick marks the least possible of the layer."
    tables = ("tensors", "layers")
    scope: Scope = "run"

    def spec(self, shown: Shown) -> Spec:
        tooltip = tips(layer="layer", tensor="tensor", traffic_MiB="mib:.4~g")
        bars = stacks("tensors", "mib", "tensor", "MiB", tooltip)
        least = {
            "data": {"name": "layers"},
            "mark": {"type": "tick", "thickness": 2, "size": 15, "color": "#7a8699"},
            "encoding": {
                "y": rows_of("layer"),
                "x": {"field": "least_mib", "type": "quantitative"},
                "tooltip": tips(layer="layer", least_MiB="least_mib:.4~g"),
            },
        }
        height = bars.pop("height")
        # layers stand as in the network, those that move nothing too
        order = {**least, "mark": {"type": "tick", "opacity": 0}}
        return {"height": height, "layer": [order, bars, least]}
