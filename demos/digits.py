"""Sparsity on a real network: digits of 8 x 8 pixels (scikit-learn's data set), two convolutions, trained and pruned here.

    python demos/digits.py [--density 0.25]

The second convolution is counted in every form: direct, with its zeros skipped, as Winograd of the pruned filters (the
transform fills the zeros in again), and as Winograd-ReLU, where the filters are pruned and the activations are ReLU'd
between the transforms (Liu et al., ICLR 2018). Counts are of the trained weights and of the test images' activations.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from hwsim.algorithms import lower
from hwsim.algorithms.winograd import transforms
from hwsim.count.effectual import effectual_multiplies
from hwsim.describe.layer import ConvLayer
from hwsim.report.tables import text_table

Array = npt.NDArray[np.float64]

CHANNELS, FILTERS, SIDE, TAPS, TILE = 16, 32, 8, 3, 2
EPOCHS, RETRAIN, BATCH, RATE = 12, 8, 64, 2e-3


def windows(x: Array, size: int, step: int) -> Array:
    """[n, c, rows, columns, size, size] of images padded by one."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))[
        :, :, ::step, ::step
    ]


def spread(patches: Array, step: int) -> Array:
    """The transpose of windows: patches [n, c, rows, columns, size, size] added up into images."""
    n, c, rows, columns, size, _ = patches.shape
    padded = np.zeros((n, c, SIDE + 2, SIDE + 2))
    for row, column in np.ndindex(size, size):
        padded[:, :, row : row + rows * step : step, column : column + columns * step : step] += (
            patches[..., row, column]
        )
    return padded[:, :, 1:-1, 1:-1]


@dataclass
class Direct:
    """A 3 x 3 convolution of ReLU'd activations."""

    w: Array
    kept: dict[str, Array] = field(default_factory=dict)

    def forward(self, x: Array) -> Array:
        self.kept = {"x": np.maximum(x, 0), "positive": x > 0}
        self.kept["windows"] = windows(self.kept["x"], TAPS, 1)
        return np.einsum("ncpqrs,kcrs->nkpq", self.kept["windows"], self.w, optimize=True)

    def backward(self, slope: Array) -> tuple[Array, Array]:
        """(slope of x, slope of w)"""
        patches = np.einsum("nkpq,kcrs->ncpqrs", slope, self.w, optimize=True)
        return spread(patches, 1) * self.kept["positive"], np.einsum(
            "nkpq,ncpqrs->kcrs", slope, self.kept["windows"], optimize=True
        )


class WinogradRelu(Direct):
    """out = A^T [w . max(0, B^T d B)] A for every patch d; w [k, c, 4, 4] is what is trained."""

    def __init__(self, w: Array) -> None:
        super().__init__(w)
        exact = transforms(TILE, TAPS)
        self.b_t, self.a_t = np.array(exact.b_t, float), np.array(exact.a_t, float)

    def forward(self, x: Array) -> Array:
        v = np.einsum(
            "ai,ncyxij,bj->ncyxab",
            self.b_t,
            windows(x, TILE + TAPS - 1, TILE),
            self.b_t,
            optimize=True,
        )
        self.kept = {"x": x, "positive": v > 0, "v": np.maximum(v, 0)}
        m = np.einsum("ncyxab,kcab->nkyxab", self.kept["v"], self.w, optimize=True)
        tiles = np.einsum("ia,nkyxab,jb->nkyixj", self.a_t, m, self.a_t, optimize=True)
        return tiles.reshape(len(x), -1, SIDE, SIDE)

    def backward(self, slope: Array) -> tuple[Array, Array]:
        tiles = slope.reshape(*slope.shape[:2], SIDE // TILE, TILE, SIDE // TILE, TILE)
        m = np.einsum("ia,nkyixj,jb->nkyxab", self.a_t, tiles, self.a_t, optimize=True)
        v = np.einsum("nkyxab,kcab->ncyxab", m, self.w, optimize=True) * self.kept["positive"]
        patches = np.einsum("ai,ncyxab,bj->ncyxij", self.b_t, v, self.b_t, optimize=True)
        return spread(patches, TILE), np.einsum(
            "nkyxab,ncyxab->kcab", m, self.kept["v"], optimize=True
        )


class Network:
    """Convolution 1 -> 16, a layer of interest 16 -> 32, ReLU, and a linear classifier; trained by Adam."""

    def __init__(self, layer: Direct, seed: int) -> None:
        dice = np.random.default_rng(seed)
        self.layer = layer
        self.first = dice.normal(0, 0.4, (CHANNELS, 1, TAPS, TAPS))
        self.last = dice.normal(0, 0.02, (FILTERS * SIDE * SIDE, 10))
        self.mask = np.ones_like(layer.w)
        self._moments = [[np.zeros_like(w), np.zeros_like(w)] for w in self.weights()]
        self._steps = 0

    def weights(self) -> list[Array]:
        return [self.first, self.layer.w, self.last]

    def scores(self, images: Array) -> Array:
        self._windows = windows(images, TAPS, 1)
        self.middle = np.einsum("ncpqrs,kcrs->nkpq", self._windows, self.first, optimize=True)
        self._out = self.layer.forward(self.middle)
        return np.maximum(self._out, 0).reshape(len(images), -1) @ self.last

    def accuracy(self, images: Array, labels: Array) -> float:
        return float((self.scores(images).argmax(axis=1) == labels).mean())

    def step(self, images: Array, labels: Array) -> None:
        scores = self.scores(images)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(len(labels)), labels] -= 1
        shares /= len(labels)
        flat = np.maximum(self._out, 0).reshape(len(images), -1)
        slope = (shares @ self.last.T).reshape(self._out.shape) * (self._out > 0)
        middle, own = self.layer.backward(slope)
        first = np.einsum("nkpq,ncpqrs->kcrs", middle, self._windows, optimize=True)
        self._adam([first, own * self.mask, flat.T @ shares])

    def _adam(self, slopes: list[Array]) -> None:
        """Kingma and Ba 2015."""
        self._steps += 1
        for weight, slope, moments in zip(self.weights(), slopes, self._moments, strict=True):
            moments[0] += 0.1 * (slope - moments[0])
            moments[1] += 0.001 * (slope**2 - moments[1])
            mean, square = (
                moments[0] / (1 - 0.9**self._steps),
                moments[1] / (1 - 0.999**self._steps),
            )
            np.subtract(weight, RATE * mean / (np.sqrt(square) + 1e-8), out=weight)
        self.layer.w *= self.mask

    def train(self, images: Array, labels: Array, epochs: int, seed: int) -> None:
        dice = np.random.default_rng(seed)
        for _ in range(epochs):
            order = dice.permutation(len(images))
            for start in range(0, len(images), BATCH):
                chosen = order[start : start + BATCH]
                self.step(images[chosen], labels[chosen])

    def prune(self, density: float) -> None:
        """Keep this share of the layer's weights, the largest."""
        self.mask = (np.abs(self.layer.w) >= np.quantile(np.abs(self.layer.w), 1 - density)).astype(
            float
        )
        self.layer.w *= self.mask


@dataclass(frozen=True)
class Form:
    """One way to do the layer: what is left of weights and activations, and what that takes for an image."""

    name: str
    accuracy: float
    weights: float
    activations: float
    effectual: float
    expected: float


def forms(density: float) -> Iterator[Form]:
    """Train, prune, train again; then count every form on the test images."""
    digits = load_digits()
    images, labels = digits.images[:, None] / 16.0, digits.target
    images, test, labels, answers = train_test_split(
        images, labels, test_size=0.2, random_state=0, stratify=labels
    )
    dice = np.random.default_rng(1)
    plain = Network(Direct(dice.normal(0, 0.1, (FILTERS, CHANNELS, TAPS, TAPS))), 0)
    plain.train(images, labels, EPOCHS, 0)
    yield from _counted("direct", "winograd-f2", plain, test, answers)
    plain.prune(density)
    plain.train(images, labels, RETRAIN, 1)
    yield from _counted("direct, pruned", "winograd-f2 of the pruned", plain, test, answers)
    size = TILE + TAPS - 1
    rectified = Network(WinogradRelu(dice.normal(0, 0.1, (FILTERS, CHANNELS, size, size))), 0)
    rectified.train(images, labels, EPOCHS, 0)
    rectified.prune(density)
    rectified.train(images, labels, RETRAIN, 1)
    accuracy, layer = rectified.accuracy(test, answers), rectified.layer
    u = layer.w.transpose(2, 3, 0, 1).reshape(size * size, FILTERS, CHANNELS)
    yield _form(
        "winograd-f2-relu, pruned",
        accuracy,
        "winograd-f2-relu",
        {"ifmap": layer.kept["x"], "U": u},
        layer.w,
        layer.kept["v"],
    )


def _counted(
    direct: str, winograd: str, network: Network, test: Array, answers: Array
) -> Iterator[Form]:
    accuracy, layer = network.accuracy(test, answers), network.layer
    given = {"ifmap": layer.kept["x"], "filter": layer.w}
    yield _form(direct, accuracy, "direct", given, layer.w, layer.kept["x"])
    exact = transforms(TILE, TAPS)
    g, b_t = np.array(exact.g, float), np.array(exact.b_t, float)
    u = np.einsum("ar,kcrs,bs->kcab", g, layer.w, g, optimize=True)
    v = np.einsum(
        "ai,ncyxij,bj->ncyxab",
        b_t,
        windows(layer.kept["x"], TILE + TAPS - 1, TILE),
        b_t,
        optimize=True,
    )
    yield _form(winograd, accuracy, "winograd-f2", given, u, v)


def _form(
    name: str,
    accuracy: float,
    algorithm: str,
    given: dict[str, Array],
    weights: Array,
    activations: Array,
) -> Form:
    images = len(given["ifmap"])
    layer = ConvLayer(images, CHANNELS, SIDE, SIDE, FILTERS, TAPS, TAPS, pad=1)
    plan = lower(layer, algorithm)
    shares = float(np.mean(weights != 0)), float(np.mean(activations != 0))
    products = sum(stage.operations.effectual_multiplies for stage in plan.stages)
    return Form(
        name,
        accuracy,
        *shares,
        effectual_multiplies(plan, given) / images,
        products * shares[0] * shares[1] / images,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--density",
        type=float,
        default=0.25,
        help="share of the weights that pruning keeps (default 0.25)",
    )
    density = parser.parse_args().density
    if not 0 < density <= 1:
        parser.error(f"--density {density}; expected a share above 0 and up to 1")
    found = list(forms(density))
    dense = FILTERS * CHANNELS * TAPS * TAPS * SIDE * SIDE
    rows = [
        [
            form.name,
            f"{form.accuracy:.1%}",
            f"{form.weights:.0%}",
            f"{form.activations:.0%}",
            f"{form.effectual:,.0f}",
            f"{form.expected:,.0f}",
            f"{dense / form.effectual:.2f}",
        ]
        for form in found
    ]
    print(
        text_table(
            [
                "the 16 -> 32 convolution",
                "correct",
                "weights",
                "activ.",
                "effectual",
                "expected",
                "gain",
            ],
            rows,
        )
    )
    print(f"""
weights, activ.: shares that are not zero where they are multiplied.
effectual: multiplications an image whose operands are both not zero, counted;
expected: from the two shares. gain: of the {dense:,} that direct convolution does.""")


if __name__ == "__main__":
    main()
