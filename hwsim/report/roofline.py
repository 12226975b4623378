"""The roofline of S. Williams et al., CACM 2009: rate against multiplications per byte of DRAM
traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.results.result import Result


@dataclass(frozen=True)
class Point:
    """A layer: multiplications per DRAM byte, and per second."""

    layer: str
    algorithm: str
    intensity: float
    rate: float


@dataclass(frozen=True)
class Roof:
    """peak: multiplications a second; bandwidth: DRAM bytes a second."""

    peak: float
    bandwidth: float
    points: tuple[Point, ...]

    @property
    def span(self) -> tuple[float, float]:
        """The intensities a plot should show."""
        values = [point.intensity for point in self.points] or [1.0]
        return min(values) / 2, max(values) * 2


def roofs(results: Sequence[Result]) -> Roof:
    """The roof of one machine's results."""
    points = tuple(
        Point(
            layer.name,
            result.algorithm,
            layer.operations.multiplies / layer.dram_bytes,
            layer.operations.multiplies / layer.seconds,
        )
        for result in results
        for layer in result.layers
        if layer.operations.multiplies and layer.dram_bytes
    )
    first = results[0]
    return Roof(first.peak_macs_per_cycle * first.clock_hz, first.dram_bytes_per_second, points)
