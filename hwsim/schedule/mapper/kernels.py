"""Branch and bound inside one subproblem, and many mappings at once: the compiled half of
hwsim.schedule.mapper.search."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.compiled import kernel

jit: Any = kernel(nogil=True, error_model="numpy")
LATENCY, ENERGY, EDP, DRAM = range(4)
MIXED = 2.0  # the sign of a term that one metric adds and another subtracts


@jit
def score_of(kind: int, metrics: Any, tie: float) -> float:
    """The objective, and a little of the second criterion."""
    longest = 0.0
    for number in range(2, len(metrics)):
        longest = max(longest, metrics[number])
    if kind == LATENCY:
        return longest + tie * metrics[0]
    if kind == ENERGY:
        return metrics[0] + tie * longest
    if kind == EDP:
        return metrics[0] * longest
    return metrics[1] + tie * longest


@jit
def _least(
    weights: Any,
    constant: Any,
    new_low: Any,
    new_high: Any,
    kept_low: Any,
    kept_high: Any,
    metrics: Any,
) -> None:
    """The metrics with every unknown factor at its best."""
    for metric in range(len(metrics)):
        metrics[metric] = constant[metric]
    for term in range(weights.shape[1]):
        low = max(0.0, new_low[term] - kept_high[term])
        high = new_high[term] - kept_low[term]
        for metric in range(len(metrics)):
            weight = weights[metric, term]
            if weight > 0.0:
                metrics[metric] += weight * low
            elif weight < 0.0:
                metrics[metric] += weight * high


@jit
def spread_bounds(
    columns: Any,
    weights: Any,
    constant: Any,
    least: Any,
    is_open: Any,
    spreads: Any,
    result: Any,
) -> None:
    """Least metrics [spreads, metrics] of some terms under every spread; infinite where a spread
    cannot be. least [groups, spread of the group, column, 4]: extremes of the factors."""
    terms = columns.shape[0]
    new_low, new_high = np.ones(terms), np.ones(terms)
    kept_low, kept_high = np.ones(terms), np.ones(terms)
    for spread in range(spreads.shape[0]):
        possible = True
        for group in range(columns.shape[1]):
            possible = possible and is_open[group, spreads[spread, group]]
        if not possible:
            result[spread] = np.inf
            continue
        for term in range(terms):
            a, b, c, d = 1.0, 1.0, 1.0, 1.0
            for group in range(columns.shape[1]):
                extreme = least[group, spreads[spread, group], columns[term, group]]
                a *= extreme[0]
                b *= extreme[1]
                c *= extreme[2]
                d *= extreme[3]
            new_low[term], new_high[term], kept_low[term], kept_high[term] = a, b, c, d
        _least(weights, constant, new_low, new_high, kept_low, kept_high, result[spread])


@jit
def scores(kind: int, tie: float, metrics: Any, floors: Any, result: Any) -> None:
    """Scores of many rows of metrics, none below the floors."""
    row = np.zeros(metrics.shape[1])
    for number in range(metrics.shape[0]):
        for metric in range(len(row)):
            row[metric] = max(metrics[number, metric], floors[metric])
        result[number] = score_of(kind, row, tie)


@jit
def enumerate_outer(
    alone: Any,
    spans: Any,
    elements: Any,
    widths: Any,
    once: Any,
    level_of: Any,
    limits: Any,
    factors: Any,
    weights: Any,
) -> Any:
    """(choices, metrics) of every choice of outer tiles that fits.

    alone [groups, x]: which keep to the running loops. spans [groups, x, members] words of a tile;
    a whole tensor takes once instead of widths. factors [groups, x, terms, 2]."""
    groups, members = spans.shape[0], spans.shape[2]
    total = 1
    counts = np.zeros(groups, np.int64)
    for group in range(groups):
        for x in range(alone.shape[1]):
            counts[group] += alone[group, x]
        total *= counts[group]
    listed = np.zeros((groups, alone.shape[1]), np.int64)
    for group in range(groups):
        place = 0
        for x in range(alone.shape[1]):
            if alone[group, x]:
                listed[group, place] = x
                place += 1
    choices = np.zeros((total, groups), np.int64)
    metrics = np.zeros((total, weights.shape[0]))
    found = 0
    need = np.zeros(len(limits))
    digits = np.zeros(groups, np.int64)
    for _ in range(total):
        need[:] = 0.0
        for member in range(members):
            words = 1.0
            for group in range(groups):
                words *= spans[group, listed[group, digits[group]], member]
            whole = words >= elements[member]
            need[level_of[member]] += words * (once[member] if whole else widths[member])
        if (need <= limits).all():
            for term in range(weights.shape[1]):
                new, kept = 1.0, 1.0
                for group in range(groups):
                    new *= factors[group, listed[group, digits[group]], term, 0]
                    kept *= factors[group, listed[group, digits[group]], term, 1]
                for metric in range(weights.shape[0]):
                    metrics[found, metric] += weights[metric, term] * (new - kept)
            for group in range(groups):
                choices[found, group] = listed[group, digits[group]]
            found += 1
        for group in range(groups - 1, -1, -1):
            digits[group] += 1
            if digits[group] < counts[group]:
                break
            digits[group] = 0
    return choices[:found].copy(), metrics[:found].copy()


@jit
def _best_row(
    kind: int,
    tie: float,
    tables: Any,
    keeps: Any,
    inner_counts: Any,
    columns: Any,
    weights: Any,
    constant: Any,
    starts: Any,
    ends: Any,
    limits: Any,
    level_of: Any,
    widths: Any,
    once: Any,
    elements: Any,
    room: Any,
    rows: Any,
    group: int,
    best: float,
    tally: Any,
) -> float:
    """Set rows[group] to its best row, the others as they are; what it scores, or `best`."""
    groups, terms, held = columns.shape[1], columns.shape[0], len(widths)
    new, kept, words = np.ones(terms), np.ones(terms), np.ones(held)
    metrics, need = np.zeros(len(constant)), np.zeros(len(limits))
    for other in range(groups):
        if other != group:
            for term in range(terms):
                new[term] *= tables[other, rows[other], columns[term, other], 0]
                kept[term] *= tables[other, rows[other], columns[term, other], 1]
            for member in range(held):
                words[member] *= room[other, rows[other], member]
    for row in range(keeps.shape[1]):
        y = row % inner_counts[group]
        if y < starts[group] or y >= ends[group] or not keeps[group, row]:
            continue
        need[:] = 0.0
        for member in range(held):
            size = words[member] * room[group, row, member]
            whole = size >= elements[member]
            need[level_of[member]] += size * (once[member] if whole else widths[member])
        fits = True
        for level in range(len(limits)):
            fits = fits and need[level] <= limits[level]
        if not fits:
            continue
        metrics[:] = constant
        for term in range(terms):
            value = (
                new[term] * tables[group, row, columns[term, group], 0]
                - kept[term] * tables[group, row, columns[term, group], 1]
            )
            if value != 0.0:
                for metric in range(len(metrics)):
                    metrics[metric] += weights[metric, term] * value
        tally[0] += 1
        score = score_of(kind, metrics, tie)
        if score < best * (1.0 - 1e-12):
            best = score
            rows[group] = row
    return best


@jit
def descend(
    kind: int,
    guide: int,
    tie: float,
    tables: Any,
    keeps: Any,
    inner_counts: Any,
    columns: Any,
    weights: Any,
    constant: Any,
    starts: Any,
    ends: Any,
    limits: Any,
    level_of: Any,
    widths: Any,
    once: Any,
    elements: Any,
    room: Any,
    result: Any,
    tally: Any,
) -> float:
    """A good mapping of one subproblem: from the smallest tiles, one group after another takes its
    best row until none finds a better; so from every group, upwards, and downwards by another
    objective first, the guide. result [groups]: its rows. Infinite where the smallest tiles do not
    fit."""
    groups, held = columns.shape[1], len(widths)
    smallest = np.full(groups, -1)
    choices = np.zeros(groups, np.int64)
    for group in range(groups):
        least = np.inf
        for row in range(keeps.shape[1]):
            y = row % inner_counts[group]
            if y < starts[group] or y >= ends[group] or not keeps[group, row]:
                continue
            choices[group] += 1
            size = 1.0
            for member in range(held):
                size *= room[group, row, member]
            if size < least:
                least, smallest[group] = size, row
        if smallest[group] < 0:
            return np.inf
    best = np.inf
    rows = smallest.copy()
    for way in range(2 * groups):
        if choices[way // 2] == 1 and way > 1:
            continue
        rows[:] = smallest
        score = np.inf
        for turn_kind in (guide, kind):
            if turn_kind != kind and way % 2 == 0:
                continue
            score, turn, stale = np.inf, way // 2, 0
            while stale < groups:
                group = turn % groups
                turn += 1 if way % 2 == 0 else groups - 1
                better = _best_row(
                    turn_kind,
                    tie,
                    tables,
                    keeps,
                    inner_counts,
                    columns,
                    weights,
                    constant,
                    starts,
                    ends,
                    limits,
                    level_of,
                    widths,
                    once,
                    elements,
                    room,
                    rows,
                    group,
                    score,
                    tally,
                )
                stale = 0 if better < score else stale + 1
                score = better
            if turn_kind == kind:
                break
        if score < best:
            best = score
            result[:] = rows
    return best


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
def _gather(tables: Any, columns: Any, rows: Any, counts: Any) -> Any:
    """The factors of the candidates, side by side: [groups, candidates, 2, terms]."""
    groups, terms = columns.shape[1], columns.shape[0]
    own = np.ones((groups, counts.max(), 2, terms))
    for group in range(groups):
        for number in range(counts[group]):
            for term in range(terms):
                own[group, number, 0, term] = tables[
                    group, rows[group, number], columns[term, group], 0
                ]
                own[group, number, 1, term] = tables[
                    group, rows[group, number], columns[term, group], 1
                ]
    return own


@jit
def solve(
    kind: int,
    tie: float,
    tables: Any,
    keeps: Any,
    inner_counts: Any,
    columns: Any,
    weights: Any,
    full_columns: Any,
    full_weights: Any,
    constant: Any,
    starts: Any,
    ends: Any,
    limits: Any,
    level_of: Any,
    widths: Any,
    once: Any,
    elements: Any,
    room: Any,
    floors: Any,
    best: Any,
    stop: Any,
    result: Any,
    tally: Any,
) -> float:
    """Search one subproblem: the score of its best mapping, whose rows are left in result [groups];
    infinite where none beats best[0].

    columns, weights: terms that are at most the full ones, for bounds. tables [groups, rows,
    columns, 2]; room [groups, rows, held]: words of every held tensor's tile, each `widths` bytes,
    or `once` where the tile is the whole of `elements`. best[1]: by what share a better mapping
    must be better; best[2]: bounds and evaluations after which to give up. stop[0], shared: not 0
    to stop. Of rows of a group that cost no less and take no less room than another, none is tried.
    """
    groups, terms, held = columns.shape[1], columns.shape[0], len(widths)
    full = full_columns.shape[0]
    rows = np.zeros((groups, keeps.shape[1]), np.int64)
    counts = np.zeros(groups, np.int64)
    signs = np.zeros(full)
    for term in range(full):
        for metric in range(len(constant)):
            sign = np.sign(full_weights[metric, term])
            if sign != 0.0 and signs[term] != 0.0 and sign != signs[term]:
                signs[term] = MIXED
            elif sign != 0.0 and signs[term] != MIXED:
                signs[term] = sign
    for group in range(groups):
        number = 0
        for row in range(keeps.shape[1]):
            y = row % inner_counts[group]
            if starts[group] <= y < ends[group] and keeps[group, row]:
                rows[group, number] = row
                number += 1
        counts[group] = number
    values = _gather(tables, full_columns, rows, counts)
    for group in range(groups):
        words = np.ones((counts[group], held))
        places = np.arange(counts[group])
        for number in range(counts[group]):
            words[number] = room[group, rows[group, number]]
        whole = np.full(held, -1.0)
        for member in range(held):
            if once[member] < widths[member]:
                whole[member] = room[group, :, member].max()
        left = _undominated(places, counts[group], signs, values[group], words, whole)
        for number in range(left):
            rows[group, number] = rows[group, places[number]]
            values[group, number] = values[group, places[number]]
        counts[group] = left
        if left == 0:
            return np.inf
    bounds = _gather(tables, columns, rows, counts)
    rest = np.ones((groups + 1, terms, 4))
    small = np.ones((groups + 1, held))
    for group in range(groups - 1, -1, -1):
        for term in range(terms):
            a, b, c, d = np.inf, 0.0, np.inf, 0.0
            for number in range(counts[group]):
                new, kept = bounds[group, number, 0, term], bounds[group, number, 1, term]
                a, b, c, d = min(a, new), max(b, new), min(c, kept), max(d, kept)
            rest[group, term, 0] = rest[group + 1, term, 0] * a
            rest[group, term, 1] = rest[group + 1, term, 1] * b
            rest[group, term, 2] = rest[group + 1, term, 2] * c
            rest[group, term, 3] = rest[group + 1, term, 3] * d
        for member in range(held):
            least = np.inf
            for number in range(counts[group]):
                least = min(least, room[group, rows[group, number], member])
            small[group, member] = small[group + 1, member] * least
    so_far = np.ones((groups + 1, 2, terms))
    exact_so_far = np.ones((groups + 1, 2, full))
    words = np.ones((groups + 1, held))
    need = np.zeros(len(limits))
    metrics = np.zeros(len(constant))
    place = np.zeros(groups, np.int64)
    found = np.inf
    depth = 0
    while depth >= 0:
        if stop[0] != 0 or tally[0] + tally[1] > best[2]:
            return found
        if place[depth] >= counts[depth]:
            place[depth] = 0
            depth -= 1
            continue
        number = place[depth]
        place[depth] += 1
        row = rows[depth, number]
        need[:] = 0.0
        for member in range(held):
            words[depth + 1, member] = words[depth, member] * room[depth, row, member]
            least = words[depth + 1, member] * small[depth + 1, member]
            whole = least >= elements[member] or depth < groups - 1
            need[level_of[member]] += least * (once[member] if whole else widths[member])
        fits = True
        for level in range(len(limits)):
            fits = fits and need[level] <= limits[level]
        if not fits:
            continue
        for term in range(full):
            exact_so_far[depth + 1, 0, term] = (
                exact_so_far[depth, 0, term] * values[depth, number, 0, term]
            )
            exact_so_far[depth + 1, 1, term] = (
                exact_so_far[depth, 1, term] * values[depth, number, 1, term]
            )
        metrics[:] = constant
        if depth == groups - 1:
            tally[0] += 1
            for term in range(full):
                value = exact_so_far[groups, 0, term] - exact_so_far[groups, 1, term]
                if value != 0.0:
                    for metric in range(len(metrics)):
                        metrics[metric] += full_weights[metric, term] * value
            score = score_of(kind, metrics, tie)
            if score < best[0]:
                best[0] = score * (1.0 - best[1])
                found = score
                for group in range(groups):
                    result[group] = rows[group, place[group] - 1]
            continue
        tally[1] += 1
        for term in range(terms):
            new = so_far[depth, 0, term] * bounds[depth, number, 0, term]
            kept = so_far[depth, 1, term] * bounds[depth, number, 1, term]
            so_far[depth + 1, 0, term], so_far[depth + 1, 1, term] = new, kept
            low = max(0.0, new * rest[depth + 1, term, 0] - kept * rest[depth + 1, term, 3])
            high = new * rest[depth + 1, term, 1] - kept * rest[depth + 1, term, 2]
            for metric in range(len(metrics)):
                weight = weights[metric, term]
                if weight > 0.0:
                    metrics[metric] += weight * low
                elif weight < 0.0:
                    metrics[metric] += weight * high
        for metric in range(len(metrics)):
            metrics[metric] = max(metrics[metric], floors[metric])
        if score_of(kind, metrics, tie) < best[0]:
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
