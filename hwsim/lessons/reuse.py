"""Reuse: convolutional, fmap and filter reuse; what a layer allows and what a machine achieves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer, Layer, LinearLayer
from hwsim.describe.networks import load_workload
from hwsim.describe.units import size_text
from hwsim.report.text_table import text_table
from hwsim.results.reuse import Reuse
from hwsim.teach import LESSONS
from hwsim.teach.content import Command, Problem, Step, Table, Widget

SIDE, TAPS = 5, 3
WHAT = {"ifmap": "activation", "filter": "weight", "ofmap": "sum"}


class ReuseLesson:
    """One word and all who use it; then what levels of memory make of it."""

    title = "Reuse"
    question = "How often is a word used, and how often does it have to be fetched for that?"
    place = 3
    topics: ClassVar[dict[str, int]] = {
        "convolutional reuse": 1,
        "fmap reuse": 1,
        "filter reuse": 4,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "Three reasons to use a word again",
            "**Convolutional reuse**: windows overlap, so an activation is in up to R x S of "
            "them, and a weight is used at every position. Only convolutions have it. **Fmap "
            "reuse**: all K filters read the same activation; convolutions and fully connected "
            "layers have it. **Filter reuse**: all N images of a batch meet the same weight; "
            "both have it, if N is more than 1. Below: 64 channels of 28 x 28 with 128 filters "
            "of 3 x 3, the same depthwise, and 1,024 x 1,024 weights.",
            (_kinds(),),
        )
        yield Step(
            "Follow a word",
            f"Images of {SIDE} x {SIDE}, filters of {TAPS} x {TAPS}. Choose an activation, a "
            "weight or a sum, and step from word to word. At the border an activation is in "
            "fewer windows.",
            (_followed(),),
        )
        yield Step(
            "What a layer allows, and what a machine achieves",
            "*Ideal* is what the layer allows: multiplications for each word. *Achieved* is how "
            "many multiplications a memory gets out of a word each time it comes in. The "
            "difference is traffic. AlexNet's third convolution on Eyeriss, whose dataflow was "
            "made for this:",
            (_levels(), Command("hwsim run eyeriss-v1 alexnet:conv3 --algorithm direct --reuse")),
        )
        yield Step(
            "A batch is filter reuse",
            "A fully connected layer uses each weight once an image. With a batch, a weight that "
            "is on the chip serves all images: DRAM traffic for each image, and its time, fall "
            "as the batch grows.",
            (_batch(), Command("hwsim run tpu-v1 alexnet:fc7 --batch 16 --reuse")),
        )

    def problems(self) -> tuple[Problem, ...]:
        return (
            Problem(
                "A layer has 64 channels of 28 x 28, 128 filters of 3 x 3, padding 1, one image. "
                "What is the most that an activation in the middle, and a weight, can be used?",
                "An activation: 9 windows x 128 filters = 1,152. A weight: 28 x 28 positions x 1 "
                "image = 784.",
            ),
            Problem(
                "Which kind of reuse has a depthwise layer? Why is it hard to make fast?",
                "Convolutional reuse, and filter reuse in a batch, but no fmap reuse: each "
                "channel has one filter, so no activation is used by several filters. 9 "
                "multiplications for each activation at most, so bandwidth is the limit, and on "
                "an array most rows or columns have nothing to share.",
            ),
        )


def _kinds() -> Table:
    rows = []
    layers: dict[str, Layer] = {
        "convolution": ConvLayer(4, 64, 28, 28, 128, 3, 3, 1, 1),
        "depthwise": ConvLayer(4, 64, 28, 28, 64, 3, 3, 1, 1, groups=64),
        "fully connected": LinearLayer(4, 1024, 1024),
    }
    for name, layer in layers.items():
        reuse = simulate(layer, "tpu-v1", "direct").layers[0].online[0].reuse
        for number, (tensor, found) in enumerate(reuse.items()):
            rows.append(["" if number else name, tensor, *_cells(found.ideal)])
    head = ["layer, batch 4", "tensor", "total", "conv", "fmap", "filter", "accum"]
    return Table(head, rows, "Ideal uses of a word, by cause.", left=2)


def _cells(reuse: Reuse) -> list[str]:
    parts = (reuse.total, reuse.convolutional, reuse.fmap, reuse.filter, reuse.accumulation)
    return ["" if part is None else f"{part:,.4g}" for part in parts]


def _followed() -> Widget:
    return Widget(
        "reuse", "a word and all who use it", lambda: {"h": SIDE, "r": TAPS}, _followed_text
    )


def _followed_text() -> str:
    rows = []
    outputs = SIDE - TAPS + 1
    for name, row, column in (("corner", 0, 0), ("edge", 0, 2), ("middle", 2, 2)):
        windows = sum(
            y <= row < y + TAPS and x <= column < x + TAPS
            for y in range(outputs)
            for x in range(outputs)
        )
        rows.append([f"activation, {name}", f"{windows}", "2", "", f"{windows * 2}"])
    rows.append(["weight", f"{outputs**2}", "", "2", f"{outputs**2 * 2}"])
    table = text_table(["word", "windows", "filters", "images", "uses"], rows, left=1)
    return f"images of 5 x 5, filters of 3 x 3, two of each:\n\n{table}"


def _levels() -> Table:
    workload = load_workload("alexnet").only(("conv3",))
    stage = simulate(workload, "eyeriss-v1", "direct").layers[0].online[0]
    rows = []
    for tensor, reuse in stage.reuse.items():
        rows.append([WHAT.get(tensor, tensor), "ideal", *_cells(reuse.ideal)])
        rows += [["", level, *_cells(found)] for level, found in reuse.achieved.items()]
    head = ["word", "level", "total", "conv", "fmap", "filter", "accum"]
    return Table(head, rows, left=2)


def _batch() -> Table:
    rows = []
    for batch in (1, 4, 16, 64):
        workload = load_workload("alexnet", batch=batch).only(("fc7",))
        layer = simulate(workload, "tpu-v1", "direct").layers[0]
        rows.append(
            [
                f"{batch}",
                f"{layer.operations.multiplies / layer.dram_bytes:.1f}",
                size_text(layer.dram_bytes // batch),
                f"{layer.seconds / batch * 1e6:.1f} us",
            ]
        )
    head = ["batch", "multiplications/byte", "DRAM an image", "time an image"]
    return Table(head, rows, "AlexNet's fc7 (4096 x 4096) on tpu-v1.", left=0)


LESSONS.register("reuse")(ReuseLesson())
