"""Zeros: what survives Winograd's transform, and what hardware makes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, ClassVar

from hwsim.algorithms import lower
from hwsim.algorithms.winograd import transforms
from hwsim.api import simulate
from hwsim.describe.layer import ConvLayer, Density
from hwsim.report.text_table import WIDTH, text_table
from hwsim.teach import LESSONS
from hwsim.teach.content import Command, Problem, Step, Table, Widget

SHARES = tuple(share / 10 for share in range(1, 11))
FORMS = {
    "direct": "direct, zeros skipped",
    "winograd-f2": "Winograd of pruned filters",
    "winograd-f2-relu": "Winograd-ReLU, pruned after the transform",
}
PAPER = {"CIFAR-10": (0.4, 10.4), "CIFAR-100": (0.6, 6.8), "ResNet-18": (0.35, 10.8)}
STRUCTURES = ("unstructured", "2:4", "16x16", "channels")


class Sparsity:
    """Density bars through the transform; then structured zeros, and low rank instead."""

    title = "Zeros"
    question = (
        "Half of the weights and half of the activations are zero. Why is nothing four times as "
        "fast?"
    )
    place = 6
    topics: ClassVar[dict[str, int]] = {
        "sparse Winograd, Winograd-ReLU": 1,
        "ten times fewer": 2,
        "lottery tickets, structure": 3,
        "low rank": 4,
    }

    def steps(self) -> Iterator[Step]:
        yield Step(
            "Zeros do not survive the transform",
            "Prune the weights, and ReLU zeroes about half of the activations. Only products of "
            "two non-zeros matter, so direct convolution could skip most. Winograd adds several "
            "words into each transformed one, and a sum of some zeros is seldom zero. **Both "
            "operands are dense again.** Winograd-ReLU prunes *after* the filter's transform, "
            "and applies ReLU *after* the image's. Then the savings multiply: 2.25 times from "
            "Winograd, and once more from both shares.",
            (
                _bars(),
                Command(
                    "hwsim count vgg16:conv3_2 --weights 0.35 --activations 0.6 -a "
                    "direct,winograd-f2,winograd-f2-relu"
                ),
            ),
        )
        yield Step(
            "Ten times fewer, as published",
            "Liu et al. (ICLR 2018) train networks in this form and report 10.4, 6.8 and 10.8 "
            "times fewer multiplications at equal accuracy. The reduction is 2.25 / (weights x "
            "activations); the weights' shares are from their pruning schedule, and the "
            "activations' are what the reduction then implies.",
            (_published(),),
        )
        yield Step(
            "Libraries and arrays multiply zeros",
            "A zero that may lie anywhere saves nothing on hardware that multiplies in blocks: "
            "finding it costs more than multiplying it. What helps is structure that the "
            "hardware can see: two of every four for tensor cores that select, blocks as large "
            "as a vector or an array. Whole channels help everywhere. Lottery tickets for "
            "libraries are of this kind: less sparse, and really faster. The same layer with "
            "half of its weights zero, times as fast as dense:",
            (
                _structures(),
                Command("hwsim count conv:512,28,28,512,3,3,1,1 --weights 0.5"),
            ),
        )
        yield Step(
            "Low rank instead of sparse",
            "A filter bank of low rank is two or three smaller convolutions, dense ones, if the "
            "network stands the approximation. A TPU is faster with them at once. On a GPU each "
            "of them is a kernel of its own, which starts and writes its map: the two of an SVD "
            "gain nothing here, and the three of Tucker, with an eighth of the multiplications, "
            "do.",
            (
                _low_rank(),
                Command("hwsim run tpu-v1 conv:256,28,28,256,3,3,1,1 --algorithm svd-r64"),
            ),
        )

    def problems(self) -> tuple[Problem, ...]:
        return (
            Problem(
                "Weights have a share of 0.5 of non-zeros, activations 0.5. How many times fewer "
                "are the products of two non-zeros with direct convolution? With Winograd-ReLU "
                "of F(2 x 2, 3 x 3), if the shares are the same in its domain?",
                "Direct: 1 / (0.5 x 0.5) = 4 times fewer. Winograd-ReLU: 2.25 / 0.25 = 9 times "
                "fewer.",
            ),
            Problem(
                "A word of B^T D B for F(2 x 2, 3 x 3) is a sum of four words of D. If each word "
                "of D is zero with probability one half, independently, how often is the "
                "transformed word zero?",
                "All four must be zero (but for sums that cancel): 1/16 = 6%. So the share of "
                "non-zeros is 94%, where it was 50%.",
            ),
        )


def effectual(weights: float, activations: float) -> dict[str, float]:
    """By form: products of two non-zeros, as a share of all that direct convolution does."""
    density = Density(weights=weights, activations=activations)
    layer = ConvLayer(1, 64, 28, 28, 64, 3, 3, density=density)
    found = {}
    for name in FORMS:
        stages = [stage for stage in lower(layer, name).stages if not stage.offline]
        found[name] = sum(stage.operations.effectual_multiplies for stage in stages) / layer.macs
    return found


def after_transform(share: float) -> tuple[float, float]:
    """Shares of non-zeros after the filter's and the image's transform of F(2 x 2, 3 x 3).

    A word before is not zero with this probability: a sum is zero only where all its words are.
    """
    made = transforms(2, 3)
    return _filled(made.g, share), _filled(made.b_t, share)


def _filled(matrix: Sequence[Sequence[Any]], share: float) -> float:
    """By the words that each row, and so each pair of rows, adds up."""
    words = [sum(value != 0 for value in row) for row in matrix]
    return fmean(1 - (1 - share) ** (down * across) for down in words for across in words)


def _bars() -> Widget:
    def data() -> dict[str, Any]:
        return {
            "shares": SHARES,
            "after": [after_transform(share) for share in SHARES],
            "effectual": [
                [list(effectual(weights, activations).values()) for activations in SHARES]
                for weights in SHARES
            ],
            "forms": list(FORMS.values()),
        }

    return Widget("density", "shares of non-zeros through the transform", data, _bars_text)


def _bars_text() -> str:
    rows = []
    for share in (0.2, 0.5, 0.8):
        filters, images = after_transform(share)
        forms = effectual(share, share)
        rows.append(
            [
                f"{share:.0%}",
                f"{filters:.0%}",
                f"{images:.0%}",
                *(f"{1 / left:.1f}" for left in forms.values()),
            ]
        )
    head = ["non-zero", "filter after", "image after", "direct", "Winograd", "Winograd-ReLU"]
    table = text_table(head, rows, left=0)
    words = (
        "Shares of non-zeros before and after the transform; times fewer products of two non-zeros."
    )
    return f"{table}\n\n{textwrap.fill(words, WIDTH)}"


def _published() -> Table:
    rows = []
    for name, (weights, reduction) in PAPER.items():
        activations = 2.25 / (weights * reduction)
        ours = 1 / effectual(weights, activations)["winograd-f2-relu"]
        rows.append([name, f"{weights:.2f}", f"{activations:.3f}", f"{reduction}", f"{ours:.1f}"])
    head = ["network", "weights", "activations", "published", "hwsim counts"]
    return Table(
        head,
        rows,
        "Times fewer multiplications than dense direct convolution. hwsim counts what the shares "
        "say: a check of the formula, not of the networks.",
    )


def _structures() -> Table:
    rows = []
    for machine, dtype in (("h200", "fp16"), ("xeon-8380", "fp32"), ("tpu-v1", "int8")):
        dense = _seconds(machine, dtype, Density())
        cells = [
            f"{dense / _seconds(machine, dtype, Density(weights=0.5, structure=structure)):.2f}x"
            for structure in STRUCTURES
        ]
        rows.append([machine, dtype, *cells])
    caption = (
        "512 channels of 28 x 28, 512 filters of 3 x 3. What zeros do not spare are launches, "
        "first loads, and the copies of the H200's maps."
    )
    return Table(["machine", "type", *STRUCTURES], rows, caption, left=2)


def _seconds(machine: str, dtype: str, density: Density) -> float:
    layer = ConvLayer(1, 512, 28, 28, 512, 3, 3, pad=1, density=density)
    return simulate(layer, machine, "implicit-gemm", dtype=dtype).seconds


def _low_rank() -> Table:
    layer = ConvLayer(1, 256, 28, 28, 256, 3, 3, pad=1)
    rows = []
    for name in ("direct", "svd-r128", "svd-r64", "tucker-r64x64"):
        run, gpu = simulate(layer, "tpu-v1", name), simulate(layer, "h200", name)
        times = (f"{machine.seconds * 1e6:.1f} us" for machine in (run, gpu))
        rows.append([name, f"{run.counts.multiplies / 1e6:.0f} M", *times])
    head = ["algorithm", "multiplications", "tpu-v1, int8", "h200, fp32"]
    return Table(head, rows, f"{layer.summary}.")


LESSONS.register("sparsity")(Sparsity())
