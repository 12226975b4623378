"""Choices of the outer tiles: those that fit the first memory, with what they alone cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.ir.nest import Hold
from hwsim.schedule.mapper.groups import keeps
from hwsim.schedule.mapper.kernels import DRAM, EDP, ENERGY, LATENCY, enumerate_outer
from hwsim.schedule.mapper.model import Model, Terms
from hwsim.schedule.mapper.space import OUTER, Skeleton
from hwsim.schedule.mapper.tables import Floats, Ints


@dataclass(frozen=True)
class OuterChoices:
    """choices [number, groups], the cheapest first. metrics: their own cost; keys: what they are
    sorted by; least: of every metric over all."""

    choices: Ints
    metrics: Floats
    keys: Floats
    least: Floats


def first_holds(skeleton: Skeleton) -> tuple[Hold, ...]:
    """On-chip levels whose tiles the outer tiles alone decide."""
    return tuple(
        hold
        for hold in skeleton.holds
        if skeleton.slots_above(hold)
        and all(slot.tile == OUTER for slot in skeleton.slots_above(hold))
    )


def room_of(model: Model, hold: Hold) -> int:
    return model.space.placement.room(model.machine, hold.level)


def outer_choices(model: Model, skeleton: Skeleton, terms: Terms, kind: int) -> OuterChoices:
    """All outer choices of a skeleton; terms: the part of the cost that they decide."""
    groups = model.groups
    holds = first_holds(skeleton)
    most = max(len(group.outer) for group in groups)
    alone = np.zeros((len(groups), most), np.bool_)
    factors = np.ones((len(groups), most, len(terms.columns), 2))
    members, spans = _members(model, skeleton, holds, most)
    for number, group in enumerate(groups):
        step = len(group.inner)
        count = len(group.outer)
        alone[number, :count] = keeps(group, model.space, (skeleton.running[0], "", ""))[::step]
        if len(terms.columns):
            factors[number, :count] = model.table(number)[::step][:, terms.columns[:, number]]
    choices, metrics = enumerate_outer(
        alone,
        spans,
        members["elements"],
        members["widths"],
        members["once"],
        members["levels"],
        members["limits"],
        factors,
        np.ascontiguousarray(terms.weights),
    )
    keys = {
        LATENCY: metrics[:, 2:].max(axis=1, initial=0.0),
        ENERGY: metrics[:, 0],
        EDP: metrics[:, 0],
        DRAM: metrics[:, 1],
    }[kind]
    order = np.argsort(keys, kind="stable")
    least = metrics.min(axis=0) if len(choices) else np.zeros(len(model.metrics))
    return OuterChoices(
        np.ascontiguousarray(choices[order]),
        np.ascontiguousarray(metrics[order]),
        np.ascontiguousarray(keys[order]),
        least,
    )


def _members(
    model: Model, skeleton: Skeleton, holds: tuple[Hold, ...], most: int
) -> tuple[dict[str, Any], Floats]:
    """What the levels hold, tensor by tensor: sizes of words, and words by group and outer tile."""
    levels = list(dict.fromkeys(hold.level for hold in holds))
    rows: dict[str, list[float]] = {"elements": [], "widths": [], "once": [], "levels": []}
    columns: list[list[Floats]] = [[] for _ in model.groups]
    for hold in holds:
        widths, sizes = model.sizes(skeleton, hold)
        for width, name in widths:
            rows["elements"].append(model.stage.tensor(name).elements)
            rows["widths"].append(width)
            rows["once"].append(width / hold.buffers)
            rows["levels"].append(levels.index(hold.level))
        for number, size in enumerate(sizes):
            columns[number].append(size[:: len(model.groups[number].inner)])
    limits = [
        room_of(model, next(hold for hold in holds if hold.level == level)) for level in levels
    ]
    found: dict[str, Any] = {name: np.array(row, np.float64) for name, row in rows.items()}
    found["levels"] = found["levels"].astype(np.int64)
    found["limits"] = np.array(limits, np.float64)
    spans = np.ones((len(model.groups), most, len(rows["widths"])))
    for number, parts in enumerate(columns):
        if parts:
            block = np.concatenate(parts, axis=1)
            spans[number, : len(block)] = block
    return found, spans
