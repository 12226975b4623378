"""How often a word is used, by cause: what hwsim.count.reuse finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reuse:
    """Uses of a word, and the factors they are made of; None where nothing splits the total."""

    total: float
    convolutional: float | None = None
    fmap: float | None = None
    filter: float | None = None
    accumulation: float | None = None


@dataclass(frozen=True)
class TensorReuse:
    """One tensor of a stage: ideal, and achieved by level."""

    ideal: Reuse
    achieved: Mapping[str, Reuse]
