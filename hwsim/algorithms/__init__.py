"""Convolution algorithms, one file each: what it supports, how it lowers, how it computes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from hwsim.describe.layer import (
    AttentionLayer,
    ConvLayer,
    ConvTransposeLayer,
    Density,
    GemmLayer,
    Layer,
    MemoryLayer,
    ProductLayer,
)
from hwsim.errors import HwsimError, UnknownName
from hwsim.ir.note import About, Note
from hwsim.ir.stage import Plan
from hwsim.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hwsim.ir.convolution import Convolution

    Array = npt.NDArray[np.float64]


class Algorithm(Protocol):
    """A way to compute a layer.

    refuses: why a layer cannot be done this way, or None. lower: the stages. compute: the result
    along those stages, x [n, c, h, w] and w [k, c/groups, r, s] (transposed layers: [c, k/groups,
    r, s]) in float64 -> [n, k, p, q].
    """

    name: str
    summary: str

    def refuses(self, layer: Layer) -> str | None: ...

    def lower(self, layer: Layer) -> Plan: ...

    def compute(self, layer: Convolution, x: Array, w: Array) -> Array: ...


class Family(Protocol):
    """Algorithms that differ in a number, as winograd-f<m> does. pattern: of their names."""

    pattern: str
    summary: str

    def member(self, name: str) -> Algorithm | None: ...


ALGORITHMS: Registry[Algorithm] = Registry("algorithm", "hwsim.algorithms")
FAMILIES: Registry[Family] = Registry("algorithm family", "hwsim.algorithms")

AUTO = "auto"  # the best on a machine, chosen by hwsim.choose
DIRECT = "direct"
FALLBACK = "implicit-gemm"
MEMORY_BOUND = "memory-bound"
ATTENTION, FLASH = "attention", "flash-attention"


def unless_product(layer: Layer) -> str | None:
    """Why an algorithm for convolutions and matrix products refuses a layer."""
    return None if isinstance(layer, ProductLayer) else "it is not a convolution or a product"


def unless_convolution(layer: Layer) -> str | None:
    """Why an algorithm for convolutions alone refuses a layer."""
    return None if isinstance(layer, (ConvLayer, ConvTransposeLayer)) else "it is not a convolution"


def convolve(layer: Convolution, plan: Plan, x: Array, w: Array) -> Array:
    """What a plan's stages make of a layer's input and filters, in float64.

    Shapes are as in Algorithm.compute.
    """
    from hwsim.ir.evaluate import convolve as run

    return run(layer, plan, x, w)


def find_algorithm(name: str) -> Algorithm:
    """The algorithm of this name.

    Raises UnknownName, or HwsimError for a family's number out of range and for 'auto'.
    """
    if name == AUTO:
        raise HwsimError(
            f"algorithm {AUTO!r} where one is needed; expected one of "
            f"{', '.join(user_algorithms())}"
        )
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    for family in FAMILIES:
        member = FAMILIES[family].member(name)
        if member is not None:
            return member
    raise UnknownName(
        "algorithm",
        name,
        [*user_algorithms(), AUTO, *(FAMILIES[family].pattern for family in FAMILIES)],
    )


def user_algorithms() -> list[str]:
    """The algorithms a user can ask for by name."""
    return [name for name in ALGORITHMS if name != MEMORY_BOUND]


def own_algorithm(layer: Layer, name: str) -> str:
    """The algorithm asked for, or what a layer that knows no other is computed by."""
    if isinstance(layer, MemoryLayer):
        return MEMORY_BOUND
    if isinstance(layer, AttentionLayer) and name != FLASH:
        return ATTENTION
    return name


@lru_cache(maxsize=4096)
def lower(layer: Layer, name: str) -> Plan:
    """The layer's stages under an algorithm, or under the one that it falls back to.

    The reason is then in the plan's notes.
    """
    own = own_algorithm(layer, name)
    if own != name:
        find_algorithm(name)
        return find_algorithm(own).lower(layer)
    layer, notes = without_pruned_channels(layer)
    plan = _lowered(layer, name)
    return replace(plan, notes=(*plan.notes, *notes))


def without_pruned_channels(layer: Layer) -> tuple[Layer, tuple[Note, ...]]:
    """A layer whose channels are pruned whole is a smaller dense layer, on any machine."""
    density: Density | None = getattr(layer, "density", None)
    if density is None or density.structure != "channels":
        return layer, ()
    assert isinstance(layer, ProductLayer)
    dense = Density(1.0, density.activations)
    if isinstance(layer, GemmLayer):
        k = max(1, round(layer.k * density.weights))
        return replace(layer, k=k, density=dense), (_pruned(k, layer.k),)
    groups = getattr(layer, "groups", 1)
    c = groups * max(1, round(layer.c // groups * density.weights))
    return replace(layer, c=c, density=dense), (_pruned(c, layer.c),)


def _pruned(left: int, of: int) -> Note:
    return Note(f"channels pruned: {left} of {of} are left")


def _lowered(layer: Layer, name: str) -> Plan:
    algorithm = find_algorithm(name)
    reason = algorithm.refuses(layer)
    if reason is None:
        return algorithm.lower(layer)
    other = find_algorithm(FALLBACK)
    if (refused := other.refuses(layer)) is not None:
        raise HwsimError(
            f"{layer.summary}: {name} does not apply ({reason}), nor does {FALLBACK} ({refused})"
        )
    plan = other.lower(layer)
    return replace(plan, notes=(fallback_note(name, reason), *plan.notes))


def fallback_note(name: str, reason: str) -> Note:
    """What is said of an algorithm that gives way to the one that always applies."""
    return Note(f"{reason}; {FALLBACK} instead", About.FALLBACK, name)


def family_of(name: str) -> str:
    """The family of an algorithm: winograd for winograd-f4x4-fused; else its own name."""
    found = (family for family in FAMILIES if FAMILIES[family].member(name) is not None)
    return next(found, name)


def whole_stages(plan: Plan) -> Plan:
    """The plan itself. Raises HwsimError where its stages run block by block."""
    if plan.fused_over:
        raise HwsimError(
            f"algorithm {plan.algorithm!r} runs its stages block by block; expected one whose "
            f"nests are of whole stages"
        )
    return plan
