"""Zeros of a layer's tensors: their shares, and how those of the weights lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.errors import HwsimError


@dataclass(frozen=True)
class Density:
    """Shares of the weights, of the input activations and of the outputs that are not zero.

    structure: how the zeros of the weights lie: 'unstructured' (spread evenly), '2:4' (N non-zero
    of every M along the channels, which fixes weights = N/M), '16x16' (whole blocks of filters x
    channels) or 'channels' (whole channels). Raises HwsimError for a share outside (0, 1] and for a
    structure that is none.
    """

    weights: float = 1.0
    activations: float = 1.0
    structure: str = "unstructured"
    outputs: float = 1.0

    def __post_init__(self) -> None:
        group = self.of_group
        if group is not None and 0 < group[0] < group[1] and self.weights == 1.0:
            object.__setattr__(self, "weights", group[0] / group[1])
        reject(self, self.faults())

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in ("weights", "activations", "outputs"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
                yield name, f"{share!r}; expected a share above 0 and up to 1"
        group = self.of_group
        if group is not None and not 0 < group[0] < group[1]:
            yield (
                "structure",
                f"{self.structure!r}; expected 1 to {group[1] - 1} of {group[1]}, as in 2:4",
            )
        elif group is not None and self.weights != group[0] / group[1]:
            yield (
                "weights",
                f"{self.weights}; {self.structure} keeps {group[0] / group[1]:g}, expected that "
                f"or none stated",
            )
        elif (
            group is None
            and self.block is None
            and self.structure not in ("unstructured", "channels")
        ):
            yield (
                "structure",
                f"{self.structure!r}; expected unstructured, channels, N:M such as 2:4, or a "
                f"block such as 16x16",
            )

    @property
    def of_group(self) -> tuple[int, int] | None:
        """(N, M) of N:M, else None."""
        return _pair(self.structure, ":")

    @property
    def spares_taps(self) -> bool:
        """Are a filter's taps for a channel zero only all together?

        Then transforms of the taps keep the zeros.
        """
        return self.block is not None or self.structure == "channels"

    @property
    def block(self) -> tuple[int, int] | None:
        """(filters, channels) of a block, else None."""
        pair = _pair(self.structure, "x")
        return pair if pair and min(pair) > 0 else None


def _pair(text: str, between: str) -> tuple[int, int] | None:
    first, mark, second = str(text).partition(between)
    return (int(first), int(second)) if mark and first.isdecimal() and second.isdecimal() else None


def reject(layer: object, faults: Iterator[tuple[str, str]]) -> None:
    """Raise HwsimError for the faults of a layer, or of a density."""
    density = getattr(layer, "density", DENSE) if not isinstance(layer, Density) else None
    if density is not None and not isinstance(density, Density):
        raise HwsimError(f"{type(layer).__name__}: density: {density!r}; expected a Density")
    problems = [f"{field}: {what}" for field, what in faults]
    if problems:
        raise HwsimError(f"{type(layer).__name__}: " + "; ".join(problems))


DENSE = Density()
