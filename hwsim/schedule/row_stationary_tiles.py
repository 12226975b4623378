"""Tiles of a row-stationary convolution: which fit, and what each costs.

They are the letters of table II of Chen et al., JSSC 2017. What is said of one mapping is said of
many at once: letters are integers, or arrays of integers, one for each mapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import ROLES, Machine, Role
from hwsim.describe.units import size_text
from hwsim.errors import HwsimError
from hwsim.ir.stage import Stage
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.rewrite.placement import Placement
from hwsim.schedule.systolic.tiles import SUMMED

Ints = npt.NDArray[np.int64]
NEAR = 1.1  # times the soonest: mappings that are told apart
MOST_TIMED = 64  # of those that move the fewest bytes


@dataclass(frozen=True)
class Mapping:
    """The letters of table II of Chen et al., JSSC 2017.

    m filters whose sums stay in the buffer, n images in a pass, e output rows, p filters and q
    channels in a PE, r sets of PEs on different channels, t sets on different filters.
    """

    m: int
    n: int
    e: int
    p: int
    q: int
    r: int
    t: int

    @property
    def text(self) -> str:
        return ",".join(
            f"{field.name}={value}"
            for field, value in zip(fields(self), astuple(self), strict=True)
        )


class Mappings(NamedTuple):
    """Letters of many mappings, [mapping] each."""

    m: Ints
    n: Ints
    e: Ints
    p: Ints
    q: Ints
    r: Ints
    t: Ints

    def of(self, chosen: npt.NDArray[Any]) -> Mappings:
        """Those that are chosen, by a mask or by their numbers."""
        return Mappings(*(letter[chosen] for letter in self))

    def one_by_one(self) -> list[Mapping]:
        columns = (letter.tolist() for letter in self)
        return [Mapping(*letters) for letters in zip(*columns, strict=True)]


Letters = Mapping | Mappings
Count = Any  # an integer, or an array of them
Amount = Any  # a number, or an array of them


class Room(NamedTuple):
    """What a mapping needs of something that there is so much of."""

    need: Count
    have: Count
    what: str
    in_bytes: bool = False

    @property
    def fits(self) -> Any:
        return self.need <= self.have


class Space:
    """Every legal mapping of one convolution on one array, and what each costs."""

    def __init__(self, stage: Stage, machine: Machine, placement: Placement) -> None:
        array = machine.compute
        assert isinstance(array, PeArray)
        self.stage, self.machine, self.placement, self.array = stage, machine, placement, array
        self.size = {"n": 1, **stage.extents}
        tensors = {tensor.role: tensor for tensor in stage.tensors}
        self.widths = {role: tensor.width for role, tensor in tensors.items()}
        dram = machine.part(machine.dram_name, Dram)
        self.rate: float = dram.bandwidth.bytes_per_cycle(machine.clock_hz)
        self.coded: tuple[float, float] = (stage.inputs[0].coded, stage.output.coded)
        self.filter_buffer, self.buffer_name = (
            machine.chain("weight")[1],
            machine.chain("activation")[1],
        )
        self.buffer = machine.part(self.buffer_name, Scratchpad)
        self.filter_room = placement.room(machine, self.filter_buffer)
        self.buffer_room = placement.room(machine, self.buffer_name)
        self.ifmap_words, self.weight_words, self.sum_words = (
            tensors[role].words_in(machine.part(machine.chain(role)[-1], Scratchpad).capacity)
            for role in ROLES
        )
        rows, columns = stage.inputs[0].axes[-2:]
        self.stride, self.dilation = dict(rows.terms)["p"], dict(rows.terms).get("r", 1)
        self.input_rows, self.input_columns = rows.size, columns.size

    def best(self) -> Mapping:
        """Of even tiles the one that moves the fewest words to and from DRAM.

        Among those it is the soonest done, then the one of least buffer traffic: so the chip's
        AlexNet was mapped (table III). Raises HwsimError when not even one row of one filter fits
        the buffers.
        """
        return self._best_of(self.mappings(self._even_heights()))

    def ranked(self, objective: str) -> list[tuple[float, Mapping]]:
        """The best of uneven tiles, the least first.

        They come with their cycles, or the bytes that they move to and from DRAM; by time, they are
        those within NEAR of the least. Raises HwsimError as `best`.
        """
        candidates = self.uneven()
        if not len(candidates.m):
            candidates = Mappings(*(np.array([letter]) for letter in astuple(self.best())))
        groups = self.size.get("g", 1)
        if objective in SUMMED:
            inputs, filters, sums = self._moved_bytes(candidates)
            moved = inputs + filters + sums
            fewest = np.argsort(moved, kind="stable")[:MOST_TIMED]
            times = self.time(candidates.of(fewest))
            order = fewest[np.lexsort((times, moved[fewest]))]
            found = moved[order]
        else:
            order = np.argsort(self._least_time(candidates), kind="stable")
            candidates = candidates.of(order)
            times, least = self.time(candidates), self._least_time(candidates)
            soonest = np.minimum.accumulate(times)
            beyond = np.flatnonzero(least[1:] > NEAR * soonest[:-1])
            near = times[: 1 + beyond[0]] if len(beyond) else times
            order = np.argsort(near, kind="stable")
            found = near[order]
        costs = (groups * found).tolist()
        return list(zip(costs, candidates.of(order).one_by_one(), strict=True))

    def _least_time(self, mapping: Letters) -> Amount:
        """What `time` is not less than.

        Every PE of the sets has a product in every cycle; what nothing hides is added.
        """
        size = self.size
        bands, images = _chunks(size["p"], mapping.e), _chunks(size["n"], mapping.n)
        shared = size["k"] * size["c"] / (mapping.t * mapping.r)
        steps = bands * images * mapping.n * size["q"] * size["s"] * shared
        if self.buffer.buffers > 1:
            return steps
        inputs, _, sums = self._moved_bytes(mapping)
        return steps + (inputs * self.coded[0] + sums * self.coded[1]) / self.rate

    def time(self, mapping: Letters) -> Amount:
        """Cycles of one group: of its passes, and of what DRAM moves.

        Inputs and sums come and go between passes where the buffer has no room for the next ones.
        """
        inputs, filters, sums = (size / self.rate for size in self._moved_bytes(mapping))
        cycles = self.cycles(mapping)
        if self.buffer.buffers == 1:
            return cycles + inputs * self.coded[0] + sums * self.coded[1]
        return np.maximum(cycles, inputs * self.coded[0] + filters + sums * self.coded[1])

    def _best_of(self, mappings: Iterator[Mapping]) -> Mapping:
        best = min(mappings, key=lambda mapping: (*self.cost(mapping), -mapping.p), default=None)
        if best is None:
            raise HwsimError(
                f"{self.machine.name}: {self.stage.name}: not even one output row of one filter "
                f"fits the buffers"
            )
        return best

    def published(self) -> Mapping:
        """The chip's own mapping, as far as its tables show it.

        It is the best of those whose sets are as tall as table III's, and which read an image's
        inputs of a pass from one bank.

        Sets of short filters are at least one row less than the array is wide (13 output rows, or
        all that there are), of filters that fill the array half as much (7). An image's rows of
        all channels of a pass lie in one bank of the buffer; where one channel needs more, a pass
        takes one. So sums of m filters x e rows x the whole width fill the buffer, and m and q r
        shrink as maps grow. AlexNet's mappings are those of `best`; VGG-16's give the times of
        table VI (hwsim validate eyeriss). Raises HwsimError when nothing fits.
        """
        wide, size = self.array.cols, self.size
        short = 2 * size["r"] <= self.array.rows
        least = min(size["p"], wide - 1 if short else wide // 2)
        heights = {*self._even_heights(), min(wide - 1, size["p"]), min(wide, size["p"])}
        tall = sorted((e for e in heights if e >= least), reverse=True)
        return self._best_of(filter(self._in_one_bank, self.mappings(tall)))

    def _in_one_bank(self, mapping: Mapping) -> bool:
        channels = mapping.q * mapping.r
        image = self._input_bytes(channels, mapping)
        return channels == 1 or image <= self.buffer.capacity // self.buffer.banks

    def checked(self, mapping: Mapping) -> Mapping:
        """A mapping given by hand. Raises HwsimError naming what it overflows, and by how much."""
        wrong = self.misfit(mapping)
        if wrong:
            raise HwsimError(
                f"{self.machine.name}: {self.stage.name}: row-stationary {mapping.text}: {wrong}"
            )
        return mapping

    def _even_heights(self) -> list[int]:
        """Output rows of a set that cut them evenly."""
        rows = self.size["p"]
        return list(dict.fromkeys(_chunks(rows, bands) for bands in range(1, rows + 1)))

    def mappings(self, heights: Sequence[int]) -> Iterator[Mapping]:
        """Tiles that the array and the PEs hold, of sets so high.

        m is as many filters as the buffer has room for.
        """
        size = self.size
        for e in heights:
            sets = sets_of(self.array, size["r"], e)
            for q in range(1, min(size["c"], self.ifmap_words // size["s"]) + 1):
                for r in range(1, min(sets, _chunks(size["c"], q)) + 1):
                    for filters in _divisors(size["k"]):
                        yield from self._filled(e, q, r, filters, sets // r)

    def _filled(self, e: int, q: int, r: int, filters: int, most_sets: int) -> Iterator[Mapping]:
        """p t = filters in a pass, in as few filters a PE as there are sets for.

        There are n images; m goes by the room that is left.
        """
        t = max((t for t in _divisors(filters) if t <= most_sets), default=0)
        if t == 0 or filters // t > min(self.sum_words, self.weight_words // (q * self.size["s"])):
            return
        for n in _divisors(self.size["n"]):
            for m in reversed(_divisors(self.size["k"])):
                if m % filters:
                    continue
                mapping = Mapping(m, n, e, filters // t, q, r, t)
                if self.misfit(mapping) is None:
                    yield mapping
                    break

    def uneven(self) -> Mappings:
        """Tiles that the last of a dim may not fill, each once.

        Sets are as many as the array holds, or as share the filters evenly; sets of channels,
        filters of a PE and images are in even parts, rounded up. For every number of images, m is
        the most filters whose sums the buffer has room for.
        """
        letters = np.concatenate(
            [np.zeros((7, 0), np.int64), *map(self._of_height, self._even_heights())], axis=1
        )
        first = np.unique(letters, axis=1, return_index=True)[1]
        return Mappings(*letters[:, np.sort(first)])

    def _of_height(self, e: int) -> Ints:
        """[letter, mapping]: those with sets so high."""
        rows, pieces = [], []
        for q, r, p, t in self._in_pes(e):
            for n in _parts(self.size["n"]):
                passes = _parts(_chunks(self.size["k"], p * t))
                pieces.append(np.array(passes, np.int64) * (p * t))
                rows.append((n, e, p, q, r, t, len(passes)))
        if not rows:
            return np.zeros((7, 0), np.int64)
        table = np.array(rows, np.int64)
        owner = np.repeat(np.arange(len(rows)), table[:, -1])
        candidates = Mappings(np.concatenate(pieces), *table[owner, :-1].T)
        fits = np.logical_and.reduce([room.fits for room in self._rooms(candidates)])
        places = np.flatnonzero(fits)
        largest = places[np.unique(owner[places], return_index=True)[1]]
        return np.stack(candidates.of(largest))

    def _in_pes(self, e: int) -> Iterator[tuple[int, int, int, int]]:
        """(q, r, p, t) that the array and the PEs hold, with sets so high."""
        size = self.size
        sets = sets_of(self.array, size["r"], e)
        for q in range(1, min(size["c"], self.ifmap_words // size["s"]) + 1):
            most = min(self.sum_words, self.weight_words // (q * size["s"]))
            for r in _parts(_chunks(size["c"], q)):
                if r > sets:
                    continue
                full = min(sets // r, size["k"])
                even = _chunks(size["k"], _chunks(size["k"], full))
                for t in dict.fromkeys((full, even)):
                    for p in _parts(_chunks(size["k"], t)):
                        if p <= most:
                            yield q, r, p, t

    def misfit(self, mapping: Mapping) -> str | None:
        """What of a mapping the chip has no room for; None when all of it fits."""
        for room in self._rooms(mapping):
            if room.fits:
                continue
            need, have = (
                size_text(int(size)) if room.in_bytes else size for size in (room.need, room.have)
            )
            return room.what.format(need=need, have=have)
        return None

    def _rooms(self, mapping: Letters) -> Iterator[Room]:
        """What mappings need, of all that they may have too little of."""
        size = self.size
        sets = sets_of(self.array, size["r"], mapping.e)
        grid = f"{self.array.rows} x {self.array.cols}"
        height = mapping.e if isinstance(mapping, Mapping) else "e"
        yield Room(
            mapping.r * mapping.t,
            sets,
            f"r t = {{need}} sets of {size['r']} x {height} PEs; {grid} hold {{have}}",
        )
        in_pe = "{{need}} {} in a PE that holds {{have}}".format
        yield Room(mapping.q * size["s"], self.ifmap_words, in_pe("q s input words"))
        words: Count = mapping.p * mapping.q * size["s"]
        yield Room(words, self.weight_words, in_pe("p q s filter words"))
        yield Room(mapping.p, self.sum_words, in_pe("p sums"))
        words = mapping.p * mapping.t * mapping.q * mapping.r * size["r"] * size["s"]
        yield Room(
            _whole_bytes(words, self.widths["weight"]),
            self.filter_room,
            f"{{need}} of filters in {self.filter_buffer} of {{have}}",
            in_bytes=True,
        )
        inputs = self._input_bytes(mapping.n * mapping.q * mapping.r, mapping)
        words = mapping.n * np.minimum(mapping.m, size["k"]) * mapping.e * size["q"]
        sums = _whole_bytes(words, self.widths["output"])
        yield Room(
            self.buffer.occupied(inputs) + self.buffer.occupied(sums),
            self.buffer_room,
            f"{size_text(int(inputs))} of inputs and {size_text(int(sums))} of sums in "
            f"{self.buffer_name} of {{have}}{self.buffer.by_banks}"
            if isinstance(mapping, Mapping)
            else "",
            in_bytes=True,
        )

    def _rows(self, e: Count) -> Count:
        """Input rows under e output rows."""
        reach = (e - 1) * self.stride + (self.size["r"] - 1) * self.dilation + 1
        return np.minimum(self.input_rows, reach)

    def cost(self, mapping: Letters) -> tuple[float, float, float]:
        """(words to and from DRAM, cycles of all passes, words to and from the buffer).

        They are of one group.
        """
        size = self.size
        bands, images = _chunks(size["p"], mapping.e), _chunks(size["n"], mapping.n)
        passes_k = _chunks(size["k"], mapping.p * mapping.t)
        passes_c = _chunks(size["c"], mapping.q * mapping.r)
        inputs, filters, sums = self.moved(mapping)
        dram = inputs + filters + sums
        again = _chunks(size["k"], mapping.m)
        buffer = inputs / again * passes_k + sums * (2 * passes_c - 1)
        whole = self._pass_cycles(mapping, mapping.p * mapping.t, mapping.q * mapping.r)
        in_pass = mapping.p * mapping.t * mapping.q * mapping.r * size["r"] * size["s"]
        whole += in_pass / self._words_a_cycle("weight")
        return dram, bands * images * passes_k * passes_c * whole, buffer

    def moved(self, mapping: Letters) -> tuple[Count, Count, Count]:
        """Words of inputs, filters and sums that one group moves to and from DRAM."""
        size = self.size
        bands, images = _chunks(size["p"], mapping.e), _chunks(size["n"], mapping.n)
        rows = self._rows(mapping.e) * (bands - 1) + self._rows(size["p"] - (bands - 1) * mapping.e)
        inputs = size["n"] * size["c"] * rows * self.input_columns * _chunks(size["k"], mapping.m)
        filters = size["k"] * size["c"] * size["r"] * size["s"] * bands * images
        return inputs, filters, size["n"] * size["k"] * size["p"] * size["q"]

    def _moved_bytes(self, mapping: Letters) -> tuple[Amount, Amount, Amount]:
        inputs, filters, sums = self.moved(mapping)
        widths = self.widths
        return inputs * widths["activation"], filters * widths["weight"], sums * widths["output"]

    def _input_bytes(self, channels: Count, mapping: Letters) -> Count:
        """Bytes of the rows of so many channels that a pass reads."""
        words = channels * self._rows(mapping.e) * self.input_columns
        return _whole_bytes(words, self.widths["activation"])

    def cycles(self, mapping: Letters) -> Amount:
        """Cycles of all passes of one group, the last of a dim as small as they are.

        Each has its filters coming into the PEs while the next ones come from DRAM; filters that
        stay for all passes come once. (hwsim.timing.spatial.passes has every pass its own.)
        """
        size = self.size
        in_pass = mapping.p * mapping.t, mapping.q * mapping.r
        stay = (size["k"] <= in_pass[0]) & (size["c"] <= in_pass[1])
        each = 0.0
        for filters, some_filters in _folds(size["k"], in_pass[0]):
            for channels, some_channels in _folds(size["c"], in_pass[1]):
                taken = self._pass_cycles(mapping, filters, channels)
                words = filters * channels * size["r"] * size["s"]
                loaded = taken + words / self._words_a_cycle("weight")
                fetched = words * self.widths["weight"] / self.rate
                moving = np.where(stay, taken, np.maximum(loaded, fetched))
                each = each + some_filters * some_channels * moving
        bands, images = _chunks(size["p"], mapping.e), _chunks(size["n"], mapping.n)
        first = np.minimum(size["k"], in_pass[0]) * np.minimum(size["c"], in_pass[1])
        words = first * size["r"] * size["s"]
        fetched = words * self.widths["weight"] / self.rate
        loaded = np.where(stay, words / self._words_a_cycle("weight"), 0.0)
        return bands * images * each + fetched + loaded

    def _pass_cycles(self, mapping: Letters, filters: Count, channels: Count) -> Amount:
        """A pass of so many filters and channels once its filters are in.

        It is the slowest of the PEs and the busses.
        """
        size = self.size
        activation, output = self._words_a_cycle("activation"), self._words_a_cycle("output")
        in_pe = np.minimum(mapping.p, filters) * np.minimum(mapping.q, channels)
        steps = mapping.n * size["q"] * in_pe * size["s"]
        rows = self._rows(mapping.e) * channels
        inputs = mapping.n * rows * self.input_columns
        sums = mapping.n * filters * mapping.e * size["q"]
        return (
            rows * size["s"] / activation
            + np.maximum(steps, np.maximum(inputs / activation, sums / output))
            + filters * mapping.e / output
        )

    def _words_a_cycle(self, role: Role) -> float:
        """Of the bus of a role."""
        return self.array.busses[role].bytes_per_cycle(self.machine.clock_hz) / self.widths[role]


def _chunks(bound: Count, tile: Count) -> Count:
    """bound / tile, rounded up."""
    return -(-bound // tile)


def _whole_bytes(words: Count, width: float) -> Count:
    """Bytes that words take which lie side by side, as hwsim.describe.units.whole_bytes."""
    return np.ceil(words * width).astype(np.int64)


def _folds(bound: int, tile: Count) -> Iterator[tuple[Count, Count]]:
    """(size, how many) of the tiles of a dim: whole ones, and a last one that is smaller."""
    whole, rest = bound // tile, bound % tile
    yield tile, whole
    yield rest, np.minimum(rest, 1)


@cache
def _parts(number: int) -> list[int]:
    """number / 1, / 2, / 3, ... rounded up."""
    return list(dict.fromkeys(_chunks(number, pieces) for pieces in range(1, number + 1)))


@cache
def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def sets_of(array: PeArray, rows: int, e: Count) -> Count:
    """Sets of rows x e PEs, side by side in a band of `rows` rows.

    When they are wider than the array, they lie over several bands.
    """
    bands = array.rows // rows
    beside, over = array.cols // e, bands // _chunks(e, array.cols)
    fits = e <= array.cols
    return fits * bands * beside + (1 - fits) * over
