"""What a mapping costs, as sums of products of the factors of hwsim.schedule.mapper.tables.

Every word count is linear in these factors. The metrics of a mapping are energy in pJ, DRAM bytes,
and the cycles that every resource is busy (multipliers, ports, busses). Time is the busiest
resource, the multipliers' with the first tiles coming in and the last going out: a bound that the
simulators only add waiting to. A word of the output is counted as wide as an accumulator at every
level that partial sums may come back to.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from hwsim.energy.account import energy_pj
from hwsim.ir.nest import Hold
from hwsim.ir.tensor import Tensor
from hwsim.parts.systolic import SystolicArray
from hwsim.schedule.mapper.arrivals import latency_terms
from hwsim.schedule.mapper.charges import Charges
from hwsim.schedule.mapper.columns import COLUMNS, Columns
from hwsim.schedule.mapper.groups import groups_of, span
from hwsim.schedule.mapper.ramps import ramp_terms
from hwsim.schedule.mapper.space import CELL, OUTER, Skeleton, Slot, Space, Tiling
from hwsim.schedule.mapper.staying import is_afresh, stays_through
from hwsim.schedule.mapper.tables import ASKED, ENTRIES, RETURNED, Floats, Terms
from hwsim.schedule.mapper.whole_sums import told_apart


class BoundParts(NamedTuple):
    """Terms that a skeleton's bound is the sum of.

    outer: by tensor, of what x alone decides. inner: by tensor, the rest. others: the multipliers'
    time and waiting. What is the same for several skeletons is one object.
    """

    outer: tuple[Terms, ...]
    inner: tuple[Terms, ...]
    others: tuple[Terms, ...]


class Model:
    """The cost of every mapping of a space."""

    def __init__(self, space: Space) -> None:
        self.space = space = told_apart(space)
        self.stage, self.machine = space.stage, space.machine
        self.groups = tuple(groups_of(space))
        self.columns = Columns(self.stage, self.groups)
        self.charges = Charges(space)
        self.metrics = self.charges.metrics
        self.filled: dict[tuple[str, frozenset[str]], bool] = {}
        self._terms: dict[Any, Terms] = {}
        self._outer_alike: dict[tuple[bytes, bytes], Terms] = {}

    def outer_terms(self, skeleton: Skeleton) -> Terms:
        """The part of the cost that x alone decides.

        That is the words into the first level of every tensor held there.
        """
        return self._cost(skeleton, True)

    def inner_terms(self, skeleton: Skeleton) -> Terms:
        """The rest, with everything that is the same for all tilings in `constant`."""
        return self._cost(skeleton, False)

    def inner_bounds(self, skeleton: Skeleton) -> Terms:
        """Terms that are at most inner_terms', with fewer to subtract.

        A tensor that stays comes anew at least whenever a running loop outside the loops that it
        stays through advances.
        """
        return self._cost(skeleton, False, True)

    def bound_parts(self, skeleton: Skeleton) -> BoundParts:
        """What a skeleton's bound is made of, part by part."""
        tensors = self.stage.tensors
        return BoundParts(
            tuple(self.tensor_terms(skeleton, tensor, True, False) for tensor in tensors),
            tuple(self.tensor_terms(skeleton, tensor, False, True) for tensor in tensors),
            (self.time_terms(skeleton), self.waiting_terms(skeleton)),
        )

    def _cost(self, skeleton: Skeleton, outer: bool, least: bool = False) -> Terms:
        parts = [self.tensor_terms(skeleton, tensor, outer, least) for tensor in self.stage.tensors]
        if not outer:
            parts += [self.time_terms(skeleton), self.waiting_terms(skeleton)]
        return joined(*parts)

    def tensor_terms(self, skeleton: Skeleton, tensor: Tensor, outer: bool, least: bool) -> Terms:
        """One tensor's part of the cost: as `outer_terms`, `inner_terms` or `inner_bounds`."""
        key = (skeleton.seen_by(tensor.name), self.charges.keeps_filters(skeleton), outer, least)
        if key in self._terms:
            return self._terms[key]
        chain = [hold for hold in skeleton.holds if tensor.name in hold.tensors]
        boundaries = [skeleton.slots_above(hold) for hold in [*chain[1:], None]]
        weights, constant = self.charges.linear_of(skeleton, tensor, chain)
        columns: list[list[int]] = []
        metrics: list[Floats] = []
        for number, slots in enumerate(boundaries):
            last = number == len(boundaries) - 1
            mine = all(slot.tile == OUTER for slot in slots) and not last
            if mine != outer:
                continue
            before = len(skeleton.slots_above(chain[number]))
            afresh = last or is_afresh(self.space, skeleton, slots, tensor)
            for variable in (ENTRIES, ASKED, RETURNED):
                weight = weights[:, 3 * number + variable]
                if weight.any():
                    stays = (
                        stays_through(self.space, skeleton, slots, tensor)
                        if least and not afresh and (weight >= 0).all()
                        else ()
                    )
                    found = (
                        [self.columns.least_of(tensor, slots, before, variable, stays)]
                        if stays
                        else self.columns.sum_of(tensor, slots, before, variable, afresh)
                    )
                    columns += found
                    metrics += [weight] * len(found)
        hidden = not self.charges.between_steps(skeleton, tensor)
        if outer and self._first_is_outer(boundaries) and self.charges.exact and hidden:
            for column, weight in self._exposed(skeleton, tensor, chain, boundaries[0]):
                columns.append(column)
                metrics.append(weight)
        shape = (len(self.metrics), 0)
        terms = Terms(
            np.array(columns, np.int64).reshape(-1, len(self.groups)),
            np.ascontiguousarray(np.array(metrics).T) if metrics else np.zeros(shape),
            np.zeros(len(self.metrics)) if outer else constant,
        )
        if outer:  # many skeletons' outer loops do the same
            content = (terms.columns.tobytes(), terms.weights.tobytes())
            terms = self._outer_alike.setdefault(content, terms)
        self._terms[key] = terms
        return terms

    @staticmethod
    def _first_is_outer(boundaries: list[tuple[Slot, ...]]) -> bool:
        return len(boundaries) > 1 and all(slot.tile == OUTER for slot in boundaries[0])

    def _exposed(
        self, skeleton: Skeleton, tensor: Tensor, chain: list[Hold], slots: tuple[Slot, ...]
    ) -> Iterator[tuple[list[int], Floats]]:
        """Cycles that nothing can hide.

        The first tile of an input comes in, the last of the output goes out.
        """
        columns = self.columns.one_tile(tensor, slots)
        weight = np.zeros(len(self.metrics))
        width = self.charges.width(skeleton, chain[0], tensor)
        weight[self.charges.metric("multipliers")] = width / self.charges.dram_rate
        yield columns, weight

    def time_terms(self, skeleton: Skeleton) -> Terms:
        """Busy cycles of the multipliers, and the energy of arithmetic.

        The energy is the same for every mapping.
        """
        key = ("time", skeleton.loops)
        if key not in self._terms:
            self._terms[key] = self._time_terms(skeleton)
        return self._terms[key]

    def _time_terms(self, skeleton: Skeleton) -> Terms:
        compute, rows = self.machine.compute, []
        weights = []
        dtype = self.stage.dtype or self.machine.dtype
        rate = compute.peak_macs_per_cycle(dtype) / compute.cells
        arithmetic = self.charges.metric("multipliers")
        rows.append(self.columns.steps(skeleton.slots, False))
        weights.append((arithmetic, 1.0 / rate))
        if isinstance(compute, SystolicArray):
            spatial = next(
                number for number, slot in enumerate(skeleton.slots) if slot.tile == CELL
            )
            rows.append(self.columns.steps(skeleton.slots[:spatial], True))
            weights.append(
                (
                    self.charges.metric("weights shifting in")
                    if compute.preload_hidden
                    else arithmetic,
                    1.0,
                )
            )
            if not compute.overlap_folds:
                rows.append(self.columns.steps(skeleton.slots[:spatial], False))
                weights.append((arithmetic, float(compute.rows + compute.cols - 2)))
        table = np.zeros((len(self.metrics), len(rows)))
        for number, (metric, weight) in enumerate(weights):
            table[metric, number] = weight
        constant = np.zeros(len(self.metrics))
        constant[0] = sum(energy_pj(self.machine, dtype, self.stage.operations, {}).values())
        return Terms(np.array(rows, np.int64), table, constant)

    def waiting_terms(self, skeleton: Skeleton) -> Terms:
        """What is added to the multiplying, whichever resource is busiest then.

        These are the ramps of row-stationary passes (hwsim.schedule.mapper.ramps), and DRAM's
        latency where nothing is multiplied meanwhile (hwsim.schedule.mapper.arrivals).
        """
        key = self.waiting_key(skeleton)
        if key not in self._terms:
            self._terms[key] = joined(ramp_terms(self, skeleton), latency_terms(self, skeleton))
        return self._terms[key]

    @staticmethod
    def waiting_key(skeleton: Skeleton) -> tuple[object, ...]:
        """What these depend on."""
        return ("waiting", skeleton.loops, skeleton.pattern)

    def sizes(self, skeleton: Skeleton, hold: Hold) -> tuple[list[tuple[float, str]], list[Floats]]:
        """A level's need of room.

        It is per held tensor bytes of a word (buffers included), and per group [candidates,
        tensors] words.

        A tile's words are the product over axes of the span that it touches, at most the axis.
        """
        tiles: dict[str, int] = {}
        for slot in skeleton.slots_above(hold):
            tiles[slot.dim] = COLUMNS[slot.tile]
        tensors = [self.stage.tensor(name) for name in hold.tensors]
        widths = [
            (float(self.charges.width(skeleton, hold, tensor) * hold.buffers), tensor.name)
            for tensor in tensors
        ]
        return widths, [
            np.stack(
                [span(group, self.stage, tensor, tiles, number == 0) for tensor in tensors], axis=1
            )
            for number, group in enumerate(self.groups)
        ]

    def row(self, tiling: Tiling) -> list[tuple[int, int]]:
        """(x choice, y choice) of every group for a tiling."""
        found = []
        for group in self.groups:
            x = group.outer.index(tuple(tiling.outer[dim] for dim in group.dims))
            y = group.inner.index(
                (
                    tuple(tiling.spread[dim] for dim in group.dims),
                    tuple(tiling.cell[dim] for dim in group.dims),
                )
            )
            found.append((x, y))
        return found

    def tiling(self, outer: list[int], inner: list[int]) -> Tiling:
        """The tiling that choices of every group make."""
        x: dict[str, int] = {}
        f: dict[str, int] = {}
        t: dict[str, int] = {}
        for group, first, second in zip(self.groups, outer, inner, strict=True):
            x.update(zip(group.dims, group.outer[first], strict=True))
            f.update(zip(group.dims, group.inner[second][0], strict=True))
            t.update(zip(group.dims, group.inner[second][1], strict=True))
        return Tiling(x, f, t)


def joined(*parts: Terms) -> Terms:
    """All terms together."""
    return Terms(
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.weights for part in parts], axis=1),
        np.asarray(sum(part.constant for part in parts), np.float64),
    )


def evaluate(model: Model, skeleton: Skeleton, tiling: Tiling) -> Floats:
    """Metrics of one mapping from the tables: what the batch kernels compute, written out."""
    total = np.zeros(len(model.metrics))
    rows = [
        x * len(group.inner) + y
        for group, (x, y) in zip(model.groups, model.row(tiling), strict=True)
    ]
    for terms in (model.outer_terms(skeleton), model.inner_terms(skeleton)):
        total += terms.constant
        for column, weight in zip(terms.columns, terms.weights.T, strict=True):
            values = [
                model.columns.table(group)[row, column[group]] for group, row in enumerate(rows)
            ]
            total += weight * (
                prod(value[0] for value in values) - prod(value[1] for value in values)
            )
    return total
