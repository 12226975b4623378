"""The least and the most that the factors of a group can be: what bounds are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.schedule.mapper.groups import Group, keeps
from hwsim.schedule.mapper.model import Model
from hwsim.schedule.mapper.space import Skeleton
from hwsim.schedule.mapper.tables import Floats


@dataclass(frozen=True)
class Extremes:
    """Least and most of new and kept over the tilings that keep to a skeleton's running loops.

    keeps [groups, rows]: which candidates do. spread [groups, spread, columns, 4], and which
    spreads any candidate has.
    """

    keeps: npt.NDArray[np.bool_]
    spread: Floats
    spread_open: npt.NDArray[np.bool_]


def extremes_of(model: Model, skeleton: Skeleton) -> Extremes:
    """Extremes of all groups' factors under one choice of running loops."""
    groups, running, still = model.groups, skeleton.running, skeleton.still
    kept = flags_of([keeps(group, model.space, running, still) for group in groups])
    parts = [
        _by_spread(group, model.columns.table(number), kept[number, : len(group.chains)])
        for number, group in enumerate(groups)
    ]
    most, widest = max(len(part) for part, _ in parts), max(part.shape[1] for part, _ in parts)
    spread = np.ones((len(groups), most, widest, 4))
    for number, (part, _) in enumerate(parts):
        spread[number, : part.shape[0], : part.shape[1]] = part
    return Extremes(kept, spread, flags_of([some for _, some in parts]))


def flags_of(arrays: list[npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
    """Rows of flags side by side, padded with False."""
    result = np.zeros((len(arrays), max(len(array) for array in arrays)), np.bool_)
    for number, array in enumerate(arrays):
        result[number, : len(array)] = array
    return result


def _by_spread(
    group: Group, table: Floats, kept: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(extremes [spreads, columns, 4], does any candidate have it) of one group."""
    cube = table.reshape(len(group.outer), len(group.inner), table.shape[1], 2)
    flags = kept.reshape(len(group.outer), len(group.inner))
    least = np.where(flags[:, :, None, None], cube, np.inf).min(axis=0)
    most = np.where(flags[:, :, None, None], cube, 0.0).max(axis=0)
    is_open: npt.NDArray[np.bool_] = np.logical_or.reduce(flags, axis=0)
    spread = np.ones((len(group.spreads), table.shape[1], 4))
    spread_open = np.zeros(len(group.spreads), np.bool_)
    for number, neighbours in enumerate(group.spreads):
        first, last = group.range_of(neighbours)
        some = is_open[first:last]
        spread_open[number] = some.any()
        if some.any():
            spread[number, :, 0::2] = least[first:last][some].min(axis=0)
            spread[number, :, 1::2] = most[first:last][some].max(axis=0)
    return spread, spread_open
