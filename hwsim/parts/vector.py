"""A vector unit beside a tensor unit: activations, pooling, and the transforms of fast convolution."""

from dataclasses import dataclass
from typing import ClassVar

from hwsim.config import count
from hwsim.spec.machine import PARTS, Part


@PARTS.register("vector")
@dataclass(frozen=True)
class VectorUnit(Part):
    """lanes: element operations a cycle."""

    kind: ClassVar[str] = "vector"
    lanes: int = count()
