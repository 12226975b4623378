"""Low-rank convolution: a filter bank factorised before inference.

Its factors are convolutions, applied one after another:

    svd      W [K][C R S] ~ A [K][rank] B [rank][C R S]
             R x S to `rank` channels, then 1 x 1 to K
    tucker   W [K][C][R][S] ~ A [K][rk] core [rk][rc][R][S] B [rc][C]
             1 x 1 to rc channels, R x S to rk, 1 x 1 to K

At full rank the result is the convolution; below it, the best approximation of the weights that the
form allows (tucker: nearly the best). Zhang et al. 2016 (TPAMI 38); Kim et al., "Compression of
Deep Convolutional Neural Networks", ICLR 2016.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hwsim.algorithms import FAMILIES, Algorithm, unless_convolution
from hwsim.describe.layer import DENSE, ConvLayer, Density, Layer
from hwsim.errors import HwsimError
from hwsim.ir.convolution import Convolution, conv_stages
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Plan, Stage

if TYPE_CHECKING:
    from hwsim.algorithms import Array

WHOLE = ("c", "r", "s")


class LowRank:
    """What both forms share: a chain of convolutions, each reading what the one before wrote."""

    def __init__(self, name: str, ranks: tuple[int, ...]) -> None:
        self.name, self.ranks = name, ranks

    def limits(self, layer: ConvLayer) -> tuple[int, ...]:
        raise NotImplementedError

    def chain(self, layer: ConvLayer) -> tuple[ConvLayer, ...]:
        raise NotImplementedError

    def factors(self, layer: ConvLayer, w: Array) -> tuple[Array, ...]:
        raise NotImplementedError

    def refuses(self, layer: Layer) -> str | None:
        if not isinstance(layer, ConvLayer):
            return (
                unless_convolution(layer)
                or "it is a transposed convolution, which the factors are not worked out for"
            )
        for rank, limit in zip(self.ranks, self.limits(layer), strict=True):
            if rank > limit:
                return f"rank {rank}; expected 1 to {limit}"
        return None

    def lower(self, layer: Layer) -> Plan:
        if not isinstance(layer, ConvLayer) or self.refuses(layer) is not None:
            raise HwsimError(f"{self.name}: {self.refuses(layer)}")
        links = self.chain(layer)
        stages = tuple(_link(link, number, len(links)) for number, link in enumerate(links))
        return Plan(
            self.name,
            stages,
            tuple(f"Z{number + 1}" for number in range(len(links) - 1)),
            (Note("approximates the layer unless the rank is full", About.RESULT),),
        )

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array:
        from hwsim.ir.evaluate import evaluate

        assert isinstance(layer, ConvLayer)
        factors = {
            f"filter{number + 1}": factor for number, factor in enumerate(self.factors(layer, w))
        }
        return evaluate(self.lower(layer), {"ifmap": x, **factors})["ofmap"].reshape(
            layer.n, layer.k, layer.p, layer.q
        )

    def reconstruction_error(self, layer: ConvLayer, w: Array) -> float:
        """|W - product of its factors| / |W|, Frobenius norms: 0 at full rank, 1 at none."""
        import numpy as np

        return float(np.linalg.norm(w - self.rebuilt(layer, w)) / np.linalg.norm(w))

    def rebuilt(self, layer: ConvLayer, w: Array) -> Array:
        """The filters that the factors stand for."""
        raise NotImplementedError


def _link(layer: ConvLayer, number: int, of: int) -> Stage:
    """A convolution of the chain, its tensors named by its place."""
    (stage,) = conv_stages(layer, WHOLE)
    names = {
        "ifmap": "ifmap" if number == 0 else f"Z{number}",
        "filter": f"filter{number + 1}",
        "ofmap": "ofmap" if number == of - 1 else f"Z{number + 1}",
    }
    tensors = tuple(replace(tensor, name=names[tensor.name]) for tensor in stage.tensors)
    statement = f"{names['ofmap']} += {names['ifmap']} * {names['filter']}"
    return replace(stage, name=f"factor-{number + 1}", tensors=tensors, statement=statement)


def _inner(layer: ConvLayer, c: int, k: int, *, taps: bool, first: bool) -> ConvLayer:
    """A link with c and k channels a group, as the layer's window or as 1 x 1.

    A link of 1 x 1 runs on what the window left, or will read.
    """
    density = Density(1.0, layer.density.activations) if first else DENSE
    if taps:
        return replace(layer, c=c * layer.groups, k=k * layer.groups, density=density)
    h, w = (layer.h, layer.w) if first else (layer.p, layer.q)
    return ConvLayer(
        layer.n,
        c * layer.groups,
        h,
        w,
        k * layer.groups,
        1,
        1,
        groups=layer.groups,
        dtype=layer.dtype,
        density=density,
    )


class Svd(LowRank):
    """rank (C/groups R S N P Q + K/groups N P Q) multiplications a group.

    The rank is up to min(K/groups, C/groups R S).
    """

    summary = "an R x S convolution to rank channels, then 1 x 1 to K"

    def limits(self, layer: ConvLayer) -> tuple[int, ...]:
        return (min(layer.k, layer.c * layer.r * layer.s) // layer.groups,)

    def chain(self, layer: ConvLayer) -> tuple[ConvLayer, ...]:
        (rank,) = self.ranks
        return (
            _inner(layer, layer.c // layer.groups, rank, taps=True, first=True),
            _inner(layer, rank, layer.k // layer.groups, taps=False, first=False),
        )

    def factors(self, layer: ConvLayer, w: Array) -> tuple[Array, ...]:
        import numpy as np

        (rank,) = self.ranks
        banks = w.reshape(layer.groups, layer.k // layer.groups, -1)
        u, values, v = np.linalg.svd(banks, full_matrices=False)
        inner = v[:, :rank].reshape(layer.groups, rank, layer.c // layer.groups, layer.r, layer.s)
        return inner, (u[:, :, :rank] * values[:, None, :rank])[..., None, None]

    def rebuilt(self, layer: ConvLayer, w: Array) -> Array:
        inner, outer = self.factors(layer, w)
        return (outer[..., 0, 0] @ inner.reshape(layer.groups, self.ranks[0], -1)).reshape(w.shape)


class Tucker(LowRank):
    """rc C H W + rk rc R S P Q + K rk P Q multiplications an image.

    C, K and the ranks are those of a group; the ranks are up to C and K.
    """

    summary = "1 x 1 to rc channels, R x S to rk, then 1 x 1 to K"

    def limits(self, layer: ConvLayer) -> tuple[int, ...]:
        return layer.c // layer.groups, layer.k // layer.groups

    def chain(self, layer: ConvLayer) -> tuple[ConvLayer, ...]:
        rc, rk = self.ranks
        c, k = self.limits(layer)
        return (
            _inner(layer, c, rc, taps=False, first=True),
            _inner(layer, rc, rk, taps=True, first=False),
            _inner(layer, rk, k, taps=False, first=False),
        )

    def factors(self, layer: ConvLayer, w: Array) -> tuple[Array, ...]:
        """Higher-order SVD: the leading singular vectors along C and K, and the core between.

        The vectors are those of the unfoldings.
        """
        import numpy as np

        rc, rk = self.ranks
        c, k = self.limits(layer)
        banks = w.reshape(layer.groups, k, c, layer.r, layer.s)
        outer = np.linalg.svd(banks.reshape(layer.groups, k, -1), full_matrices=False)[0]
        inner = np.linalg.svd(
            banks.swapaxes(1, 2).reshape(layer.groups, c, -1), full_matrices=False
        )[0]
        a, b = _columns(outer, rk), _columns(inner, rc)
        core = np.einsum("gka,gkcrs,gcb->gabrs", a, banks, b, optimize=True)
        return b.swapaxes(1, 2)[..., None, None], core, a[..., None, None]

    def rebuilt(self, layer: ConvLayer, w: Array) -> Array:
        import numpy as np

        b, core, a = self.factors(layer, w)
        return np.asarray(
            np.einsum("gka,gabrs,gbc->gkcrs", a[..., 0, 0], core, b[..., 0, 0], optimize=True)
        ).reshape(w.shape)


def _columns(vectors: Array, rank: int) -> Array:
    """The first columns, filled up with zeros where an unfolding is too narrow to have so many."""
    import numpy as np

    short = max(0, rank - vectors.shape[-1])
    return np.pad(vectors[..., :rank], ((0, 0), (0, 0), (0, short)))


class LowRankFamily:
    """svd-r<rank>, tucker-r<rank of C>x<rank of K>."""

    pattern = "svd-r<rank>, tucker-r<rc>x<rk>"
    summary = "filters factorised to a rank; approximate unless it is full"

    def member(self, name: str) -> Algorithm | None:
        match = re.fullmatch(r"(svd|tucker)-r(\d{1,6})(?:x(\d{1,6}))?", name)
        if match is None:
            return None
        ranks: Sequence[int] = [int(rank) for rank in match.groups()[1:] if rank]
        if min(ranks) < 1:
            raise HwsimError(
                f"{name}: rank {min(ranks)}; expected at least 1, and at most what the layer has "
                f"(svd: min(K, C R S))"
            )
        if match[1] == "svd":
            if len(ranks) > 1:
                raise HwsimError(f"{name}: two ranks; expected one, as in svd-r16")
            return Svd(name, tuple(ranks))
        return Tucker(name, (ranks[0], ranks[-1]))


FAMILIES.register("low-rank")(LowRankFamily())
