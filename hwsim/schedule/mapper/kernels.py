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
        for metric in range(len(metrics)):
            metrics[metric] += costs.weights[term, metric] * value


@jit
def _least(costs: Costs, extremes: Any, metrics: Any) -> None:
    """The metrics with every unknown factor at its best. extremes [terms, 4]: least and most of
    new, least and most of kept."""
    metrics[:] = costs.constant
    for term in range(len(extremes)):
        low = max(0.0, extremes[term, 0] - extremes[term, 3])
        high = extremes[term, 1] - extremes[term, 2]
        for metric in range(len(metrics)):
            metrics[metric] += (
                costs.added[term, metric] * low + costs.subtracted[term, metric] * high
            )


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
    rows = np.empty((groups, candidates.keeps.shape[1]), np.int64)
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


# -- the rows of one subproblem --------------------------------------------------------------------


class Choices(NamedTuple):
    """What the rows that may be chosen are worth, side by side.

    least, exact [groups, rows, 2, terms]: factors of the bounds' terms and of the costs'. words
    [groups, rows, held].
    """

    least: Any
    exact: Any
    words: Any


@jit
def _rows_of_all(candidates: Candidates, rows: Any) -> Any:
    """Put the rows that every group may take into rows[group]; returns how many there are."""
    counts = np.zeros(len(rows), np.int64)
    for group in range(len(rows)):
        counts[group] = _own_rows(candidates, group, rows[group])
    return counts


@jit
def _side_by_side(
    candidates: Candidates, bounds: Costs, costs: Costs, room: Room, rows: Any, counts: Any
) -> Choices:
    """Choices with their words; factors are filled in when they are asked for."""
    groups, most = len(counts), counts.max()
    choices = Choices(
        np.ones((groups, most, 2, len(bounds.columns))),
        np.ones((groups, most, 2, len(costs.columns))),
        np.ones((groups, most, len(room.widths))),
    )
    for group in range(groups):
        for pick in range(counts[group]):
            choices.words[group, pick] = room.words[group, rows[group, pick]]
    return choices


@jit
def _fill(
    candidates: Candidates, costs: Costs, group: int, rows: Any, picks: Any, out: Any
) -> None:
    """The factors of some of a group's rows: out[group, pick] [2, terms]."""
    for pick in picks:
        for term in range(len(costs.columns)):
            factor = candidates.tables[group, rows[pick], costs.columns[term, group]]
            out[group, pick, 0, term], out[group, pick, 1, term] = factor[0], factor[1]


# -- descent ---------------------------------------------------------------------------------------


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
        if not _fits(room, words, True):
            continue
        for side in range(2):
            for term in range(terms):
                chosen[side, term] = others[side, term] * choices.exact[group, pick, side, term]
        _cost(costs, chosen[0], chosen[1], metrics)
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
    """One group after another takes its best choice until none finds a better, from group `first`
    on in steps of `step`."""
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
    """A good mapping of one subproblem: descents from the smallest tiles that begin with every
    group, upwards by the goal, and downwards by the guide first. result [groups]: its rows.
    Infinite where the smallest tiles do not fit."""
    groups = costs.columns.shape[1]
    rows = np.empty((groups, candidates.keeps.shape[1]), np.int64)
    counts = _rows_of_all(candidates, rows)
    if counts.min() == 0:
        return np.inf
    choices = _side_by_side(candidates, costs, costs, room, rows, counts)
    every = np.arange(counts.max())
    smallest = np.zeros(groups, np.int64)
    for group in range(groups):
        _fill(candidates, costs, group, rows[group], every[: counts[group]], choices.exact)
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
    signs = np.zeros(weights.shape[0])
    for term in range(weights.shape[0]):
        for metric in range(weights.shape[1]):
            sign = np.sign(weights[term, metric])
            if sign != 0.0 and signs[term] != 0.0 and sign != signs[term]:
                signs[term] = MIXED
            elif sign != 0.0 and signs[term] != MIXED:
                signs[term] = sign
    return signs


class Node(NamedTuple):
    """A part of a subproblem: what every group may still choose.

    picks [groups, rows], counts [groups]: the choices that are left. extremes [groups, terms, 4]:
    least and most of their new, least and most of their kept. fewest [groups, held]: of their
    words. worth [groups, rows]: the bound of a choice with every other group at its best.
    """

    picks: Any
    counts: Any
    extremes: Any
    fewest: Any
    worth: Any


@jit
def _node(groups: int, rows: int, terms: int, held: int) -> Node:
    return Node(
        np.zeros((groups, rows), np.int64),
        np.zeros(groups, np.int64),
        np.ones((groups, terms, 4)),
        np.ones((groups, held)),
        np.zeros((groups, rows)),
    )


@jit
def _rule_out(
    goal: Goal,
    bounds: Costs,
    room: Room,
    choices: Choices,
    to_beat: float,
    node: Node,
    first: int,
    tally: Any,
) -> bool:
    """Drop the choices whose bound is no better than `to_beat`, or that do not fit beside the
    fewest words of the others. What is left gives tighter bounds, so again until none is dropped.

    first: the group to begin with. False where a group has no choice left.
    """
    groups, terms, held = len(node.counts), node.extremes.shape[1], len(room.widths)
    around, words = np.ones((terms, 4)), np.ones(held)
    here, at_least = np.ones((terms, 4)), np.ones(held)
    metrics = np.zeros(len(bounds.constant))
    group, settled = first, 0
    while settled < groups:
        around[:], words[:] = 1.0, 1.0
        for other in range(groups):
            if other != group:
                around *= node.extremes[other]
                words *= node.fewest[other]
        left = 0
        tally[1] += node.counts[group]
        for number in range(node.counts[group]):
            pick = node.picks[group, number]
            for member in range(held):
                at_least[member] = words[member] * choices.words[group, pick, member]
            if not _fits(room, at_least, False):
                continue
            for term in range(terms):
                new, kept = choices.least[group, pick, 0, term], choices.least[group, pick, 1, term]
                here[term, 0] = around[term, 0] * new
                here[term, 1] = around[term, 1] * new
                here[term, 2] = around[term, 2] * kept
                here[term, 3] = around[term, 3] * kept
            _least(bounds, here, metrics)
            for metric in range(len(metrics)):
                metrics[metric] = max(metrics[metric], goal.floors[metric])
            worth = score_of(goal, metrics)
            if worth < to_beat:
                node.picks[group, left] = pick
                node.worth[group, left] = worth
                left += 1
        if left == 0:
            return False
        if left < node.counts[group]:
            node.counts[group] = left
            _take_extremes(choices, node, group)
            settled = 0
        settled += 1
        group = (group + 1) % groups
    return True


@jit
def _take_extremes(choices: Choices, node: Node, group: int) -> None:
    """Fill the extremes and the fewest words of a group's choices."""
    least, most = np.inf, 0.0
    fewest, extremes = node.fewest[group], node.extremes[group]
    fewest[:] = least
    for term in range(len(extremes)):
        extremes[term, 0] = extremes[term, 2] = least
        extremes[term, 1] = extremes[term, 3] = most
    for number in range(node.counts[group]):
        pick = node.picks[group, number]
        for member in range(len(fewest)):
            fewest[member] = min(fewest[member], choices.words[group, pick, member])
        for term in range(len(extremes)):
            new, kept = choices.least[group, pick, 0, term], choices.least[group, pick, 1, term]
            extremes[term, 0] = min(extremes[term, 0], new)
            extremes[term, 1] = max(extremes[term, 1], new)
            extremes[term, 2] = min(extremes[term, 2], kept)
            extremes[term, 3] = max(extremes[term, 3], kept)


@jit
def _worth_trying(
    room: Room, choices: Choices, signs: Any, group: int, picks: Any, count: int
) -> int:
    """Keep in picks[:count] of a group those that no other is as good as; returns how many."""
    whole = np.full(len(room.widths), -1.0)
    for member in range(len(room.widths)):
        if room.once[member] < room.widths[member]:
            whole[member] = room.words[group, :, member].max()
    return _undominated(picks, count, signs, choices.exact[group], choices.words[group], whole)


class Branch(NamedTuple):
    """How a node is parted: by a group's outer tiles or its inner ones (by [2]: the group; 0 or 1).

    classes [rows], worth [rows]: the tiles that are left and the bounds of their parts, the least
    first. at [2]: how many there are, and which is next.
    """

    by: Any
    classes: Any
    worth: Any
    at: Any


@jit
def _branch(rows: int) -> Branch:
    return Branch(
        np.zeros(2, np.int64), np.zeros(rows, np.int64), np.zeros(rows), np.zeros(2, np.int64)
    )


@jit
def _part(node: Node, classes: Any, branch: Branch) -> None:
    """Choose what a node is parted by: the tiles whose parts' bounds are highest on average.

    classes [groups, 2, rows]: a choice's outer tiles and inner ones, as numbers.
    """
    highest = -1.0
    found, least = np.zeros(len(branch.classes), np.int64), np.zeros(len(branch.classes))
    for group in range(len(node.counts)):
        for kind in range(2):
            number = 0
            for place in range(node.counts[group]):
                own = classes[group, kind, node.picks[group, place]]
                which = 0
                while which < number and found[which] != own:
                    which += 1
                if which == number:
                    found[which], least[which] = own, np.inf
                    number += 1
                least[which] = min(least[which], node.worth[group, place])
            mean = least[:number].mean()
            if number > 1 and mean > highest:
                highest = mean
                order = np.argsort(least[:number], kind="mergesort")
                branch.by[0], branch.by[1] = group, kind
                branch.at[0], branch.at[1] = number, 0
                branch.classes[:number] = found[order]
                branch.worth[:number] = least[order]


@jit
def _take_part(node: Node, classes: Any, branch: Branch, which: int, part: Node) -> None:
    """The part of a node in which a group has one class of tiles; extremes are the node's."""
    part.counts[:] = node.counts
    part.extremes[:] = node.extremes
    part.fewest[:] = node.fewest
    for group in range(len(node.counts)):
        part.picks[group, : node.counts[group]] = node.picks[group, : node.counts[group]]
    group, kind = branch.by[0], branch.by[1]
    left = 0
    for place in range(node.counts[group]):
        pick = node.picks[group, place]
        if classes[group, kind, pick] == branch.classes[which]:
            part.picks[group, left] = pick
            left += 1
    part.counts[group] = left


@jit
def _best_leaf(
    goal: Goal,
    costs: Costs,
    room: Room,
    choices: Choices,
    node: Node,
    to_beat: float,
    best: Any,
    tally: Any,
) -> float:
    """Evaluate a node of which at most one group has a choice left: the best score under `to_beat`,
    whose picks are left in best [groups]; infinite where there is none."""
    groups, terms, held = len(node.counts), len(costs.columns), len(room.widths)
    open_group = node.counts.argmax()
    others, others_words = np.ones((2, terms)), np.ones(held)
    metrics = np.zeros(len(costs.constant))
    found = np.inf
    for group in range(groups):
        if group != open_group:
            others *= choices.exact[group, node.picks[group, 0]]
            others_words *= choices.words[group, node.picks[group, 0]]
    for number in range(node.counts[open_group]):
        pick = node.picks[open_group, number]
        if not _fits(room, others_words * choices.words[open_group, pick], True):
            continue
        chosen = others * choices.exact[open_group, pick]
        tally[0] += 1
        _cost(costs, chosen[0], chosen[1], metrics)
        score = score_of(goal, metrics)
        if score < min(to_beat, found):
            found = score
            best[:] = node.picks[:, 0]
            best[open_group] = pick
    return found


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

    bounds: terms that are at most the costs' own. stop[0], shared: not 0 to stop. What all groups
    may choose is one node. What its bounds rule out leaves it; of choices that cost no less and
    take no less room than another none is tried; then it is parted by the tiles of one group, and
    every part is a node again, until one group alone has a choice.
    """
    groups, terms, held = costs.columns.shape[1], len(bounds.columns), len(room.widths)
    rows = np.empty((groups, candidates.keeps.shape[1]), np.int64)
    counts = _rows_of_all(candidates, rows)
    most = counts.max()
    if counts.min() == 0:
        return np.inf
    choices = _side_by_side(candidates, bounds, costs, room, rows, counts)
    root = _node(groups, most, terms, held)
    root.counts[:] = counts
    for group in range(groups):
        root.picks[group] = np.arange(most)
        _fill(
            candidates,
            bounds,
            group,
            rows[group],
            root.picks[group, : counts[group]],
            choices.least,
        )
        _take_extremes(choices, root, group)
    if not _rule_out(goal, bounds, room, choices, limit.score, root, 0, tally):
        return np.inf
    signs = _signs(costs.weights)
    classes = np.zeros((groups, 2, most), np.int64)
    for group in range(groups):
        own = root.picks[group, : root.counts[group]]
        _fill(candidates, costs, group, rows[group], own, choices.exact)
        left = _worth_trying(room, choices, signs, group, root.picks[group], root.counts[group])
        root.counts[group] = left
        _take_extremes(choices, root, group)
        for pick in root.picks[group, :left]:
            classes[group, 0, pick] = rows[group, pick] // candidates.inner_counts[group]
            classes[group, 1, pick] = rows[group, pick] % candidates.inner_counts[group]
    most = root.counts.max()
    nodes = [root]
    branches = [_branch(most)]
    for _ in range(2 * groups):
        nodes.append(_node(groups, most, terms, held))
        branches.append(_branch(most))
    best = np.zeros(groups, np.int64)
    to_beat, found, depth = limit.score, np.inf, -1
    fresh = _rule_out(goal, bounds, room, choices, to_beat, root, 0, tally)
    while fresh or depth >= 0:
        if stop[0] != 0 or tally[0] + tally[1] > limit.work:
            return found
        if fresh:
            depth += 1
            node, fresh = nodes[depth], False
            if (node.counts > 1).sum() > 1:
                _part(node, classes, branches[depth])
                continue
            score = _best_leaf(goal, costs, room, choices, node, to_beat, best, tally)
            if score < to_beat:
                to_beat, found = score * (1.0 - limit.slack), score
                for group in range(groups):
                    result[group] = rows[group, best[group]]
            depth -= 1
            continue
        node, branch = nodes[depth], branches[depth]
        which = branch.at[1]
        if which == branch.at[0] or branch.worth[which] >= to_beat:
            depth -= 1
            continue
        branch.at[1] += 1
        part = nodes[depth + 1]
        _take_part(node, classes, branch, which, part)
        _take_extremes(choices, part, branch.by[0])
        following = (branch.by[0] + 1) % groups
        fresh = _rule_out(goal, bounds, room, choices, to_beat, part, following, tally)
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
