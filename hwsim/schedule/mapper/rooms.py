"""What the memories of a skeleton hold, as numbers."""

from __future__ import annotations

import numpy as np

from hwsim.ir.nest import Hold
from hwsim.schedule.mapper.kernels import Room
from hwsim.schedule.mapper.model import Model
from hwsim.schedule.mapper.space import OUTER, Skeleton
from hwsim.schedule.mapper.tables import Floats


def first_holds(skeleton: Skeleton) -> tuple[Hold, ...]:
    """On-chip levels whose tiles the outer tiles alone decide."""
    return tuple(
        hold
        for hold in skeleton.holds
        if skeleton.slots_above(hold)
        and all(slot.tile == OUTER for slot in skeleton.slots_above(hold))
    )


def bytes_of(model: Model, hold: Hold) -> int:
    """The bytes that a level has for what moves through it."""
    return model.space.placement.room(model.machine, hold.level)


def room_in(model: Model, skeleton: Skeleton, holds: tuple[Hold, ...]) -> Room:
    """What some levels hold, by group and row. A whole tensor in a first level takes one buffer."""
    levels = list(dict.fromkeys(hold.level for hold in holds))
    limits = [
        bytes_of(model, next(hold for hold in holds if hold.level == level)) for level in levels
    ]
    first = first_holds(skeleton)
    level_of: list[int] = []
    widths: list[float] = []
    once: list[float] = []
    elements: list[float] = []
    columns: list[list[Floats]] = [[] for _ in model.groups]
    for hold in holds:
        needs, sizes = model.sizes(skeleton, hold)
        for width, name in needs:
            level_of.append(levels.index(hold.level))
            widths.append(width)
            once.append(width / hold.buffers if hold in first else width)
            elements.append(model.stage.tensor(name).elements)
        for which, size in enumerate(sizes):
            columns[which].append(size)
    most = max(len(group.chains) for group in model.groups)
    words = np.ones((len(model.groups), most, len(level_of)))
    for number, block in enumerate(columns):
        if block:
            table = np.concatenate(block, axis=1)
            words[number, : len(table)] = table
    return Room(
        np.array(limits, np.float64),
        np.array(level_of, np.int64),
        np.array(widths, np.float64),
        np.array(once, np.float64),
        np.array(elements, np.float64),
        words,
    )
