"""What a mapping costs, and bounds of many: the compiled half of hwsim.schedule.mapper.model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwsim.compiled import kernel
from hwsim.schedule.mapper.tables import Floats, Ints

jit: Any = kernel(nogil=True, error_model="numpy")
LATENCY, ENERGY, EDP, DRAM = range(4)
IN_TIME = 4  # energy, of mappings that take no longer than the goal's most cycles
TOO_LONG = 1e30  # energies are less
MIXED = 2.0  # the sign of a term that one metric adds and another subtracts


class Goal(NamedTuple):
    """What is to be least.

    kind: the objective. tie: how much the second criterion counts. floors [metrics]: what no
    mapping at all goes below. most_cycles: of IN_TIME.
    """

    kind: int
    tie: float
    floors: Floats
    most_cycles: float = np.inf


class Candidates(NamedTuple):
    """The rows that every group chooses among.

    tables [groups, rows, columns, 2]: factors, new and kept. keeps [groups, rows]: which rows keep
    to the running loops. A row is x * inner_counts + y; y from starts up to ends have the spread.
    """

    tables: Floats
    keeps: Any
    inner_counts: Ints
    starts: Ints
    ends: Ints


class Costs(NamedTuple):
    """metrics = constant + (prod_g new - prod_g kept) * weights, by columns of the groups' tables.

    columns [terms, groups], no two alike; weights [terms, metrics], and of them what is added and
    what is subtracted, zero elsewhere; constant [metrics].
    """

    columns: Ints
    weights: Floats
    added: Floats
    subtracted: Floats
    constant: Floats


class Room(NamedTuple):
    """Room in the memories, and what tensors need of it.

    limits [levels] of memories in bytes. For every held tensor: its level; bytes of a word, and
    those of one where the tile is the whole tensor of `elements`; words [groups, rows, held].
    """

    limits: Floats
    level_of: Ints
    widths: Floats
    once: Floats
    elements: Floats
    words: Floats


class Limit(NamedTuple):
    """score: to beat, by a share of slack. work: bounds and evaluations after which to give up."""

    score: float
    slack: float
    work: float


# -- one row or one bound --------------------------------------------------------------------------


@jit
def score_of(goal: Goal, metrics: Any) -> float:
    """The objective, and a little of the second criterion."""
    longest = 0.0
    for number in range(2, len(metrics)):
        longest = max(longest, metrics[number])
    if goal.kind == LATENCY:
        return longest + goal.tie * metrics[0]
    if goal.kind == IN_TIME:
        return metrics[0] if longest <= goal.most_cycles else TOO_LONG * longest
    if goal.kind == ENERGY:
        return metrics[0] + goal.tie * longest
    if goal.kind == EDP:
        return metrics[0] * longest
    return metrics[1] + goal.tie * longest


@jit
def cost_of(costs: Costs, new: Any, kept: Any, metrics: Any) -> None:
    """The metrics of a mapping. new, kept [terms]: products over all groups."""
    metrics[:] = costs.constant
    for term in range(len(new)):
        value = new[term] - kept[term]
        for metric in range(len(metrics)):
            metrics[metric] += costs.weights[term, metric] * value


@jit
def least_of(costs: Costs, extremes: Any, metrics: Any) -> None:
    """The metrics with every unknown factor at its best.

    extremes [terms, 4]: least and most of new, least and most of kept.
    """
    metrics[:] = costs.constant
    for term in range(len(extremes)):
        low = max(0.0, extremes[term, 0] - extremes[term, 3])
        high = extremes[term, 1] - extremes[term, 2]
        for metric in range(len(metrics)):
            metrics[metric] += (
                costs.added[term, metric] * low + costs.subtracted[term, metric] * high
            )


@jit
def fits(room: Room, words: Any, final: bool) -> bool:
    """Do tiles of so many words fit?

    Until they are final a tile may become a whole tensor, for which one buffer may do.
    """
    for level in range(len(room.limits)):
        need = 0.0
        for member in range(len(words)):
            if room.level_of[member] == level:
                once = not final or words[member] >= room.elements[member]
                need += words[member] * (room.once[member] if once else room.widths[member])
        if need > room.limits[level]:
            return False
    return True


@jit
def own_rows(candidates: Candidates, group: int, rows: Any) -> int:
    """Put the rows that a group may take into rows; returns how many there are."""
    count = 0
    for first in range(0, candidates.keeps.shape[1], candidates.inner_counts[group]):
        last = min(first + candidates.ends[group], candidates.keeps.shape[1])
        for row in range(first + candidates.starts[group], last):
            if candidates.keeps[group, row]:
                rows[count] = row
                count += 1
    return count


# -- bounds of many --------------------------------------------------------------------------------


@jit
def spread_bounds(costs: Costs, least: Any, is_open: Any, spreads: Any, result: Any) -> None:
    """Least metrics [spreads, metrics] of some terms under every spread.

    They are infinite where a spread cannot be. least [groups, spread of the group, column, 4]:
    extremes of the factors.
    """
    groups, terms = costs.columns.shape[1], costs.columns.shape[0]
    extremes = np.ones((terms, 4))
    for spread in range(spreads.shape[0]):
        possible = True
        for group in range(groups):
            possible = possible and is_open[group, spreads[spread, group]]
        if not possible:
            result[spread] = np.inf
            continue
        extremes[:] = 1.0
        for term in range(terms):
            for group in range(groups):
                factor = least[group, spreads[spread, group], costs.columns[term, group]]
                for side in range(4):
                    extremes[term, side] *= factor[side]
        least_of(costs, extremes, result[spread])


@jit
def scores(goal: Goal, metrics: Any, result: Any) -> None:
    """Scores of many rows of metrics, none below the floors."""
    row = np.empty(metrics.shape[1])
    for number in range(metrics.shape[0]):
        for metric in range(metrics.shape[1]):
            row[metric] = max(metrics[number, metric], goal.floors[metric])
        result[number] = score_of(goal, row)


@jit
def least_outer(candidates: Candidates, costs: Costs, room: Room, least: Any) -> bool:
    """The least of every metric [metrics] over all choices of rows that fit; False if none does."""
    groups, terms, held = costs.columns.shape[1], costs.columns.shape[0], len(room.widths)
    rows = np.empty((groups, candidates.keeps.shape[1]), np.int64)
    counts = np.zeros(groups, np.int64)
    total = 1
    for group in range(groups):
        counts[group] = own_rows(candidates, group, rows[group])
        total *= counts[group]
    digits = np.zeros(groups, np.int64)
    new, kept, words = np.ones(terms), np.ones(terms), np.ones(held)
    metrics = np.zeros(len(least))
    least[:] = np.inf
    for _ in range(total):
        new[:], kept[:], words[:] = 1.0, 1.0, 1.0
        for group in range(groups):
            row = rows[group, digits[group]]
            for member in range(held):
                words[member] *= room.words[group, row, member]
            for term in range(terms):
                factor = candidates.tables[group, row, costs.columns[term, group]]
                new[term] *= factor[0]
                kept[term] *= factor[1]
        if fits(room, words, True):
            cost_of(costs, new, kept, metrics)
            for metric in range(len(least)):
                least[metric] = min(least[metric], metrics[metric])
        for group in range(groups - 1, -1, -1):
            digits[group] += 1
            if digits[group] < counts[group]:
                break
            digits[group] = 0
    return bool(np.isfinite(least[0]))


@jit
def evaluate_batch(
    tables: Any,
    inner_counts: Any,
    columns: Any,
    weights: Any,
    constant: Any,
    outer: Any,
    inner: Any,
    result: Any,
) -> None:
    """Metrics [mappings, metrics] of many mappings of one skeleton.

    Their outer and inner choices are [mappings, groups].
    """
    groups = columns.shape[1]
    for mapping in range(outer.shape[0]):
        for metric in range(len(constant)):
            result[mapping, metric] = constant[metric]
        for term in range(columns.shape[0]):
            new, kept = 1.0, 1.0
            for group in range(groups):
                row = outer[mapping, group] * inner_counts[group] + inner[mapping, group]
                new *= tables[group, row, columns[term, group], 0]
                kept *= tables[group, row, columns[term, group], 1]
            value = new - kept
            if value != 0.0:
                for metric in range(len(constant)):
                    result[mapping, metric] += weights[metric, term] * value
