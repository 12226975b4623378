"""Attention: two products of data with data around a softmax, apart or block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.algorithms import ALGORITHMS, Algorithm
from hwsim.describe.layer import OPERATIONS, AttentionLayer, Layer
from hwsim.describe.machine import Role
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution, width
from hwsim.ir.stage import GemmView, Operations, Plan, Rows, Stage
from hwsim.ir.tensor import Tensor, along

if TYPE_CHECKING:
    from hwsim.algorithms import Array

TEMPORARIES = ("S", "P")


class Attention:
    """The scores of all pairs are written, and read by the softmax and the second product."""

    name = "attention"
    summary = "scores, softmax and sums one after another"

    def refuses(self, layer: Layer) -> str | None:
        return None if isinstance(layer, AttentionLayer) else "it is not attention"

    def lower(self, layer: Layer) -> Plan:
        if not isinstance(layer, AttentionLayer):
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        return Plan(self.name, _stages(layer), TEMPORARIES)

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        raise HwsimError(f"{self.name}: it does not convolve")


class FlashAttention(Attention):
    """The same in blocks of queries, whose scores never leave the chip.

        for blocks of b, m:  S = Q K^T; P = softmax(S); O = P V

    A block keeps its scores of all keys, where a GPU's kernel goes over them in parts and corrects
    its sums; what comes and goes is the same. Dao et al. 2022, arXiv:2205.14135.
    """

    name = "flash-attention"
    summary = "attention in blocks whose scores stay on the chip"

    def lower(self, layer: Layer) -> Plan:
        if not isinstance(layer, AttentionLayer):
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        return Plan(self.name, _stages(layer), TEMPORARIES, fused_over=("b", "m"), one_kernel=True)


def _stages(layer: AttentionLayer) -> tuple[Stage, Stage, Stage]:
    """The three stages: scores, their softmax, and the sums of values.

        for b, m, n, d:  S[b][m][n] += Q[b][m][d] * K[b][n][d]
        for b, m, n:     P[b][m][n] = softmax over n of S[b][m][n]
        for b, m, n, d:  O[b][m][d] += P[b][m][n] * V[b][n][d]

    b: sequences and heads of K and V; m: the tokens of all the heads that ask one of them; n:
    tokens asked; d: width of a head. What is masked is computed all the same.
    """
    bytes_ = width(layer.dtype)
    b, m = along("b", layer.n * layer.kv_heads), along("m", layer.rows)
    n, d = along("n", layer.kv), along("d", layer.d)
    sizes = {"b": b.size, "m": m.size, "n": n.size, "d": d.size}
    pairs = layer.n * layer.heads * layer.pairs
    kept: Role = "activation"  # data takes the weights' place in the product alone

    def product(
        name: str, left: Tensor, right: Tensor, out: Tensor, order: str, view: GemmView
    ) -> Stage:
        return Stage(
            name,
            tuple((dim, sizes[dim]) for dim in order),
            (left, right, out),
            Operations(multiplies=1, additions=1),
            pairs * layer.d,
            view,
            statement=f"{out.name} += {left.name} * {right.name}",
        )

    softmax = Stage(
        "softmax",
        tuple((dim, sizes[dim]) for dim in "bmn"),
        (Tensor("S", "activation", (b, m, n), bytes_), Tensor("P", "output", (b, m, n), bytes_)),
        Operations(additions=OPERATIONS["softmax"]),
        statement="P = softmax(S)",
        rows=Rows("softmax", ("n",)),
    )
    return (
        product(
            "scores",
            Tensor("Q", "activation", (b, m, d), bytes_),
            Tensor("K", "weight", (b, n, d), bytes_, kept_as=kept),
            Tensor("S", "output", (b, m, n), bytes_),
            "bmnd",
            GemmView(("m",), ("n",), ("d",), ("b",)),
        ),
        softmax,
        product(
            "sums",
            Tensor("P", "activation", (b, m, n), bytes_),
            Tensor("V", "weight", (b, n, d), bytes_, kept_as=kept),
            Tensor("O", "output", (b, m, d), bytes_),
            "bmdn",
            GemmView(("m",), ("d",), ("n",), ("b",)),
        ),
    )


ALGORITHMS.register("attention")(_attention := Attention())
ALGORITHMS.register("flash-attention")(_flash := FlashAttention())
_checked: tuple[Algorithm, Algorithm] = (_attention, _flash)
