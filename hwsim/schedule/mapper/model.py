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

from hwsim.count.closed_form import touched_words
from hwsim.energy.account import energy_pj, pj_per_byte
from hwsim.energy.tables import table_for
from hwsim.ir.nest import Hold
from hwsim.ir.tensor import Axis, Tensor
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.schedule.mapper.arrivals import latency_terms
from hwsim.schedule.mapper.groups import groups_of, span, step_block
from hwsim.schedule.mapper.ramps import keeps_filters, ramp_terms
from hwsim.schedule.mapper.space import (
    ARRAY,
    CELL,
    IDLE,
    OUTER,
    POINT,
    Skeleton,
    Slot,
    Space,
    Tiling,
    beside_of,
)
from hwsim.schedule.mapper.tables import (
    ASKED,
    BACKWARD,
    BLOCK,
    ENTRIES,
    EVERYTHING,
    FORWARD,
    PRESENCE,
    RETURNED,
    WINDOW,
    Floats,
    OwnLoop,
    Terms,
    factors,
    gap_slot,
    own_slot,
    slot_count,
)
from hwsim.schedule.mapper.whole_sums import come_back, told_apart

COLUMNS = {OUTER: 0, ARRAY: 1, CELL: 2, POINT: 3}


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
        self._where = {
            dim: (number, place)
            for number, group in enumerate(self.groups)
            for place, dim in enumerate(group.dims)
        }
        choices = [(group.outer, group.inner) for group in self.groups]
        self._alike = [choices.index(each) for each in choices]
        self._tables: list[list[Floats]] = [[] for _ in self.groups]
        self._widths = [0] * len(self.groups)
        self._columns: dict[Any, int] = {}
        self._terms: dict[Any, Terms] = {}
        self._outer_alike: dict[tuple[bytes, bytes], Terms] = {}
        self._keeping: dict[Any, bool] = {}
        self._stopping: dict[Any, bool] = {}
        self.filled: dict[tuple[str, frozenset[str]], bool] = {}
        self._own: dict[tuple[int, tuple[Slot, ...], int], tuple[OwnLoop, ...]] = {}
        self._sums: dict[Any, list[list[int]]] = {}
        self._factors: dict[Any, Floats] = {}
        self._forms: dict[Any, tuple[Floats, Floats]] = {}
        self.words = touched_words(self.stage)
        self.resources = tuple(self._resources())
        self.metrics = ("energy", "dram bytes", *self.resources)

    # -- tables ------------------------------------------------------------------------------------

    def table(self, group: int) -> Floats:
        """[candidates, columns, 2]: everything asked for so far of one group."""
        if len(self._tables[group]) > 1:
            self._tables[group] = [np.concatenate(self._tables[group], axis=1)]
        return self._tables[group][0]

    @property
    def tabled(self) -> int:
        """Columns of all tables so far."""
        return sum(self._widths)

    def _column(self, group: int, key: Any, build: Any) -> int:
        """The first column of a block of factors, built once."""
        if (group, key) not in self._columns:
            block = build()
            self._columns[group, key] = self._widths[group]
            self._widths[group] += block.shape[1]
            self._tables[group].append(block)
        return self._columns[group, key]

    def _loops(self, group: int, slots: tuple[Slot, ...], shared_from: int) -> tuple[OwnLoop, ...]:
        """The group's own loops among `slots`.

        Spatial ones from number `shared_from` on share their words.
        """
        key = (group, slots, shared_from)
        if key not in self._own:
            self._own[key] = self._own_loops(*key)
        return self._own[key]

    def _own_loops(
        self, group: int, slots: tuple[Slot, ...], shared_from: int
    ) -> tuple[OwnLoop, ...]:
        found = []
        for number, slot in enumerate(slots):
            where, place = self._where[slot.dim]
            if where == group:
                found.append(
                    OwnLoop(
                        place,
                        4 * place + COLUMNS[slot.tile],
                        slot.tile == CELL,
                        slot.tile == CELL and number >= shared_from,
                    )
                )
        return tuple(found)

    def _block(self, group: int, tensor: Tensor, loops: tuple[OwnLoop, ...], mode: int) -> Floats:
        """Factors of one tensor in one group.

        They are its axes there, and the presence of dims that it does not use.
        """
        own = self.groups[group].dims
        product = np.ones(
            (len(self.groups[group].chains), 1 if mode == EVERYTHING else slot_count(loops), 2)
        )
        if mode == EVERYTHING:
            product[:, :, 1] = 0.0
        for axis in tensor.axes:
            dims = tuple(dim for dim in axis.dims if dim in own)
            if dims:
                product = product * self._axis(
                    WINDOW if self._window(axis) else BLOCK, axis, dims, own, loops, group, mode
                )
        for dim in own:
            if dim not in tensor.dims:
                product = product * self._axis(PRESENCE, None, (dim,), own, loops, group, mode)
        return product

    def _axis(
        self,
        kind: int,
        axis: Axis | None,
        dims: tuple[str, ...],
        own: tuple[str, ...],
        loops: tuple[OwnLoop, ...],
        group: int,
        mode: int,
    ) -> Floats:
        place = {own.index(dim): number for number, dim in enumerate(dims)}
        mapped = tuple(
            OwnLoop(
                place.get(loop.dim, -1), loop.column, loop.spatial, loop.shared and kind != BLOCK
            )
            for loop in loops
        )
        mapped = tuple(loop for loop in mapped if loop.dim >= 0 or not loop.spatial)
        if mode == EVERYTHING:  # a sum over all chunks, in whatever order
            own_loops = (loop for loop in mapped if loop.dim >= 0)
            mapped = tuple(sorted(own_loops, key=lambda loop: loop.dim))
        bounds = tuple(self.stage.extents[dim] for dim in dims)
        key = (self._alike[group], kind, _form(kind, axis, dims), bounds, mapped, mode)
        if key not in self._factors:
            self._factors[key] = factors(
                kind, axis, dims, bounds, mapped, self.groups[group].chains, mode
            )
        return self._factors[key]

    def _window(self, axis: Axis) -> bool:
        """False for an axis whose chunks never overlap and never meet padding."""
        if len(axis.terms) > 1 or axis.offset < 0:
            return True
        coefficient = axis.terms[0][1]
        top = self.stage.extents[axis.terms[0][0]] - 1
        return not (
            coefficient >= axis.extent
            and axis.offset + coefficient * top + axis.extent <= axis.size
        )

    # -- terms -------------------------------------------------------------------------------------

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
        key = (skeleton.seen_by(tensor.name), self.keeps_filters(skeleton), outer, least)
        if key in self._terms:
            return self._terms[key]
        chain = [hold for hold in skeleton.holds if tensor.name in hold.tensors]
        boundaries = [skeleton.slots_above(hold) for hold in [*chain[1:], None]]
        weights, constant = self._linear_of(skeleton, tensor, chain)
        columns: list[list[int]] = []
        metrics: list[Floats] = []
        for number, slots in enumerate(boundaries):
            last = number == len(boundaries) - 1
            mine = all(slot.tile == OUTER for slot in slots) and not last
            if mine != outer:
                continue
            before = len(skeleton.slots_above(chain[number]))
            afresh = last or self.is_afresh(skeleton, slots, tensor)
            for variable in (ENTRIES, ASKED, RETURNED):
                weight = weights[:, 3 * number + variable]
                if weight.any():
                    stays = (
                        self._stays_through(skeleton, slots, tensor)
                        if least and not afresh and (weight >= 0).all()
                        else ()
                    )
                    found = (
                        [self._least(tensor, slots, before, variable, stays)]
                        if stays
                        else self.sum_of(tensor, slots, before, variable, afresh)
                    )
                    columns += found
                    metrics += [weight] * len(found)
        hidden = not self.between_steps(skeleton, tensor)
        if outer and self._first_is_outer(boundaries) and self.exact and hidden:
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
        columns = self.one_tile(tensor, slots)
        weight = np.zeros(len(self.metrics))
        width = self.width(skeleton, chain[0], tensor)
        weight[self._metric("multipliers")] = width / self.dram_rate
        yield columns, weight

    def one_tile(self, tensor: Tensor, slots: tuple[Slot, ...]) -> list[int]:
        """Columns of an input's first tile, of the output's last."""
        mode = BACKWARD if tensor.role == "output" else FORWARD
        return [
            self._alone(group, self._base(group, tensor, slots, len(slots), mode))
            for group in range(len(self.groups))
        ]

    def every_step(self, tensor: Tensor, slots: tuple[Slot, ...]) -> list[int]:
        """Columns of a tensor's words summed over all steps of some loops, neighbours sharing."""
        every = range(len(self.groups))
        return [self._base(group, tensor, slots, 0, EVERYTHING) for group in every]

    def _base(
        self, group: int, tensor: Tensor, slots: tuple[Slot, ...], shared_from: int, mode: int
    ) -> int:
        """The first column of a tensor's factors in a group, above what `slots` lead to."""
        own = self._loops(group, slots, shared_from)
        key = (tensor.name, own, mode)
        return self._column(group, key, lambda: self._block(group, tensor, own, mode))

    def is_afresh(self, skeleton: Skeleton, slots: tuple[Slot, ...], tensor: Tensor) -> bool:
        """True when every step brings a whole new tile.

        The innermost running loop then moves the tensor to other words.

        The loop's chunks do not overlap (its axis is no window) and there are two or more, so at
        its own advance, and at that of any loop outside it, when it goes from the last chunk to the
        first, nothing is kept.
        """
        dim = self._innermost(skeleton, slots)
        return any(dim in axis.dims and not self._window(axis) for axis in tensor.axes)

    def _stays_through(
        self, skeleton: Skeleton, slots: tuple[Slot, ...], tensor: Tensor
    ) -> tuple[str, ...]:
        """Dims whose inner loops a tensor stays through at the least.

        There are none when no running loop outside them moves it.
        """
        outer, innermost, following = skeleton.running
        last = next((slot for slot in reversed(slots) if slot.tile != CELL), None)
        if (
            last is None
            or last.tile != ARRAY
            or innermost in ("", IDLE)
            or following == ""
            or innermost in tensor.dims
        ):
            return ()
        mover = outer if following == IDLE else following
        moves = any(mover in axis.dims and not self._window(axis) for axis in tensor.axes)
        return (innermost, *beside_of(self.stage, innermost, self.space.dims)) if moves else ()

    def _least(
        self,
        tensor: Tensor,
        slots: tuple[Slot, ...],
        before: int,
        variable: int,
        stays: tuple[str, ...],
    ) -> list[int]:
        """Columns of one term: all steps of the loops outside.

        The inner loops of `stays` are at their first (or last) chunk.
        """
        shared_from = len(slots) if variable == ENTRIES else before
        mode = BACKWARD if variable == RETURNED else FORWARD
        columns = []
        for group, members in enumerate(self.groups):
            if not any(dim in stays for dim in members.dims):
                columns.append(self._base(group, tensor, slots, shared_from, EVERYTHING))
                continue
            base = self._base(group, tensor, slots, shared_from, mode)
            outside = sum(slot.tile == OUTER and slot.dim in members.dims for slot in slots)
            gap = gap_slot(self._loops(group, slots, shared_from), outside)
            columns.append(self._alone(group, base + gap))
        return columns

    def _alone(self, group: int, column: int) -> int:
        """A column of what is new alone, with nothing kept."""

        def build() -> Floats:
            block = self.table(group)[:, column : column + 1].copy()
            block[..., 1] = 0.0
            return block

        return self._column(group, ("alone", column), build)

    def _innermost(self, skeleton: Skeleton, slots: tuple[Slot, ...]) -> str:
        """The innermost temporal loop that is known to run; empty when none is."""
        for slot in reversed(slots):
            if slot.tile == POINT:
                return slot.dim if min(self.space.cell[slot.dim]) > 1 else ""
            if slot.tile == ARRAY and skeleton.running[1] != IDLE:
                return skeleton.running[1]
            if slot.tile == OUTER:
                return "" if skeleton.running[0] == IDLE else skeleton.running[0]
        return ""

    def sum_of(
        self, tensor: Tensor, slots: tuple[Slot, ...], before: int, variable: int, afresh: bool
    ) -> list[list[int]]:
        """Columns of the terms of one sum.

        They are all steps afresh, or the end and then every temporal loop's advances.
        """
        mode = EVERYTHING if afresh else BACKWARD if variable == RETURNED else FORWARD
        shared_from = len(slots) if variable == ENTRIES else before
        key = (tensor.name, slots, shared_from, mode)
        if key not in self._sums:
            self._sums[key] = list(self._sum_of(tensor, slots, shared_from, mode))
        return self._sums[key]

    def _sum_of(
        self, tensor: Tensor, slots: tuple[Slot, ...], shared_from: int, mode: int
    ) -> Iterator[list[int]]:
        every = range(len(self.groups))
        bases = [self._base(group, tensor, slots, shared_from, mode) for group in every]
        loops = [self._loops(group, slots, shared_from) for group in every]
        yield bases
        if mode == EVERYTHING:
            return
        passed = [0] * len(self.groups)
        for slot in slots:
            if slot.tile == CELL:
                continue
            mine = self._where[slot.dim][0]
            yield [
                base
                + (
                    own_slot(passed[group])
                    if group == mine
                    else gap_slot(loops[group], passed[group])
                )
                for group, base in enumerate(bases)
            ]
            passed[mine] += 1

    def _linear_of(
        self, skeleton: Skeleton, tensor: Tensor, chain: list[Hold]
    ) -> tuple[Floats, Floats]:
        """`_linear`, once for all skeletons in which the tensor sees the same.

        Whether PEs keep filters depends on how the other tensors are held.
        """
        key = (skeleton.seen_by(tensor.name), self.keeps_filters(skeleton))
        if key not in self._forms:
            self._forms[key] = self._linear(skeleton, tensor, chain)
        return self._forms[key]

    def _linear(
        self, skeleton: Skeleton, tensor: Tensor, chain: list[Hold]
    ) -> tuple[Floats, Floats]:
        """(weights, constant) of a tensor's traffic at every level it passes.

        weights are [metrics, 3 * boundaries], constant is [metrics].

        As hwsim.count.closed_form: with E, A, R the words that enter, are asked for, and return
        across a boundary, fills = A - fresh, reads = R inside - fresh + drains; fresh inside = E -
        A + fresh.
        """
        boundaries = len(chain)
        output = tensor.role == "output"
        weights, constant = (
            np.zeros((len(self.metrics), 3 * boundaries)),
            np.zeros(len(self.metrics)),
        )

        def variable(number: int, kind: int) -> Floats:
            row = np.zeros(3 * boundaries + 1)
            row[3 * number + kind] = 1.0
            return row

        words = np.zeros(3 * boundaries + 1)
        words[-1] = self.words[tensor.name]
        fresh = words.copy() if output else np.zeros_like(words)
        fills = drains = np.zeros_like(words)
        for number, hold in enumerate(chain):
            asked = variable(number, ASKED)
            updates = variable(number, RETURNED) if output else np.zeros_like(words)
            serves = updates - fresh if output else asked
            for metric, row in self._charges(
                skeleton, hold, tensor, fills, serves, updates, drains
            ):
                weights[metric] += row[:-1]
                constant[metric] += row[-1]
            fills = asked - fresh if output else variable(number, ENTRIES)
            if output:
                drains = variable(number, ENTRIES)
                fresh = drains - fills
        return weights, constant

    def _charges(
        self,
        skeleton: Skeleton,
        hold: Hold,
        tensor: Tensor,
        fills: Floats,
        serves: Floats,
        updates: Floats,
        drains: Floats,
    ) -> Iterator[tuple[int, Floats]]:
        """What a level's words cost: (metric, linear form).

        Cells of an array are no memory: what stays there costs nothing.
        """
        machine, level = self.machine, hold.level
        if level not in machine.memories:
            return
        part = machine.memories[level]
        width: float = self.width(skeleton, hold, tensor)
        if self.space.options.convention == "timeloop":
            drains = np.zeros_like(drains)
        if level == machine.dram_name and width == tensor.width:
            width = width * tensor.coded
        reads, writes = (serves + drains) * width, (fills + updates) * width
        read = reads * self._read_share(hold, tensor)
        yield 0, (read + writes) * pj_per_byte(part, table_for(machine.process_nm))
        if level == machine.dram_name:
            yield 1, reads + writes
            yield self._metric(level), (reads + writes) / self.dram_rate
            if self.between_steps(skeleton, tensor):
                for metric in self.of_passes(skeleton):
                    yield metric, (reads + writes) / self.dram_rate
        elif isinstance(part, Scratchpad) and part.per == "chip":
            rate = part.bandwidth.bytes_per_cycle(machine.clock_hz)
            yield self._metric(f"{level} reads"), reads / rate
            yield self._metric(f"{level} writes"), writes / rate
        if isinstance(machine.compute, PeArray) and hold is self._last_of_chip(skeleton, tensor):
            rate = (
                machine.compute.busses[tensor.role].bytes_per_cycle(machine.clock_hz) / tensor.width
            )
            yield self._metric(f"{tensor.role} bus"), serves / rate
            if tensor.role == "output":
                yield self._metric("output bus, sums"), updates / rate

    def _read_share(self, hold: Hold, tensor: Tensor) -> float:
        """Of a memory's reads those that gating PEs make: filters only of products that switch."""
        compute, operations = self.machine.compute, self.stage.operations
        own = self.machine.memories[hold.level].per == "pe"
        if tensor.role != "weight" or not own or compute.zeros != "gating":
            return 1.0
        return operations.effectual_multiplies / max(1, operations.multiplies)

    def between_steps(self, skeleton: Skeleton, tensor: Tensor) -> bool:
        """Does a tensor come from DRAM, and go there, only while nothing is multiplied?"""
        key = (skeleton.pattern, tensor.name)
        if key not in self._stopping:
            self._stopping[key] = self._is_alone(skeleton, tensor)
        return self._stopping[key]

    def _is_alone(self, skeleton: Skeleton, tensor: Tensor) -> bool:
        """Does a tensor come from DRAM, and go there, only while nothing is multiplied?

        Its first memory on the chip has room for one tile, and DRAM one port. (Where PEs keep the
        filters of a pass, they are copied there before the next ones come.)
        """
        first = self.first_on_chip(skeleton, tensor)
        shared = self.machine.part(self.machine.dram_name, Dram).ports == "shared"
        on_chip = first is not None and self.machine.memories[first.level].per == "chip"
        streams = tensor.role != "weight" or not self.keeps_filters(skeleton)
        alone = streams and on_chip and first is not None and first.buffers == 1
        return bool(self.exact and shared and alone)

    def first_on_chip(self, skeleton: Skeleton, tensor: Tensor) -> Hold | None:
        """The first memory inside DRAM that holds a tensor."""
        inside = skeleton.memories(self.machine)[1:]
        return next((hold for hold in inside if tensor.name in hold.tensors), None)

    @property
    def dram_rate(self) -> float:
        """Bytes a cycle."""
        dram = self.machine.part(self.machine.dram_name, Dram)
        return float(dram.bandwidth.bytes_per_cycle(self.machine.clock_hz))

    def keeps_filters(self, skeleton: Skeleton) -> bool:
        """Do the PEs keep the filters of a pass?"""
        if skeleton.pattern not in self._keeping:
            self._keeping[skeleton.pattern] = keeps_filters(self, skeleton)
        return self._keeping[skeleton.pattern]

    @property
    def exact(self) -> bool:
        """Does everything count? Timeloop leaves out what nothing can hide."""
        return self.space.options.convention == "exact"

    def _last_of_chip(self, skeleton: Skeleton, tensor: Tensor) -> Hold:
        return [
            hold
            for hold in skeleton.memories(self.machine)
            if tensor.name in hold.tensors and self.machine.memories[hold.level].per == "chip"
        ][-1]

    def width(self, skeleton: Skeleton, hold: Hold, tensor: Tensor) -> float:
        """Bytes of a word at a level: an accumulator's where partial sums may come back."""
        if tensor.role != "output" or not self.stage.reduction:
            return tensor.width
        own = self.machine.memories[hold.level].word_bytes
        if own:
            return own
        accumulator = self.machine.compute.accumulator_bytes
        if accumulator <= tensor.width or not come_back(self.space, skeleton, hold):
            return tensor.width
        return accumulator

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
        arithmetic = self._metric("multipliers")
        rows.append(self.steps(skeleton.slots, False))
        weights.append((arithmetic, 1.0 / rate))
        if isinstance(compute, SystolicArray):
            spatial = next(
                number for number, slot in enumerate(skeleton.slots) if slot.tile == CELL
            )
            rows.append(self.steps(skeleton.slots[:spatial], True))
            weights.append(
                (self._metric("weights shifting in") if compute.preload_hidden else arithmetic, 1.0)
            )
            if not compute.overlap_folds:
                rows.append(self.steps(skeleton.slots[:spatial], False))
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

    def of_passes(self, skeleton: Skeleton) -> list[int]:
        """Metrics of what may be busiest while products are taken: other waiting is added to it.

        Filters that PEs keep for a pass come before it.
        """
        found = ["multipliers", "activation bus", "output bus", "output bus, sums"]
        if not self.keeps_filters(skeleton):
            found.append("weight bus")
        return [self._metric(resource) for resource in found if resource in self.resources]

    def steps(self, slots: tuple[Slot, ...], lengths: bool) -> list[int]:
        """Columns of the temporal steps of some loops.

        With `lengths`, each step is counted as long as its chunk of k, of all products of a batch
        that it takes at once.
        """
        view = self.stage.view
        deep = {*view.b, *view.k} if view and lengths else set()
        columns = []
        for group, members in enumerate(self.groups):
            whole = self._loops(group, slots, len(slots))
            columns.append(
                self._column(
                    group,
                    ("steps", whole, lengths),
                    lambda members=members, whole=whole: step_block(
                        members, self.stage.extents, whole, deep
                    ),
                )
            )
        return columns

    # -- resources ---------------------------------------------------------------------------------

    def floors(self) -> Floats:
        """[metrics]: what no mapping at all goes below.

        Every word that moves goes over DRAM's port once, every product takes its turn on the array.
        """
        stage, machine = self.stage, self.machine
        floors = np.sum([self.floor_of(tensor) for tensor in stage.tensors], axis=0)
        dtype = stage.dtype or machine.dtype
        floors[0] += sum(energy_pj(machine, dtype, stage.operations, {}).values())
        peak = machine.compute.peak_macs_per_cycle(dtype)
        floors[self._metric("multipliers")] = stage.iterations / peak
        return np.asarray(floors, np.float64)

    def floor_of(self, tensor: Tensor) -> Floats:
        """[metrics]: a tensor's part of the floors: its words over DRAM's port once."""
        floor, machine = np.zeros(len(self.metrics)), self.machine
        if tensor.name in self.space.placement.resident:
            return floor
        dram = machine.part(machine.dram_name, Dram)
        moved = float(self.words[tensor.name] * tensor.width)
        floor[0] = moved * pj_per_byte(dram, table_for(machine.process_nm))
        floor[1] = moved
        floor[self._metric(machine.dram_name)] = moved / self.dram_rate
        return floor

    def _resources(self) -> Iterator[str]:
        yield "multipliers"
        compute = self.machine.compute
        if isinstance(compute, SystolicArray) and compute.preload_hidden:
            yield "weights shifting in"
        yield self.machine.dram_name
        for name, part in self.machine.memories.items():
            if isinstance(part, Scratchpad) and part.per == "chip":
                yield f"{name} reads"
                yield f"{name} writes"
        if isinstance(compute, PeArray):
            yield from ("activation bus", "weight bus", "output bus", "output bus, sums")

    def _metric(self, resource: str) -> int:
        return 2 + self.resources.index(resource)

    # -- footprints --------------------------------------------------------------------------------

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
            (float(self.width(skeleton, hold, tensor) * hold.buffers), tensor.name)
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


def _form(kind: int, axis: Axis | None, dims: tuple[str, ...]) -> tuple[int, ...]:
    """What factors of an axis depend on, whatever its dims are called."""
    if axis is None:
        return ()
    if kind != WINDOW:
        return (axis.extent,)
    coefficients = dict(axis.terms)
    return (axis.offset, axis.extent, axis.size, *(coefficients[dim] for dim in dims))


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
            values = [model.table(group)[row, column[group]] for group, row in enumerate(rows)]
            total += weight * (
                prod(value[0] for value in values) - prod(value[1] for value in values)
            )
    return total
