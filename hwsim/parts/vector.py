"""A vector unit beside a tensor unit: activations, pooling, fast convolution's transforms."""

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
