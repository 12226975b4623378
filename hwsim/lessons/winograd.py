"""Winograd's convolution: sixteen multiplications instead of thirty-six, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import yaml

from hwsim.algorithms import find_algorithm, lower
from hwsim.algorithms.winograd import Transforms, transforms
from hwsim.api import simulate
from hwsim.count.rounding import errors, random_data
from hwsim.describe.catalog import data_folder
from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, Layer
from hwsim.describe.networks import load_workload
from hwsim.describe.units import seconds_text, size_text
from hwsim.teach import LESSONS
from hwsim.teach.content import Bars, Code, Command, Problem, Step, Table, Widget

KINDS = {"toy": (3, 2), "f2": (2, 3), "f4": (4, 3)}  # outputs and taps of a tile, each way
LAYER = ConvLayer(1, 256, 56, 56, 256, 3, 3, 1, 1)
FORMULA = "O = A^T [ (G W G^T) o (B^T D B) ] A"
ALGORITHMS = ("implicit-gemm", "winograd-f4")
CUDNN_DIRECT, CUDNN_WINOGRAD = "implicit_precomp_gemm", "winograd_nonfused"


class WinogradLesson:
    """The toy with every value, then real tiles, then the time on machines."""

    title = "Winograd's convolution"
    question = "How can nine outputs of four products each take only sixteen multiplications?"
    place = 5
    topics: ClassVar[dict[str, int]] = {
        "vanilla convolution": 1,
        "the toy, 16 against 36": 1,
        "VGG-16, layer by layer": 3,
        "other costs: transforms, memory, rounding": 5,
        "depthwise and transposed (Q1)": 6,
    }

    def steps(self) -> Iterator[Step]:
        titan = _titan()
        yield Step(
            "The toy: 36 against 16",
            "Direct convolution of an M x N image of C channels takes C R S (M - R + 1)(N - S + "
            "1) multiplications for each filter of R x S, Winograd's one a word of the "
            "transformed tile, C M N. An image D of 4 x 4 and a filter W of 2 x 2 make 3 x 3 "
            "outputs of four products each: 36 multiplications. Winograd transforms both to 4 x "
            "4, multiplies them point by point, and transforms the result back. The transforms "
            "have constants 0, 1, -1 and 1/2 only: additions and shifts. **Sixteen general "
            "multiplications are left.** Step through it, and take other tiles too.",
            (Code(FORMULA), _toy(), Command("hwsim count toy-4x4")),
        )
        yield Step(
            "Larger tiles, fewer multiplications",
            "F(m x m, r x r) makes m x m outputs from (m + r - 1)² multiplications, where direct "
            "convolution takes m² r². For 3 x 3 filters: 2.25 times fewer with m = 2, four times "
            "with m = 4, at most nine. But the transforms grow, and their constants are no "
            "longer free.",
            (_tiles(), Command("hwsim validate lavin-gray")),
        )
        yield Step(
            "The lecture's figure: VGG-16 at batch 1",
            "On a Titan X (2015), Winograd took the convolutions of VGG-E, which is VGG-19, from "
            f"{titan[1]} ms to {titan[3]} ms: {titan[5]} times as fast (Lavin and Gray, table 5), "
            "with a kernel written for one image at a time. cuDNN on GPUs of today is **slower** "
            "with Winograd at batch 1, on every layer of VGG-16 that was measured: it transforms "
            "sixteen images at a time, and one takes as long as sixteen. It also transforms the "
            "filters in every call. The model knows both, and is within a fifth of the measured "
            "ratios, but for conv5_1: there it takes Winograd's product for twice as fast as it "
            "is, and lets Winograd win.",
            (
                _figure(),
                Command(
                    "hwsim compare vgg16 --machines h200 --algorithms implicit-gemm,winograd-f4"
                ),
            ),
        )
        yield Step(
            "At batch 64 Winograd wins",
            "With 64 images nothing is padded, the transformed filters serve all of them, and "
            "cuDNN's Winograd is three to five times as fast as its implicit GEMM on these "
            "layers. More than four is not Winograd's alone: that implicit GEMM is slow at these "
            "sizes.",
            (_batch(), Command("hwsim run h200 vgg16:conv4_2 --batch 64 -a winograd-f4")),
        )
        yield Step(
            "What it costs",
            "The transformed image and the products lie in memory between the stages: a "
            "workspace, written and read. A TPU v4 has 128 MiB on its chip, so there the "
            "workspace costs no DRAM traffic (what is left are the transformed filters), and "
            "Winograd wins. A GPU's L2 does not hold the workspace of sixteen images, so there "
            "every stage writes to DRAM and the next reads it back: padding costs traffic as "
            "well as work. On the TPU F(4 x 4) is slower than F(2 x 2): its 36 products have 196 "
            "rows each, which pass the array before its next weights are there.\n\nLarger tiles "
            "also subtract large numbers from each other, so rounding grows. In fp32, F(2 x 2) "
            "rounds less than direct convolution: it adds fewer products one after another.",
            (
                _costs(),
                _rounding(),
                Command(
                    "hwsim error conv:64,28,28,64,3,3,1,1 --algorithms "
                    "direct,winograd-f2,winograd-f4"
                ),
            ),
        )
        yield Step(
            "Depthwise and transposed (the lecture's first question)",
            "A transform of the image is used by all K filters, so for many filters it costs "
            "little. A depthwise layer has one filter a channel: each transform is used once, "
            "and costs more than the multiplications it saves. A transposed convolution splits "
            "into small convolutions, one for each phase of its stride, and each works as usual.",
            (_others(), Command("hwsim count mobilenet-v1")),
        )

    def problems(self) -> tuple[Problem, ...]:
        return (
            Problem(
                "How many multiplications does F(4 x 4, 3 x 3) need for an image of 14 x 14 "
                "outputs, one channel and one filter? How many times fewer than direct is that, "
                "and why not 4?",
                "Tiles cover 4 x 4 outputs, so 14 outputs take 4 tiles each way, 16 tiles of 36 "
                "multiplications: 576. Direct takes 14 x 14 x 9 = 1,764, or 3.06 times as many. "
                "The tiles cover 16 x 16 outputs; those outside the image are computed for "
                "nothing.",
            ),
            Problem(
                "The lecture prints Winograd's multiplications over direct ones as N² / (R² (N - "
                "R + 1)²). Put the toy in. How far can it fall for 3 x 3 filters?",
                "N = 4, R = 2: 16 / (4 x 9) = 16/36. For R = 3 it is N² / (9 (N - 2)²), which "
                "approaches 1/9 as the tile N grows: nine times fewer. In practice N stays at 6 "
                "or 8: the transforms and the rounding grow faster than the saving.",
            ),
        )


def _matrix(rows: Any) -> list[list[float]]:
    return [[float(value) for value in row] for row in rows]


def example(kind: str) -> dict[str, Any]:
    """A tile with small whole numbers: its transforms, image, filter, and everything between."""
    m, taps = KINDS[kind]
    found: Transforms = transforms(m, taps)
    dice = np.random.default_rng(3)
    size = m + taps - 1
    image, weights = dice.integers(0, 5, (size, size)), dice.integers(-2, 3, (taps, taps))
    b_t, g, a_t = (np.array(_matrix(side)) for side in (found.b_t, found.g, found.a_t))
    return {
        "m": m,
        "taps": taps,
        "bt": b_t.tolist(),
        "g": g.tolist(),
        "at": a_t.tolist(),
        "d": image.tolist(),
        "w": weights.tolist(),
        "direct": _direct(image, weights).tolist(),
    }


def _direct(image: Any, weights: Any) -> Any:
    taps, size = len(weights), len(image) - len(weights) + 1
    return np.array(
        [
            [int((image[y : y + taps, x : x + taps] * weights).sum()) for x in range(size)]
            for y in range(size)
        ]
    )


def _toy() -> Widget:
    return Widget(
        "winograd",
        "Winograd's convolution, value by value",
        lambda: {kind: example(kind) for kind in KINDS},
        _toy_text,
    )


def _toy_text() -> str:
    own = example("toy")
    b_t, g, a_t, d, w = (np.array(own[name], float) for name in ("bt", "g", "at", "d", "w"))
    image, weights = b_t @ d @ b_t.T, g @ w @ g.T
    products = image * weights
    parts = [
        ("D", d),
        ("W", w),
        ("B^T D B", image),
        ("G W G^T", weights),
        ("their products, 16", products),
        ("A^T [...] A", a_t @ products @ a_t.T),
    ]
    return "\n\n".join(f"{name} =\n{_rows(values)}" for name, values in parts)


def _rows(values: Any) -> str:
    cells = [[f"{value + 0.0:g}" for value in row] for row in values]
    wide = max(len(cell) for row in cells for cell in row)
    return "\n".join("  [ " + "  ".join(f"{cell:>{wide}}" for cell in row) + " ]" for row in cells)


def _tiles() -> Table:
    rows = []
    for m in (2, 3, 4, 6):
        algorithm = find_algorithm(f"winograd-f{m}")
        layer = ConvLayer(1, 1, m + 2, m + 2, 1, 3, 3)
        stages = {stage.name: stage.operations for stage in algorithm.lower(layer).stages}
        transform = stages["input-transform"] + stages["output-transform"]
        points = (m + 2) ** 2
        rows.append(
            [
                f"F({m} x {m}, 3 x 3)",
                f"{points}",
                f"{9 * m * m}",
                f"{9 * m * m / points:.2f}",
                f"{transform.additions}",
                f"{transform.constant_multiplies}",
            ]
        )
    head = ["tile", "multiplications", "direct", "times fewer", "additions", "by constants"]
    return Table(
        head,
        rows,
        "One tile, one channel, one filter. Additions and products by constants: of the image's "
        "and the output's transforms.",
    )


@cache
def _vgg() -> dict[str, ConvLayer]:
    """VGG-16's convolutions, equal ones once."""
    layers: dict[ConvLayer, str] = {}
    for name, layer in load_workload("vgg16").layers.items():
        if isinstance(layer, ConvLayer):
            layers.setdefault(layer, name)
    return {name: layer for layer, name in layers.items()}


def _measured(name: str, layer: ConvLayer) -> float | None:
    """cuDNN's Winograd over its implicit GEMM in a reference file; None if not measured."""
    path = data_folder("reference") / f"{name}.json"
    found = {
        row["algo"]: row["us_warm"]
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
        if row["dtype"] == "fp32"
        and row["tag"] == "vgg"
        and (row["N"], row["C"], row["H"], row["K"], row["R"])
        == (layer.n, layer.c, layer.h, layer.k, 3)
    }
    if CUDNN_DIRECT not in found or CUDNN_WINOGRAD not in found:
        return None
    return float(found[CUDNN_WINOGRAD] / found[CUDNN_DIRECT])


def _titan() -> list[float]:
    """VGG-E on a Titan X: batch, cuDNN's time and rate, Winograd's time and rate, speed-up."""
    path = data_folder("reference") / "lavin_gray.yaml"
    published = yaml.safe_load(path.read_text(encoding="utf-8"))
    row: list[float] = published["table5_fp32_vgg_e_titanx"]["rows"][0]
    return row


def _figure() -> Bars:
    model: list[float | None] = []
    silicon: dict[str, list[float | None]] = {"H200": [], "H100": []}
    labels = []
    for name, layer in _vgg().items():
        called = replace(layer, filters="online")
        direct, winograd = (simulate(called, "h200", algorithm).seconds for algorithm in ALGORITHMS)
        model.append(winograd / direct)
        for machine, ratios in silicon.items():
            ratios.append(_measured(f"{machine.lower()}_conv", layer))
        missing = "" if silicon["H200"][-1] is not None else " *"
        labels.append(f"{name}, {layer.h}²{missing}")
    measured = {f"measured, {machine}": ratios for machine, ratios in silicon.items()}
    row = _titan()
    caption = (
        "Time of Winograd over implicit GEMM, fp32, batch 1; below 1 (the dashed line) Winograd "
        "wins. *: this shape was not measured. All of VGG-19 on a Titan X (Maxwell), as published: "
        f"{row[3] / row[1]:.2f}."
    )
    return Bars(
        "Winograd's time, of implicit GEMM's",
        labels,
        {"hwsim, H200": model, **measured},
        "times",
        caption,
        base=1.0,
        log=True,
    )


def _batch() -> Table:
    rows = []
    for name in ("conv3_1", "conv4_2", "conv5_1"):
        layer = replace(_vgg()[name], n=64, filters="online")
        times = [simulate(layer, "h200", algorithm).seconds for algorithm in ALGORITHMS]
        measured = _measured("h200_conv", layer)
        rows.append(
            [
                name,
                *(f"{time * 1e3:.2f} ms" for time in times),
                f"{times[1] / times[0]:.2f}",
                f"{measured:.2f}" if measured else "",
            ]
        )
    head = ["layer", "implicit GEMM", "Winograd", "ratio", "measured ratio"]
    return Table(head, rows, "H200, fp32, batch 64; times and ratio by hwsim.")


def _costs() -> Table:
    rows = []
    for name in ("implicit-gemm", "winograd-f2", "winograd-f4"):
        run = simulate(LAYER, "tpu-v4", name, dtype="bf16")
        layer = run.layers[0]
        counts = layer.operations
        rows.append(
            [
                name,
                f"{counts.multiplies / 1e6:,.0f} M",
                f"{counts.additions / 1e6:,.0f} M",
                size_text(layer.workspace_bytes),
                size_text(layer.dram_bytes),
                seconds_text(layer.seconds),
            ]
        )
    head = ["algorithm", "multiplications", "additions", "workspace", "DRAM", "time"]
    return Table(head, rows, f"{LAYER.summary} on tpu-v4, bf16.")


def _rounding() -> Table:
    layer = ConvLayer(1, 64, 28, 28, 64, 3, 3, 1, 1)
    names = ("direct", "winograd-f2", "winograd-f4", "winograd-f6")
    found = {
        (error.algorithm, error.format): error.largest
        for error in errors(layer, names, *random_data(layer))
    }
    rows = [[name, f"{found[name, 'fp32']:.1e}", f"{found[name, 'fp16']:.1e}"] for name in names]
    return Table(
        ["largest error", "fp32", "fp16"], rows, f"{layer.summary}, inputs and filters in [-1, 1]."
    )


def _others() -> Table:
    layers: dict[str, Layer] = {
        "dense, 128 filters": ConvLayer(1, 128, 28, 28, 128, 3, 3, 1, 1),
        "depthwise": ConvLayer(1, 128, 28, 28, 128, 3, 3, 1, 1, groups=128),
        "transposed, stride 2": ConvTransposeLayer(1, 128, 14, 14, 128, 4, 4, stride=2, pad=1),
    }
    rows = []
    for name, layer in layers.items():
        costs = []
        for algorithm in ("direct", "winograd-f2"):
            stages = [stage for stage in lower(layer, algorithm).stages if not stage.offline]
            total = sum((stage.operations for stage in stages[1:]), stages[0].operations)
            costs.append((total.multiplies, total.additions))
        (plain, _), (fast, additions) = costs
        rows.append(
            [
                name,
                f"{plain / 1e6:.2f} M",
                f"{fast / 1e6:.2f} M",
                f"{plain / fast:.2f}",
                f"{additions / fast:.1f}",
            ]
        )
    head = ["layer", "direct", "winograd-f2", "times fewer", "additions for each"]
    return Table(
        head,
        rows,
        "Layers of 128 channels, 28 x 28 (transposed: 14 x 14, filters of 4 x 4). "
        "Multiplications; and additions, transforms included and one for each product, for each "
        "multiplication that is left.",
    )


LESSONS.register("winograd")(WinogradLesson())
