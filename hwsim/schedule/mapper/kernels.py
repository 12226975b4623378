"""Branch and bound inside one subproblem, and bounds of many: the compiled half of
hwsim.schedule.mapper.search."""

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
    """kind: the objective. tie: how much the second criterion counts. floors [metrics]: what no
    mapping at all goes below. most_cycles: of IN_TIME."""

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
    """metrics = constant + weights * (prod_g new - prod_g kept), by columns of the groups' tables.

    columns [terms, groups]; weights [metrics, terms]; constant [metrics].
    """

    columns: Ints
    weights: Floats
    constant: Floats


class Room(NamedTuple):
    """limits [levels] of memories in bytes. For every held tensor: its level; bytes of a word, and
    those of one where the tile is the whole tensor of `elements`; words [groups, rows, held]."""

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
def _cost(costs: Costs, new: Any, kept: Any, metrics: Any) -> None:
    """The metrics of a mapping. new, kept [terms]: products over all groups."""
    metrics[:] = costs.constant
    for term in range(len(new)):
        value = new[term] - kept[term]
        if value != 0.0:
            for metric in range(len(metrics)):
                metrics[metric] += costs.weights[metric, term] * value


@jit
def _least(costs: Costs, extremes: Any, metrics: Any) -> None:
    """The metrics with every unknown factor at its best. extremes [terms, 4]: least and most of
    new, least and most of kept."""
    metrics[:] = costs.constant
    for term in range(len(extremes)):
        low = max(0.0, extremes[term, 0] - extremes[term, 3])
        high = extremes[term, 1] - extremes[term, 2]
        for metric in range(len(metrics)):
            weight = costs.weights[metric, term]
            if weight > 0.0:
                metrics[metric] += weight * low
            elif weight < 0.0:
                metrics[metric] += weight * high


@jit
def _fits(room: Room, words: Any, final: bool) -> bool:
    """Do tiles of so many words fit? Until they are final a tile may become a whole tensor, for
    which one buffer may do."""
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
def _own_rows(candidates: Candidates, group: int, rows: Any) -> int:
    """Put the rows that a group may take into rows; returns how many there are."""
    count = 0
    for row in range(candidates.keeps.shape[1]):
        y = row % candidates.inner_counts[group]
        if candidates.starts[group] <= y < candidates.ends[group] and candidates.keeps[group, row]:
            rows[count] = row
            count += 1
    return count


# -- bounds of many --------------------------------------------------------------------------------


@jit
def spread_bounds(costs: Costs, least: Any, is_open: Any, spreads: Any, result: Any) -> None:
    """Least metrics [spreads, metrics] of some terms under every spread; infinite where a spread
    cannot be. least [groups, spread of the group, column, 4]: extremes of the factors."""
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
        _least(costs, extremes, result[spread])


@jit
def scores(goal: Goal, metrics: Any, result: Any) -> None:
    """Scores of many rows of metrics, none below the floors."""
    for number in range(metrics.shape[0]):
        result[number] = score_of(goal, np.maximum(metrics[number], goal.floors))


@jit
def least_outer(candidates: Candidates, costs: Costs, room: Room, least: Any) -> bool:
    """The least of every metric [metrics] over all choices of rows that fit; False where none
    does."""
    groups, terms, held = costs.columns.shape[1], costs.columns.shape[0], len(room.widths)
    rows = np.zeros((groups, candidates.keeps.shape[1]), np.int64)
    counts = np.zeros(groups, np.int64)
    total = 1
    for group in range(groups):
        counts[group] = _own_rows(candidates, group, rows[group])
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
        if _fits(room, words, True):
            _cost(costs, new, kept, metrics)
            for metric in range(len(least)):
                least[metric] = min(least[metric], metrics[metric])
        for group in range(groups - 1, -1, -1):
            digits[group] += 1
            if digits[group] < counts[group]:
                break
            digits[group] = 0
    return bool(np.isfinite(least[0]))


# -- descent ---------------------------------------------------------------------------------------


@jit
def _best_row(
    goal: Goal,
    candidates: Candidates,
    costs: Costs,
    room: Room,
    rows: Any,
    group: int,
    best: float,
    tally: Any,
) -> float:
    """Set rows[group] to its best row, the others as they are; what it scores, or `best`."""
    groups, terms, held = costs.columns.shape[1], costs.columns.shape[0], len(room.widths)
    others_new, others_kept, others_words = np.ones(terms), np.ones(terms), np.ones(held)
    new, kept, words = np.ones(terms), np.ones(terms), np.ones(held)
    metrics = np.zeros(len(costs.constant))
    for other in range(groups):
        if other != group:
            for term in range(terms):
                factor = candidates.tables[other, rows[other], costs.columns[term, other]]
                others_new[term] *= factor[0]
                others_kept[term] *= factor[1]
            for member in range(held):
                others_words[member] *= room.words[other, rows[other], member]
    own = np.zeros(candidates.keeps.shape[1], np.int64)
    for number in range(_own_rows(candidates, group, own)):
        row = own[number]
        for member in range(held):
            words[member] = others_words[member] * room.words[group, row, member]
        if not _fits(room, words, True):
            continue
        for term in range(terms):
            factor = candidates.tables[group, row, costs.columns[term, group]]
            new[term] = others_new[term] * factor[0]
            kept[term] = others_kept[term] * factor[1]
        _cost(costs, new, kept, metrics)
        tally[0] += 1
        score = score_of(goal, metrics)
        if score < best * (1.0 - 1e-12):
            best = score
            rows[group] = row
    return best


@jit
def _descend_from(
    goal: Goal,
    candidates: Candidates,
    costs: Costs,
    room: Room,
    rows: Any,
    first: int,
    step: int,
    tally: Any,
) -> float:
    """One group after another takes its best row until none finds a better, from group `first` on
    in steps of `step`."""
    groups = len(rows)
    score, turn, stale = np.inf, first, 0
    while stale < groups:
        better = _best_row(goal, candidates, costs, room, rows, turn % groups, score, tally)
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
    """A good mapping of one subproblem: descents from the smallest tiles that begin with every
    group, upwards by the goal, and downwards by the guide first. result [groups]: its rows.
    Infinite where the smallest tiles do not fit."""
    groups, held = costs.columns.shape[1], len(room.widths)
    smallest, choices = np.full(groups, -1), np.zeros(groups, np.int64)
    own = np.zeros(candidates.keeps.shape[1], np.int64)
    for group in range(groups):
        choices[group] = _own_rows(candidates, group, own)
        least = np.inf
        for number in range(choices[group]):
            size = 1.0
            for member in range(held):
                size *= room.words[group, own[number], member]
            if size < least:
                least, smallest[group] = size, own[number]
        if smallest[group] < 0:
            return np.inf
    best = np.inf
    rows = smallest.copy()
    for first in range(groups):
        if choices[first] == 1 and first > 0:
            continue
        for upwards in (True, False):
            rows[:] = smallest
            step = 1 if upwards else groups - 1
            if not upwards and guide.kind != goal.kind:
                _descend_from(guide, candidates, costs, room, rows, first, step, tally)
            score = _descend_from(goal, candidates, costs, room, rows, first, step, tally)
            if score < best:
                best = score
                result[:] = rows
    return best


# -- search ----------------------------------------------------------------------------------------


@jit
def _undominated(rows: Any, number: int, signs: Any, values: Any, words: Any, whole: Any) -> int:
    """Keep in rows[:number] those that no other is as good as in every term and every room.

    values [rows, 2, terms], words [rows, held]. Where a term is added, less new and more kept are
    better; where it is subtracted, the other way round; where metrics do both, only the same. Fewer
    words are better, but than `whole` [held], for which one buffer may do."""
    left = 0
    for number_of in range(number):
        row = rows[number_of]
        beaten = False
        for other_of in range(number):
            other = rows[other_of]
            if other_of == number_of:
                continue
            as_good, better = True, False
            for term in range(len(signs)):
                new = (values[other, 0, term] - values[row, 0, term]) * signs[term]
                kept = (values[row, 1, term] - values[other, 1, term]) * signs[term]
                if signs[term] == MIXED:
                    new, kept = abs(new), abs(kept)
                if new > 0.0 or kept > 0.0:
                    as_good = False
                    break
                better = better or new < 0.0 or kept < 0.0
            if not as_good:
                continue
            for member in range(words.shape[1]):
                if words[other, member] > words[row, member] or (
                    words[row, member] == whole[member] and words[other, member] != whole[member]
                ):
                    as_good = False
                    break
                better = better or words[other, member] < words[row, member]
            if as_good and (better or other_of < number_of):
                beaten = True
                break
        if not beaten:
            rows[left] = row
            left += 1
    return left


@jit
def _signs(weights: Any) -> Any:
    """For every term 1 where the metrics add it, -1 where they subtract it, MIXED where they do
    both."""
    signs = np.zeros(weights.shape[1])
    for term in range(weights.shape[1]):
        for metric in range(weights.shape[0]):
            sign = np.sign(weights[metric, term])
            if sign != 0.0 and signs[term] != 0.0 and sign != signs[term]:
                signs[term] = MIXED
            elif sign != 0.0 and signs[term] != MIXED:
                signs[term] = sign
    return signs


@jit
def _factors(candidates: Candidates, columns: Any, group: int, rows: Any) -> Any:
    """Factors of some rows of a group, side by side: [rows, 2, terms]."""
    own = np.ones((len(rows), 2, columns.shape[0]))
    for number in range(len(rows)):
        for term in range(columns.shape[0]):
            factor = candidates.tables[group, rows[number], columns[term, group]]
            own[number, 0, term], own[number, 1, term] = factor[0], factor[1]
    return own


@jit
def _worth_trying(
    candidates: Candidates, costs: Costs, room: Room, signs: Any, group: int, rows: Any
) -> int:
    """Put the rows of a group that no other is as good as into rows; returns how many there are."""
    held = len(room.widths)
    count = _own_rows(candidates, group, rows)
    words = np.ones((count, held))
    whole = np.full(held, -1.0)
    for member in range(held):
        for number in range(count):
            words[number, member] = room.words[group, rows[number], member]
        if room.once[member] < room.widths[member]:
            whole[member] = room.words[group, :, member].max()
    places = np.arange(count)
    values = _factors(candidates, costs.columns, group, rows[:count])
    left = _undominated(places, count, signs, values, words, whole)
    for number in range(left):
        rows[number] = rows[places[number]]
    return left


@jit
def solve(
    goal: Goal,
    candidates: Candidates,
    bounds: Costs,
    costs: Costs,
    room: Room,
    limit: Limit,
    stop: Any,
    result: Any,
    tally: Any,
) -> float:
    """Search one subproblem: the score of its best mapping, whose rows are left in result [groups];
    infinite where none beats the limit.

    bounds: terms that are at most the costs' own. stop[0], shared: not 0 to stop. Of rows of a
    group that cost no less and take no less room than another, none is tried.
    """
    groups, terms, full = costs.columns.shape[1], len(bounds.columns), len(costs.columns)
    held = len(room.widths)
    signs = _signs(costs.weights)
    rows = np.zeros((groups, candidates.keeps.shape[1]), np.int64)
    counts = np.zeros(groups, np.int64)
    for group in range(groups):
        counts[group] = _worth_trying(candidates, costs, room, signs, group, rows[group])
        if counts[group] == 0:
            return np.inf
    exact = np.ones((groups, counts.max(), 2, full))
    least = np.ones((groups, counts.max(), 2, terms))
    rest = np.ones((groups + 1, terms, 4))
    small = np.ones((groups + 1, held))
    for group in range(groups - 1, -1, -1):
        own = rows[group, : counts[group]]
        exact[group, : counts[group]] = _factors(candidates, costs.columns, group, own)
        least[group, : counts[group]] = _factors(candidates, bounds.columns, group, own)
        for term in range(terms):
            a, b, c, d = np.inf, 0.0, np.inf, 0.0
            for number in range(counts[group]):
                new, kept = least[group, number, 0, term], least[group, number, 1, term]
                a, b, c, d = min(a, new), max(b, new), min(c, kept), max(d, kept)
            rest[group, term, 0] = rest[group + 1, term, 0] * a
            rest[group, term, 1] = rest[group + 1, term, 1] * b
            rest[group, term, 2] = rest[group + 1, term, 2] * c
            rest[group, term, 3] = rest[group + 1, term, 3] * d
        for member in range(held):
            fewest = np.inf
            for number in range(counts[group]):
                fewest = min(fewest, room.words[group, own[number], member])
            small[group, member] = small[group + 1, member] * fewest
    chosen, at_least = np.ones((groups + 1, 2, full)), np.ones((groups + 1, 2, terms))
    words, at_least_words = np.ones((groups + 1, held)), np.ones(held)
    extremes = np.ones((terms, 4))
    metrics = np.zeros(len(costs.constant))
    place = np.zeros(groups, np.int64)
    to_beat, found, depth = limit.score, np.inf, 0
    while depth >= 0:
        if stop[0] != 0 or tally[0] + tally[1] > limit.work:
            return found
        if place[depth] >= counts[depth]:
            place[depth] = 0
            depth -= 1
            continue
        number = place[depth]
        place[depth] += 1
        final = depth == groups - 1
        for member in range(held):
            words[depth + 1, member] = (
                words[depth, member] * room.words[depth, rows[depth, number], member]
            )
            at_least_words[member] = words[depth + 1, member] * small[depth + 1, member]
        if not _fits(room, at_least_words, final):
            continue
        for term in range(full):
            for side in range(2):
                chosen[depth + 1, side, term] = (
                    chosen[depth, side, term] * exact[depth, number, side, term]
                )
        if final:
            tally[0] += 1
            _cost(costs, chosen[groups, 0], chosen[groups, 1], metrics)
            score = score_of(goal, metrics)
            if score < to_beat:
                to_beat = score * (1.0 - limit.slack)
                found = score
                for group in range(groups):
                    result[group] = rows[group, place[group] - 1]
            continue
        tally[1] += 1
        for term in range(terms):
            new = at_least[depth, 0, term] * least[depth, number, 0, term]
            kept = at_least[depth, 1, term] * least[depth, number, 1, term]
            at_least[depth + 1, 0, term], at_least[depth + 1, 1, term] = new, kept
            extremes[term, 0] = new * rest[depth + 1, term, 0]
            extremes[term, 1] = new * rest[depth + 1, term, 1]
            extremes[term, 2] = kept * rest[depth + 1, term, 2]
            extremes[term, 3] = kept * rest[depth + 1, term, 3]
        _least(bounds, extremes, metrics)
        for metric in range(len(metrics)):
            metrics[metric] = max(metrics[metric], goal.floors[metric])
        if score_of(goal, metrics) < to_beat:
            depth += 1
    return found


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
    """Metrics [mappings, metrics] of many mappings of one skeleton: outer and inner choices
    [mappings, groups]."""
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
