"""The least and the most that the factors of a group can be: what bounds are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.schedule.mapper.groups import Group, keeps
from hwsim.schedule.mapper.model import Model
from hwsim.schedule.mapper.space import Space
from hwsim.schedule.mapper.tables import Floats


@dataclass(frozen=True)
class Extremes:
    """Least and most of new and kept over the tilings that keep to a skeleton's running loops.

    keeps [groups, rows]: which candidates do. inner [groups, inner, columns, 4] over outer choices;
    spread [groups, spread, columns, 4] over cells as well; an inner choice that no outer choice
    goes with is not `open`.
    """

    keeps: npt.NDArray[np.bool_]
    inner: Floats
    open: npt.NDArray[np.bool_]
    spread: Floats
    spread_open: npt.NDArray[np.bool_]


def extremes_of(model: Model, running: tuple[str, str, str]) -> Extremes:
    """Extremes of all groups' factors under one choice of running loops."""
    parts = [
        _group_extremes(group, model.table(number), model.space, running)
        for number, group in enumerate(model.groups)
    ]
    widest = max(part[0].shape[1] for part in parts)

    def padded(arrays: list[Floats], fill: float) -> Floats:
        shape = (len(arrays), max(array.shape[0] for array in arrays), widest, 4)
        result = np.full(shape, fill)
        for number, array in enumerate(arrays):
            result[number, : array.shape[0], : array.shape[1]] = array
        return result

    def flags(arrays: list[npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
        result = np.zeros((len(arrays), max(len(array) for array in arrays)), np.bool_)
        for number, array in enumerate(arrays):
            result[number, : len(array)] = array
        return result

    kept = flags([keeps(group, model.space, running) for group in model.groups])
    return Extremes(
        kept,
        padded([part[0] for part in parts], 1.0),
        flags([part[1] for part in parts]),
        padded([part[2] for part in parts], 1.0),
        flags([part[3] for part in parts]),
    )


def _group_extremes(
    group: Group, table: Floats, space: Space, running: tuple[str, str, str]
) -> Any:
    """(extremes by inner choice, is it open, extremes by spread, is it open) of one group."""
    cube = table.reshape(len(group.outer), len(group.inner), table.shape[1], 2)
    kept: Any = keeps(group, space, running).reshape(len(group.outer), len(group.inner), 1)
    new_low, kept_low = (np.where(kept, cube[..., side], np.inf).min(axis=0) for side in (0, 1))
    new_high, kept_high = (np.where(kept, cube[..., side], 0.0).max(axis=0) for side in (0, 1))
    inner = np.stack([new_low, new_high, kept_low, kept_high], axis=-1)
    is_open = kept[..., 0].any(axis=0)
    spread, spread_open = [], []
    for neighbours in group.spreads:
        first, last = group.range_of(neighbours)
        block, some = inner[first:last], is_open[first:last]
        spread_open.append(bool(some.any()))
        block = block[some] if some.any() else np.ones((1, *block.shape[1:]))
        spread.append(
            np.stack(
                [
                    block[..., 0].min(axis=0),
                    block[..., 1].max(axis=0),
                    block[..., 2].min(axis=0),
                    block[..., 3].max(axis=0),
                ],
                axis=-1,
            )
        )
    inner[~is_open] = 1.0
    return inner, is_open, np.stack(spread), np.array(spread_open)
