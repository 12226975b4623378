"""Matrix products: of a network's weights, and of data with data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hwsim.describe.layer.checks import whole_faults
from hwsim.describe.layer.density import DENSE, Density, reject
from hwsim.describe.reading import count


@dataclass(frozen=True)
class LinearLayer:
    """n vectors of c inputs to k outputs.

    experts: matrices of weights, of which each vector passes through one; they are spread evenly,
    and experts without a vector are not read.
    """

    n: int = count()
    c: int = count()
    k: int = count()
    dtype: str | None = None
    density: Density = DENSE
    experts: int = count(default=1)

    def __post_init__(self) -> None:
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from whole_faults(self, {"n": 1, "c": 1, "k": 1, "experts": 1})

    @property
    def macs(self) -> int:
        return self.n * self.c * self.k

    @property
    def used_experts(self) -> int:
        """Matrices that are read."""
        return min(self.experts, self.n)

    @property
    def output(self) -> tuple[int, int, int]:
        return self.k, 1, 1

    @property
    def summary(self) -> str:
        experts = f" of {self.experts} experts" if self.experts > 1 else ""
        return f"linear {self.c} -> {self.k}{experts}"


@dataclass(frozen=True)
class GemmLayer:
    """C[b][m][n] += A[b][m][k] B[b][k][n], `batch` products of their own operands each.

    operand: what B is, the network's weights (kept and packed before inference) or data.
    """

    m: int = count()
    n: int = count()
    k: int = count()
    dtype: str | None = None
    density: Density = DENSE
    batch: int = count(default=1)
    operand: Literal["weight", "data"] = "weight"

    def __post_init__(self) -> None:
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from whole_faults(self, {"m": 1, "n": 1, "k": 1, "batch": 1})
        if self.operand not in ("weight", "data"):
            yield "operand", f"{self.operand!r}; expected weight or data"

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.n * self.k

    @property
    def output(self) -> tuple[int, int, int]:
        return self.n, self.m, 1

    @property
    def summary(self) -> str:
        times = f"{self.batch} x " if self.batch > 1 else ""
        return f"gemm {times}{self.m}x{self.n}x{self.k}"


@dataclass(frozen=True)
class AttentionLayer:
    """softmax(Q K^T / sqrt(d)) V of n sequences and `heads` heads.

    Vaswani et al. 2017, arXiv:1706.03762:

        for n, head, q, kv, d:  S[q][kv] += Q[q][d] * K[kv][d]
        for n, head, q, kv:     P[q][kv] = softmax over kv of S[q][kv]
        for n, head, q, kv, d:  O[q][d] += P[q][kv] * V[kv][d]

    q: tokens that ask; kv: tokens that are asked, of the cache and new ones together. kv_heads:
    heads of K and V, each asked by heads / kv_heads heads (Ainslie et al. 2023, arXiv:2305.13245);
    0: as many as heads. causal: a token asks those up to itself alone, the last q of kv asking.
    window: of those, the last so many alone (0: all).
    """

    n: int = count()
    heads: int = count()
    q: int = count()
    kv: int = count()
    d: int = count()
    kv_heads: int = count(default=0, least=0)
    causal: bool = False
    dtype: str | None = None
    window: int = count(default=0, least=0)

    def __post_init__(self) -> None:
        if self.kv_heads == 0:
            object.__setattr__(self, "kv_heads", self.heads)
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        wrong = list(
            whole_faults(self, dict.fromkeys(("n", "heads", "q", "kv", "d", "kv_heads"), 1))
        )
        yield from wrong
        if wrong:
            return
        if self.heads % self.kv_heads:
            yield "kv_heads", f"{self.kv_heads}; expected a divisor of {self.heads} heads"
        if self.causal and self.q > self.kv:
            yield "q", f"{self.q} tokens ask {self.kv}; expected no more than are asked"
        if self.window and not self.causal:
            yield "window", f"{self.window}; expected causal: true beside it"

    @property
    def rows(self) -> int:
        """Of Q for each head of K and V: the tokens of all the heads that ask it."""
        return self.heads // self.kv_heads * self.q

    @property
    def pairs(self) -> int:
        """(token that asks, token asked) of a head."""
        if not self.causal:
            return self.q * self.kv
        first = self.kv - self.q + 1  # what the first token asks
        window = self.window or self.kv
        growing = min(self.q, max(0, window - first))
        return (
            growing * first
            + growing * (growing - 1) // 2
            + (self.q - growing) * min(window, self.kv)
        )

    @property
    def macs(self) -> int:
        """Two products of d for every pair: 2 N heads pairs D."""
        return 2 * self.n * self.heads * self.pairs * self.d

    @property
    def output(self) -> tuple[int, int, int]:
        return self.heads * self.d, self.q, 1

    @property
    def summary(self) -> str:
        heads = f"{self.heads}" if self.kv_heads == self.heads else f"{self.heads}/{self.kv_heads}"
        masked = ", causal" if self.causal else ""
        masked += f", window {self.window}" if self.window else ""
        return f"attention {heads} heads, {self.q} of {self.kv} tokens, {self.d} wide{masked}"
