"""A good mapping of one subproblem soon: one group of dims after another takes its best tiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwsim.schedule.mapper.kernels import (
    Candidates,
    Costs,
    Goal,
    Room,
    cost_of,
    fits,
    jit,
    own_rows,
    score_of,
)


class Choices(NamedTuple):
    """What the rows that may be chosen are worth, side by side.

    least, exact [groups, rows, 2, terms]: factors of the bounds' terms and of the costs'. words
    [groups, rows, held].
    """

    least: Any
    exact: Any
    words: Any


@jit
def rows_of_all(candidates: Candidates, rows: Any) -> Any:
    """Put the rows that every group may take into rows[group]; returns how many there are."""
    counts = np.zeros(len(rows), np.int64)
    for group in range(len(rows)):
        counts[group] = own_rows(candidates, group, rows[group])
    return counts


@jit
def side_by_side(room: Room, rows: Any, counts: Any, bounds: int, costs: int) -> Choices:
    """Choices with their words, and room for their factors.

    These are of so many terms of bounds and of costs, and are filled in when they are asked for.
    """
    groups, most = len(counts), counts.max()
    choices = Choices(
        np.ones((groups, most, 2, bounds)),
        np.ones((groups, most, 2, costs)),
        np.ones((groups, most, len(room.widths))),
    )
    for group in range(groups):
        for pick in range(counts[group]):
            choices.words[group, pick] = room.words[group, rows[group, pick]]
    return choices


@jit
def fill(candidates: Candidates, costs: Costs, group: int, rows: Any, picks: Any, out: Any) -> None:
    """The factors of some of a group's rows: out[group, pick] [2, terms]."""
    for pick in picks:
        for term in range(len(costs.columns)):
            factor = candidates.tables[group, rows[pick], costs.columns[term, group]]
            out[group, pick, 0, term], out[group, pick, 1, term] = factor[0], factor[1]


@jit
def _best_pick(
    goal: Goal,
    costs: Costs,
    room: Room,
    choices: Choices,
    counts: Any,
    picks: Any,
    group: int,
    best: float,
    tally: Any,
) -> float:
    """Set picks[group] to its best choice, the others as they are; what it scores, or `best`."""
    groups, terms, held = len(counts), len(costs.columns), len(room.widths)
    others, others_words = np.ones((2, terms)), np.ones(held)
    chosen, words = np.ones((2, terms)), np.ones(held)
    metrics = np.zeros(len(costs.constant))
    for other in range(groups):
        if other != group:
            others *= choices.exact[other, picks[other]]
            others_words *= choices.words[other, picks[other]]
    for pick in range(counts[group]):
        for member in range(held):
            words[member] = others_words[member] * choices.words[group, pick, member]
        if not fits(room, words, True):
            continue
        for side in range(2):
            for term in range(terms):
                chosen[side, term] = others[side, term] * choices.exact[group, pick, side, term]
        cost_of(costs, chosen[0], chosen[1], metrics)
        tally[0] += 1
        score = score_of(goal, metrics)
        if score < best * (1.0 - 1e-12):
            best = score
            picks[group] = pick
    return best


@jit
def _descend_from(
    goal: Goal,
    costs: Costs,
    room: Room,
    choices: Choices,
    counts: Any,
    picks: Any,
    first: int,
    step: int,
    tally: Any,
) -> float:
    """One group after another takes its best choice until none finds a better.

    They take turns from group `first` on in steps of `step`.
    """
    groups = len(counts)
    score, turn, stale = np.inf, first, 0
    while stale < groups:
        group = turn % groups
        better = _best_pick(goal, costs, room, choices, counts, picks, group, score, tally)
        turn += step
        stale = 0 if better < score else stale + 1
        score = better
    return score


@jit
def descend(
    goal: Goal,
    guide: Goal,
    candidates: Candidates,
    costs: Costs,
    room: Room,
    result: Any,
    tally: Any,
) -> float:
    """A good mapping of one subproblem.

    Descents from the smallest tiles begin with every group in turn, upwards by the goal, and
    downwards by the guide first. result [groups]: its rows. Infinite where the smallest tiles do
    not fit.
    """
    groups = costs.columns.shape[1]
    rows = np.empty((groups, candidates.keeps.shape[1]), np.int64)
    counts = rows_of_all(candidates, rows)
    if counts.min() == 0:
        return np.inf
    choices = side_by_side(room, rows, counts, 0, len(costs.columns))
    every = np.arange(counts.max())
    smallest = np.zeros(groups, np.int64)
    for group in range(groups):
        fill(candidates, costs, group, rows[group], every[: counts[group]], choices.exact)
        least = np.inf
        for pick in range(counts[group]):
            size = choices.words[group, pick].prod()
            if size < least:
                least, smallest[group] = size, pick
    best = np.inf
    picks = smallest.copy()
    for first in range(groups):
        if counts[first] == 1 and first > 0:
            continue
        for upwards in (True, False):
            picks[:] = smallest
            step = 1 if upwards else groups - 1
            if not upwards and guide.kind != goal.kind:
                _descend_from(guide, costs, room, choices, counts, picks, first, step, tally)
            score = _descend_from(goal, costs, room, choices, counts, picks, first, step, tally)
            if score < best:
                best = score
                for group in range(groups):
                    result[group] = rows[group, picks[group]]
    return best
