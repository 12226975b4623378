"""Layers side by side on a chip, each on its share of the units, images moving through them.

image 0   [conv1][conv2][conv3]
image 1          [conv1][conv2][conv3]            an image leaves every interval:
image 2                 [conv1][conv2][conv3]     the time of the slowest layer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace


@dataclass(frozen=True)
class Pipelined:
    """Times of images that follow each other through layers.

    interval: seconds from image to image once the pipeline is full. latency: of one image through
    all layers.
    """

    interval: float
    latency: float
    units: tuple[int, ...]


def pipelined(seconds: Sequence[float], units: int) -> Pipelined | None:
    """Layers on whole units each, shared out so that the slowest is as quick as can be.

    The times given are those on all units.

    A layer on a share of the units is taken to need in proportion longer. None when there are more
    layers than units.
    """
    if not seconds or len(seconds) > units:
        return None
    shares = [1] * len(seconds)
    slowest = [(-time * units, number) for number, time in enumerate(seconds)]
    heapify(slowest)
    # each further unit goes to the layer that is slowest: no other choice helps it
    for _ in range(units - len(seconds)):
        number = slowest[0][1]
        shares[number] += 1
        heapreplace(slowest, (-seconds[number] * units / shares[number], number))
    times = [time * units / share for time, share in zip(seconds, shares, strict=True)]
    return Pipelined(max(times), len(times) * max(times), tuple(shares))
