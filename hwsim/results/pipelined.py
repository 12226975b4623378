"""Layers side by side on a chip, images moving from one to the next: each layer its share of the
units.

image 0   [conv1][conv2][conv3]
image 1          [conv1][conv2][conv3]            an image leaves every interval: the time of the
slowest layer
image 2                 [conv1][conv2][conv3]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace


@dataclass(frozen=True)
class Pipelined:
    """interval: seconds from image to image once the pipeline is full. latency: of one image
    through all layers."""

    interval: float
    latency: float
    units: tuple[int, ...]


def pipelined(seconds: Sequence[float], units: int) -> Pipelined | None:
    """Layers that take so long on all units, on whole units each, shared out so that the slowest is
    as quick as can be.

    A layer on a share of the units is taken to need in proportion longer. None when there are more
    layers than units.
    """
    if not seconds or len(seconds) > units:
        return None
    shares = [1] * len(seconds)
    slowest = [(-time * units, number) for number, time in enumerate(seconds)]
    heapify(slowest)
    for _ in range(
        units - len(seconds)
    ):  # each further unit to the layer that is slowest: no other choice helps it
        number = slowest[0][1]
        shares[number] += 1
        heapreplace(slowest, (-seconds[number] * units / shares[number], number))
    times = [time * units / share for time, share in zip(seconds, shares, strict=True)]
    return Pipelined(max(times), len(times) * max(times), tuple(shares))
