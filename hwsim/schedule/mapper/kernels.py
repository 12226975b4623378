"""Branch and bound inside one subproblem, and many mappings at once: the compiled half of
hwsim.schedule.mapper.search."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.compiled import kernel

jit: Any = kernel(nogil=True, error_model="numpy")
LATENCY, ENERGY, EDP, DRAM = range(4)


@jit
def _score(kind: int, metrics: Any, tie: float) -> float:
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
def _bound(
    kind: int,
    tie: float,
    weights: Any,
    constant: Any,
    new_low: Any,
    new_high: Any,
    kept_low: Any,
    kept_high: Any,
    metrics: Any,
) -> float:
    """The score with every unknown factor at its best; leaves the metrics' bounds in `metrics`."""
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
    return _score(kind, metrics, tie)


@jit
def root_bounds(
    kind: int,
    tie: float,
    columns: Any,
    weights: Any,
    constant: Any,
    least: Any,
    is_open: Any,
    outer_least: Any,
    spreads: Any,
    result: Any,
) -> None:
    """Bounds of a skeleton under every spread. least [groups][spread of the group, column, 4]:
    extremes of the factors."""
    terms = columns.shape[0]
    new_low, new_high, kept_low, kept_high = (
        np.ones(terms),
        np.ones(terms),
        np.ones(terms),
        np.ones(terms),
    )
    metrics = np.zeros(len(constant))
    base = constant + outer_least
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
        result[spread] = _bound(
            kind, tie, weights, base, new_low, new_high, kept_low, kept_high, metrics
        )


@jit
def solve(
    kind: int,
    tie: float,
    tables: Any,
    keeps: Any,
    extremes: Any,
    is_open: Any,
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
    room: Any,
    room_least: Any,
    outer_choices: Any,
    outer_metrics: Any,
    outer_keys: Any,
    outer_least: Any,
    best: Any,
    choice: Any,
    tally: Any,
) -> None:
    """Search one subproblem. best[0]: the score to beat, shared; best[1]: not 0 to stop. choice:
    outer rows, then inner.

    tables [groups, rows, columns, 2]; extremes [groups, inner, columns, 4]; room [groups, rows,
    held]: words of every held tensor's tile; room_least the same over inner choices alone.
    """
    groups, terms, held = columns.shape[1], columns.shape[0], len(widths)
    low = np.ones((groups + 1, terms))
    high = np.ones((groups + 1, terms))
    kept_low = np.ones((groups + 1, terms))
    kept_high = np.ones((groups + 1, terms))
    rest = np.ones((groups + 1, terms, 4))
    for group in range(groups - 1, -1, -1):
        for term in range(terms):
            a, b, c, d = np.inf, 0.0, np.inf, 0.0
            column = columns[term, group]
            for y in range(starts[group], ends[group]):
                if not is_open[group, y]:
                    continue
                extreme = extremes[group, y, column]
                a, b, c, d = (
                    min(a, extreme[0]),
                    max(b, extreme[1]),
                    min(c, extreme[2]),
                    max(d, extreme[3]),
                )
            rest[group, term, 0] = rest[group + 1, term, 0] * a
            rest[group, term, 1] = rest[group + 1, term, 1] * b
            rest[group, term, 2] = rest[group + 1, term, 2] * c
            rest[group, term, 3] = rest[group + 1, term, 3] * d
    room_rest = np.ones((groups + 1, held))
    for group in range(groups - 1, -1, -1):
        for member in range(held):
            smallest = np.inf
            for y in range(starts[group], ends[group]):
                smallest = min(smallest, room_least[group, y, member])
            room_rest[group, member] = room_rest[group + 1, member] * smallest
    room_so_far = np.ones((groups + 1, held))
    need = np.zeros(len(limits))
    metrics = np.zeros(len(constant))
    exact, lower = np.zeros(len(constant)), np.zeros(len(constant))
    full_terms = full_columns.shape[0]
    values, kept = np.zeros(full_terms), np.zeros(full_terms)
    base = constant + outer_least
    position = starts.copy()
    inner, rows = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    a_low, a_high, a_kept, a_most = np.ones(terms), np.ones(terms), np.ones(terms), np.ones(terms)
    own, per_term = (
        _gather(tables, inner_counts, full_columns, starts, ends),
        np.ascontiguousarray(full_weights.T),
    )
    cells = ends - starts
    key_metric = 0 if kind in (ENERGY, EDP) else 1
    key_weights = np.ascontiguousarray(per_term[:, key_metric])
    options = np.zeros(
        (groups + 1, outer_choices.shape[0]), np.int64
    )  # outer choices that keep to the running loops so far
    options[0] = np.arange(outer_choices.shape[0])
    open_count = np.zeros(groups + 1, np.int64)
    open_count[0] = outer_choices.shape[0]
    depth = 0
    while depth >= 0:
        if best[1] != 0.0:
            return
        if position[depth] >= ends[depth]:
            position[depth] = starts[depth]
            depth -= 1
            continue
        y = position[depth]
        position[depth] += 1
        if not is_open[depth, y]:
            continue
        inner[depth] = y
        fits = True
        need[:] = 0.0
        for member in range(held):
            room_so_far[depth + 1, member] = (
                room_so_far[depth, member] * room_least[depth, y, member]
            )
            need[level_of[member]] += (
                widths[member] * room_so_far[depth + 1, member] * room_rest[depth + 1, member]
            )
        for level in range(len(limits)):
            if need[level] > limits[level]:
                fits = False
        if not fits:
            continue
        count = 0
        for number in range(open_count[depth]):
            option = options[depth, number]
            if keeps[depth, outer_choices[option, depth] * inner_counts[depth] + y]:
                options[depth + 1, count] = option
                count += 1
        open_count[depth + 1] = count
        if count == 0:
            continue
        if kind != LATENCY:
            base[key_metric] = (
                constant[key_metric] + outer_metrics[options[depth + 1, 0], key_metric]
            )
        for term in range(terms):
            extreme = extremes[depth, y, columns[term, depth]]
            low[depth + 1, term] = low[depth, term] * extreme[0]
            high[depth + 1, term] = high[depth, term] * extreme[1]
            kept_low[depth + 1, term] = kept_low[depth, term] * extreme[2]
            kept_high[depth + 1, term] = kept_high[depth, term] * extreme[3]
            a_low[term] = low[depth + 1, term] * rest[depth + 1, term, 0]
            a_high[term] = high[depth + 1, term] * rest[depth + 1, term, 1]
            a_kept[term] = kept_low[depth + 1, term] * rest[depth + 1, term, 2]
            a_most[term] = kept_high[depth + 1, term] * rest[depth + 1, term, 3]
        tally[1] += 1
        if _bound(kind, tie, weights, base, a_low, a_high, a_kept, a_most, metrics) >= best[0]:
            continue
        if depth < groups - 1:
            depth += 1
            position[depth] = starts[depth]
            continue
        _bound(kind, tie, weights, constant, a_low, a_high, a_kept, a_most, metrics)
        for number in range(open_count[groups]):
            option = options[groups, number]
            # the bound with the cheapest other metrics only grows along the list
            for metric in range(len(exact)):
                exact[metric] = metrics[metric] + outer_least[metric]
            if kind == LATENCY:
                if (
                    _longest(metrics, outer_metrics[option]) >= best[0]
                    and outer_keys[option] >= best[0]
                ):
                    break
            else:
                exact[key_metric] = metrics[key_metric] + outer_metrics[option, key_metric]
                if _score(kind, exact, tie) >= best[0]:
                    break
            for metric in range(len(exact)):
                exact[metric] = metrics[metric] + outer_metrics[option, metric]
            if _score(kind, exact, tie) >= best[0]:
                continue
            fits = True
            need[:] = 0.0
            for member in range(held):
                words = widths[member]
                for group in range(groups):
                    words *= room[
                        group,
                        outer_choices[option, group] * inner_counts[group] + inner[group],
                        member,
                    ]
                need[level_of[member]] += words
            for level in range(len(limits)):
                if need[level] > limits[level]:
                    fits = False
            if not fits:
                continue
            for metric in range(len(exact)):
                exact[metric] = constant[metric] + outer_metrics[option, metric]
            for group in range(groups):
                rows[group] = (
                    outer_choices[option, group] * cells[group] + inner[group] - starts[group]
                )
            for term in range(full_terms):
                values[term] = own[0, rows[0], 0, term]
                kept[term] = own[0, rows[0], 1, term]
            for group in range(1, groups):
                row = rows[group]
                for term in range(full_terms):
                    values[term] *= own[group, row, 0, term]
                    kept[term] *= own[group, row, 1, term]
            for term in range(full_terms):
                values[term] -= kept[term]
                exact[key_metric] += key_weights[term] * values[term]
            tally[0] += 1
            if kind != LATENCY:
                lower[:] = metrics
                lower[key_metric] = exact[key_metric]
                if _score(kind, lower, tie) >= best[0]:
                    continue
            for term in range(full_terms):
                if values[term] != 0.0:
                    for metric in range(len(exact)):
                        if metric != key_metric:
                            exact[metric] += per_term[term, metric] * values[term]
            score = _score(kind, exact, tie)
            if score < best[0]:
                best[0] = score * (
                    1.0 - 1e-9
                )  # ties are no better; rounding must not make them look so
                choice[0] = score
                for group in range(groups):
                    choice[1 + group] = outer_choices[option, group]
                    choice[1 + groups + group] = inner[group]


@jit
def _gather(tables: Any, inner_counts: Any, columns: Any, starts: Any, ends: Any) -> Any:
    """The factors that a subproblem uses, side by side: [groups, outer * cells, 2, terms]."""
    groups, terms = columns.shape[1], columns.shape[0]
    most = 0
    for group in range(groups):
        most = max(most, tables.shape[1] // inner_counts[group] * (ends[group] - starts[group]))
    own = np.ones((groups, most, 2, terms))
    for group in range(groups):
        cells = ends[group] - starts[group]
        for x in range(tables.shape[1] // inner_counts[group]):
            for y in range(cells):
                for term in range(terms):
                    own[group, x * cells + y, 0, term] = tables[
                        group, x * inner_counts[group] + starts[group] + y, columns[term, group], 0
                    ]
                    own[group, x * cells + y, 1, term] = tables[
                        group, x * inner_counts[group] + starts[group] + y, columns[term, group], 1
                    ]
    return own


@jit
def _longest(first: Any, second: Any) -> float:
    longest = 0.0
    for number in range(2, len(first)):
        longest = max(longest, first[number] + second[number])
    return longest


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
