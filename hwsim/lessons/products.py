"""Convolution as a matrix product: im2col, implicit GEMM, and offset-add."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import numpy as np
import yaml

from hwsim.algorithms import ALGORITHMS, lower
from hwsim.api import simulate
from hwsim.describe.catalog import data_folder
from hwsim.describe.layer import ConvLayer
from hwsim.describe.networks import load_workload
from hwsim.describe.units import size_text
from hwsim.teach import LESSONS
from hwsim.teach.content import Command, Loops, Problem, Step, Table, Widget

MEASURED = {
    "im2col": "im2col_explicit",
    "implicit-gemm": "implicit_precomp_gemm",
    "offset-add": "offset_add",
}
SMALL = ConvLayer(1, 1, 4, 4, 2, 2, 2)
DIRECT = """\
for k, p, q:               # outputs
  for c, r, s:             # taps
    O[k][p][q] += D[c][p+r][q+s] * W[k][c][r][s]"""
IM2COL = """\
for c, r, s, p, q:         # copy windows
  M[c,r,s][p,q] = D[c][p+r][q+s]
for k, (p,q), (c,r,s):     # one product
  O[k][p,q] += W[k][c,r,s] * M[c,r,s][p,q]"""
OFFSET = """\
for (k,r,s), (y,x), c:     # one product, no copy
  T[k,r,s][y,x] += W[k,r,s][c] * D[c][y,x]
for k, p, q, r, s:         # shifted adds
  O[k][p][q] += T[k,r,s][p+r, q+s]"""


class Products:
    """Two ways to make one matrix product of a convolution, and what each has to write."""

    title = "Convolution as a matrix product"
    question = (
        "Libraries multiply matrices fast. How does a convolution become one, and at what price?"
    )
    place = 4
    topics: ClassVar[dict[str, int]] = {
        "im2col": 1,
        "implicit GEMM": 3,
        "EINNET, conv2matmul, offset-add": 4,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "Windows written out: im2col",
            "Write each window of the image as a column of a matrix. Then the convolution is one "
            "product of the filters with that matrix, and any fast matrix product will do. The "
            "price is the matrix: a 3 x 3 filter copies each word of the image up to nine times.",
            (Loops(DIRECT, IM2COL), _blow_up(), Command("hwsim count vgg16 --layer conv3_2")),
        )
        yield Step(
            "See where the words come from",
            "An image of 4 x 4, two filters of 2 x 2. Each word of the image has its colour. "
            "Step through the outputs; point at a word, or touch it, to find its copies. Then "
            "switch to offset-add.",
            (_matrices(),),
        )
        yield Step(
            "Not writing it: implicit GEMM",
            "The matrix need not exist. The kernel takes the addresses of the windows while it "
            "fills its tiles, so the copies live in shared memory only. Multiplications are the "
            "same, the workspace is gone, and DRAM traffic falls by up to ten times. In time it "
            "wins where the matrix is large (conv1_2, as measured; the model takes im2col for "
            "too fast there). Where images are small, writing the matrix is cheap, and a plain "
            "product may split its reduction over more blocks, which cuDNN's implicit GEMM does "
            "not: there im2col wins.",
            (
                _workspaces(),
                Command(
                    "hwsim run h200 vgg16 --layer conv3_2 --algorithm implicit-gemm --show-nest"
                ),
            ),
        )
        yield Step(
            "The other way round: offset-add",
            "Multiply first, move later. Every tap of every filter is multiplied with the whole "
            "image, which is used as it lies. The R x S results are shifted against each other "
            "and added. It trades copies of the *image* for copies of the *output*: good where "
            "there are few outputs. EINNET derives this program by itself.",
            (Loops(IM2COL, OFFSET),),
        )
        yield Step(
            "Offset-add against Winograd on an A100",
            "The last 3 x 3 layers of ResNet-18 have images of 7 x 7. There EINNET measured "
            f"offset-add {_case()['speedup']:.1f} times as fast as cuDNN's fused Winograd, and "
            "its programs 1.5 times as fast as other compilers' over seven networks. (The "
            "lecture says 40%.) Below the same layer in the model, which has Winograd's stages "
            "one after another where cuDNN fused them: its time is close all the same, but its "
            "DRAM traffic is another program's. Offset-add is within a quarter in time, and its "
            "DRAM traffic is the measured one.",
            (_einnet(), Command("hwsim run a100 conv:512,7,7,512,3,3,1,1 --algorithm offset-add")),
        )

    def problems(self) -> tuple[Problem, ...]:
        layer = ConvLayer(1, 64, 56, 56, 64, 3, 3, 1, 1)
        copied = layer.p * layer.q * layer.c * 9
        return (
            Problem(
                "A layer has 64 channels of 56 x 56, 64 filters of 3 x 3, padding 1. How many "
                "words does the im2col matrix have, and how many times the image is that?",
                f"P Q C R S = 56 x 56 x 64 x 9 = {copied:,} words, nine times the image's "
                f"{layer.c * 56 * 56:,}.",
            ),
            Problem(
                "Offset-add multiplies at every position of the image, padding not included. "
                "When does it need more multiplications than direct convolution, and when fewer?",
                "Offset-add takes N K C R S H W, direct N K C R S P Q. Without padding P Q is "
                "less than H W: offset-add takes more, and with stride 2 four times as many. "
                "With padding that keeps the size they are equal. With more padding than that, P "
                "Q is more than H W, and offset-add takes fewer: it never multiplies the padding.",
            ),
        )


def _vgg(name: str) -> ConvLayer:
    layer = load_workload("vgg16").layers[name]
    assert isinstance(layer, ConvLayer)
    return layer


def _blow_up() -> Table:
    rows = []
    for name in ("conv1_2", "conv3_2", "conv5_1"):
        layer = _vgg(name)
        image = layer.c * layer.h * layer.w
        matrix = layer.p * layer.q * layer.c * layer.r * layer.s
        rows.append([name, layer.summary, f"{image:,}", f"{matrix:,}", f"{matrix / image:.1f}"])
    return Table(["layer", "shape", "image", "matrix", "times"], rows, "Words.", left=2)


def small_example() -> dict[str, Any]:
    """The image, the filters, the matrices of both ways, and the outputs; the small layer's."""
    dice = np.random.default_rng(1)
    x = dice.integers(0, 10, (1, 1, SMALL.h, SMALL.w))
    w = dice.integers(-2, 3, (SMALL.k, 1, SMALL.r, SMALL.s))
    outputs = ALGORITHMS["im2col"].compute(SMALL, x.astype(float), w.astype(float))
    return {
        "image": x[0, 0].tolist(),
        "filters": w[:, 0].tolist(),
        "outputs": np.asarray(outputs)[0].tolist(),
    }


def _matrices() -> Widget:
    return Widget("matrices", "a convolution as a matrix product", small_example, _matrices_text)


def _matrices_text() -> str:
    own = small_example()
    image = np.array(own["image"])
    taps = [(r, s) for r in range(SMALL.r) for s in range(SMALL.s)]
    columns = [
        [int(image[p + r, q + s]) for p in range(SMALL.p) for q in range(SMALL.q)] for r, s in taps
    ]
    filters = [[value for row in plane for value in row] for plane in own["filters"]]
    outputs = [[int(value) for row in plane for value in row] for plane in own["outputs"]]
    shown = {
        "image": own["image"],
        "its matrix, a window a column": columns,
        "filters, one a row": filters,
        "outputs, one filter a row": outputs,
    }
    return "\n".join(f"{name}:\n{_grid(rows)}" for name, rows in shown.items())


def _grid(rows: Any) -> str:
    wide = max(len(str(value)) for row in rows for value in row)
    return "\n".join("  " + " ".join(f"{value:>{wide}}" for value in row) for row in rows)


def _workspaces() -> Table:
    rows = []
    for name in ("conv1_2", "conv3_2", "conv5_1"):
        for algorithm in ("im2col", "implicit-gemm", "offset-add"):
            layer = simulate(_vgg(name), "h200", algorithm).layers[0]
            rows.append(
                [
                    name if algorithm == "im2col" else "",
                    algorithm,
                    size_text(layer.workspace_bytes),
                    size_text(layer.dram_bytes),
                    f"{layer.seconds * 1e6:.0f} us",
                    f"{_measured(_vgg(name), MEASURED[algorithm]):.0f} us",
                ]
            )
    head = ["layer", "algorithm", "workspace", "DRAM", "time", "measured"]
    caption = (
        "H200, fp32, batch 1: by hwsim, and measured (reference/h200_conv.json). PyTorch adds "
        "the R S shifted images of offset-add one by one, which the model's single stage does "
        "not know."
    )
    return Table(head, rows, caption, left=2)


def _measured(layer: ConvLayer, algorithm: str) -> float:
    """Microseconds on an H200, warm."""
    path = data_folder("reference") / "h200_conv.json"
    (row,) = (
        row
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
        if (row["algo"], row["dtype"], row["tag"]) == (algorithm, "fp32", "vgg")
        and (row["N"], row["C"], row["H"], row["K"]) == (1, layer.c, layer.h, layer.k)
    )
    return float(row["us_warm"])


@cache
def _case() -> dict[str, Any]:
    """EINNET's measurement of the layer."""
    path = data_folder("reference") / "einnet.yaml"
    published = yaml.safe_load(path.read_text(encoding="utf-8"))
    case: dict[str, Any] = published["table3_op_cases_A100"]["conv3x3_resnet18"]
    return case


def _einnet() -> Table:
    case = _case()
    shape = case["shape"]
    layer = ConvLayer(
        shape["N"], shape["C"], shape["H"], shape["W"], shape["F"], shape["R"], shape["S"],
        shape["stride"], shape["pad"], filters="online",
    )  # fmt: skip
    measured = {"winograd-f4": case["origin"], "offset-add": case["optimized"]}
    rows = []
    for algorithm, published in measured.items():
        run = simulate(layer, "a100", algorithm, dtype="fp32").layers[0]
        rows.append(
            [
                algorithm,
                f"{published['ms'] * 1e3:.0f} us",
                f"{run.seconds * 1e6:.0f} us",
                f"{published['dram_MB']['total']:.1f} MB",
                f"{run.dram_bytes / 1e6:.1f} MB",
            ]
        )
    stages = [stage.name for stage in lower(layer, "offset-add").stages]
    caption = (
        "A100, fp32. EINNET's artifact, a few percent to a quarter apart from run to run; its "
        f"Winograd is cuDNN's fused one. offset-add: {' and '.join(stages)}."
    )
    return Table(["algorithm", "EINNET", "hwsim", "DRAM", "hwsim"], rows, caption)


LESSONS.register("products")(Products())
