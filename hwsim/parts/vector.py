"""A vector unit beside a tensor unit: activations, pooling, and the transforms of fast
convolution."""

from dataclasses import dataclass
from typing import ClassVar

from hwsim.describe.machine import PARTS, Part
from hwsim.describe.reading import count


@PARTS.register("vector")
@dataclass(frozen=True)
class VectorUnit(Part):
    """lanes: element operations a cycle."""

    kind: ClassVar[str] = "vector"
    lanes: int = count()
