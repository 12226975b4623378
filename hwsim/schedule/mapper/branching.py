"""Branch and bound inside one subproblem: the best of its mappings.

choices of every group of dims      rule out those whose own bound is no better than the best
                                    met, or that do not fit, until none is dropped
of those that are left              none that costs no less and takes no less room than another
part them by the outer or inner     and every part likewise, until one group alone has a choice
tiles of one group

Every term is a product over groups of factors that are not negative, so what is no better in one
group is no better whatever the others choose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwsim.schedule.mapper.descent import Choices, fill, rows_of_all, side_by_side
from hwsim.schedule.mapper.kernels import (
    MIXED,
    Candidates,
    Costs,
    Goal,
    Limit,
    Room,
    cost_of,
    fits,
    jit,
    least_of,
    score_of,
)


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
    """For every term 1 where metrics add it, -1 where they subtract it, MIXED for both."""
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
    """Drop the choices that cannot be part of a better mapping.

    Their bound is no better than `to_beat`, or they do not fit beside the fewest words of the
    others. What is left gives tighter bounds, so again until none is dropped.

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
            if not fits(room, at_least, False):
                continue
            for term in range(terms):
                new, kept = choices.least[group, pick, 0, term], choices.least[group, pick, 1, term]
                here[term, 0] = around[term, 0] * new
                here[term, 1] = around[term, 1] * new
                here[term, 2] = around[term, 2] * kept
                here[term, 3] = around[term, 3] * kept
            least_of(bounds, here, metrics)
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
    """Evaluate a node of which at most one group has a choice left.

    It gives the best score under `to_beat`, whose picks are left in best [groups]; infinite where
    there is none.
    """
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
        if not fits(room, others_words * choices.words[open_group, pick], True):
            continue
        chosen = others * choices.exact[open_group, pick]
        tally[0] += 1
        cost_of(costs, chosen[0], chosen[1], metrics)
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
    """Search one subproblem: the score of its best mapping, infinite where none beats the limit.

    Its rows are left in result [groups].

    bounds: terms that are at most the costs' own. stop[0], shared: not 0 to stop. What all groups
    may choose is one node. What its bounds rule out leaves it; of choices that cost no less and
    take no less room than another none is tried; then it is parted by the tiles of one group, and
    every part is a node again, until one group alone has a choice.
    """
    groups, terms, held = costs.columns.shape[1], len(bounds.columns), len(room.widths)
    rows = np.empty((groups, candidates.keeps.shape[1]), np.int64)
    counts = rows_of_all(candidates, rows)
    most = counts.max()
    if counts.min() == 0:
        return np.inf
    choices = side_by_side(room, rows, counts, terms, len(costs.columns))
    root = _node(groups, most, terms, held)
    root.counts[:] = counts
    for group in range(groups):
        root.picks[group] = np.arange(most)
        fill(
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
        fill(candidates, costs, group, rows[group], own, choices.exact)
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
