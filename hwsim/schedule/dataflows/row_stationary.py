"""Row-stationary: each PE slides one filter row along one input row; columns add up the sums.

             columns: output rows 0 1 2
    filter row 0   [in 0] [in 1] [in 2]    filter rows run along the rows,
    filter row 1   [in 1] [in 2] [in 3]    input rows along the diagonals,
    filter row 2   [in 2] [in 3] [in 4]    partial sums down the columns
                      |      |      |

A set is R x e PEs; r x t sets work on different channels and filters; a PE keeps p filters x q
channels of its row; the buffer keeps the sums of m filters of n images. Chen, Emer, Sze, "Eyeriss",
ISCA 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cache, partial
from math import ceil, inf
from typing import Literal

from hwsim.describe.machine import ROLES, Machine, Role
from hwsim.describe.units import size_text, whole_bytes
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.dram import Dram
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Candidate, Ranked, Searched
from hwsim.schedule.tiles import BY_BYTES

FINALISTS = 8  # mappings near the best that are simulated
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


class RowStationary:
    """What stays is said; m, n, e, p, q, r and t are searched, by the run's objective.

    `given` fixes the mapping by hand; 'published' is the chip's own (Space.published).
    """

    name = "row-stationary"
    summary = "filter rows stay in PEs, input rows move diagonally, sums go down"
    default = True

    def __init__(self, given: Mapping | Literal["published"] | None = None) -> None:
        self.given = given

    def with_parameters(self, text: str) -> RowStationary:
        """The dataflow with its mapping fixed: 'm=64,n=4,e=13,p=16,q=3,r=2,t=2', or 'published'.

        Raises HwsimError for what is missing or wrong.
        """
        return RowStationary("published" if text == "published" else read_mapping(text))

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, PeArray):
            return "it needs PEs with scratchpads of their own"
        if any(len(machine.chain(role)) != 3 for role in ROLES):
            return "every role needs a buffer and a scratchpad in the PEs"
        if len({machine.chain(role)[-1] for role in ROLES}) < len(ROLES):
            return "every role needs a scratchpad of its own in the PEs"
        if not {"p", "q", "r", "s", "c", "k"} <= set(stage.extents):
            return "the stage is no convolution"
        if stage.extents["r"] > machine.compute.rows:
            return f"{stage.extents['r']} filter rows on {machine.compute.rows} rows of PEs"
        spad = machine.part(machine.chain("activation")[-1], Scratchpad)
        window = stage.extents["s"] * stage.inputs[0].width
        return (
            None
            if window <= spad.capacity
            else f"a filter row of {window} bytes in a scratchpad of {spad.capacity}"
        )

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        return self.nests(stage, machine, placement, "latency")[0].make()

    def nests(self, stage: Stage, machine: Machine, placement: Placement, objective: str) -> Ranked:
        """Raises HwsimError when not even one row of one filter fits the buffers."""
        space = Space(stage, machine, placement)
        if self.given == "published":
            ranked = [(0.0, space.published())]
        elif self.given:
            ranked = [(0.0, space.checked(self.given))]
        else:
            ranked = space.ranked(objective)[:FINALISTS]
        return [
            Candidate(estimate, partial(self._nest, stage, machine, placement, mapping))
            for estimate, mapping in ranked
        ]

    def _nest(self, stage: Stage, machine: Machine, placement: Placement, mapping: Mapping) -> Nest:
        (buffer, ifmap_spad), (filter_buffer, filter_spad), (_, psum_spad) = (
            machine.chain(role)[1:] for role in ("activation", "weight", "output")
        )
        activation, weight = (tensor.name for tensor in stage.inputs)
        output = stage.output.name
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *([Loop("n", mapping.n)] if "n" in stage.extents else []),
            *points(dim for dim in ("g",) if dim in stage.extents),
            Loop("p", mapping.e),
            Loop("k", mapping.m),
            Loop("c", mapping.q * mapping.r),
            Hold(buffer, placement.moving(stage, machine, buffer, ("activation", "output"))),
            Loop("k", mapping.p * mapping.t),
            Hold(filter_buffer, (weight,)),
            Loop("c", mapping.q, "set"),
            Loop("k", mapping.p, "set"),
            Loop("r", 1, "row"),
            Loop("p", 1, "column"),
            Hold(filter_spad, (weight,)),
            *points(dim for dim in ("n",) if dim in stage.extents),
            Loop("q", 1),
            Hold(ifmap_spad, (activation,)),
            Hold(psum_spad, (output,)),
            *points(("c", "s", "k")),
        ]
        return Nest(stage, drop_idle(stage, _clipped(stage, items)), self.name)


def read_mapping(text: str) -> Mapping:
    """A mapping from 'm=64,n=4,...'.

    Raises HwsimError for a letter that is missing, unknown or no positive integer.
    """
    letters = [field.name for field in fields(Mapping)]
    given: dict[str, int] = {}
    for piece in text.split(","):
        letter, _, value = piece.partition("=")
        if letter.strip() not in letters:
            raise HwsimError(
                f"row-stationary: {piece!r}{nearest(letter, letters)}; expected "
                f"{', '.join(f'{name}=N' for name in letters)}, or published"
            )
        if not value.strip().isdecimal() or not 1 <= int(value) < 1 << 31:
            raise HwsimError(
                f"row-stationary: {piece!r}; expected a positive integer, as in {letter.strip()}=4"
            )
        if letter.strip() in given:
            raise HwsimError(
                f"row-stationary: {letter.strip()} given twice; expected "
                f"{', '.join(f'{name}=N' for name in letters)}"
            )
        given[letter.strip()] = int(value)
    missing = [letter for letter in letters if letter not in given]
    if missing:
        raise HwsimError(
            f"row-stationary: {', '.join(missing)} missing; expected "
            f"{', '.join(f'{name}=N' for name in letters)}"
        )
    return Mapping(**given)


def _clipped(stage: Stage, items: list[Loop | Hold]) -> Iterator[Loop | Hold]:
    """Tiles no longer than what is left of their dim."""
    left = dict(stage.bounds)
    for item in items:
        if isinstance(item, Loop):
            left[item.dim] = min(left[item.dim], item.tile)
            yield Loop(item.dim, left[item.dim], item.spatial)
        else:
            yield item


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
        candidates = list(dict.fromkeys(self.uneven())) or [self.best()]
        groups = self.size.get("g", 1)
        if objective in BY_BYTES:
            moved = {mapping: sum(self._moved_bytes(mapping)) for mapping in candidates}
            fewest = sorted(candidates, key=lambda mapping: moved[mapping])[:MOST_TIMED]
            fewest.sort(key=lambda mapping: (moved[mapping], self.time(mapping)))
            return [(float(groups * moved[mapping]), mapping) for mapping in fewest]
        least = {mapping: self._least_time(mapping) for mapping in candidates}
        candidates.sort(key=lambda mapping: least[mapping])
        times: dict[Mapping, float] = {}
        soonest = inf
        for mapping in candidates:
            if least[mapping] > NEAR * soonest:
                break
            times[mapping] = self.time(mapping)
            soonest = min(soonest, times[mapping])
        return [
            (groups * times[mapping], mapping) for mapping in sorted(times, key=times.__getitem__)
        ]

    def _least_time(self, mapping: Mapping) -> float:
        """What `time` is not less than.

        Every PE of the sets has a product in every cycle; what nothing hides is added.
        """
        size = self.size
        bands, images = ceil(size["p"] / mapping.e), ceil(size["n"] / mapping.n)
        shared = size["k"] * size["c"] / (mapping.t * mapping.r)
        steps = bands * images * mapping.n * size["q"] * size["s"] * shared
        if self.buffer.buffers > 1:
            return steps
        inputs, _, sums = self._moved_bytes(mapping)
        return steps + (inputs * self.coded[0] + sums * self.coded[1]) / self.rate

    def time(self, mapping: Mapping) -> float:
        """Cycles of one group: of its passes, and of what DRAM moves.

        Inputs and sums come and go between passes where the buffer has no room for the next ones.
        """
        inputs, filters, sums = (size / self.rate for size in self._moved_bytes(mapping))
        cycles = self.cycles(mapping)
        if self.buffer.buffers == 1:
            return cycles + inputs * self.coded[0] + sums * self.coded[1]
        return max(cycles, inputs * self.coded[0] + filters + sums * self.coded[1])

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
        return list(dict.fromkeys(ceil(rows / bands) for bands in range(1, rows + 1)))

    def mappings(self, heights: Sequence[int]) -> Iterator[Mapping]:
        """Tiles that the array and the PEs hold, of sets so high.

        m is as many filters as the buffer has room for.
        """
        size = self.size
        for e in heights:
            sets = sets_of(self.array, size["r"], e)
            for q in range(1, min(size["c"], self.ifmap_words // size["s"]) + 1):
                for r in range(1, min(sets, ceil(size["c"] / q)) + 1):
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
                if self._overflow(mapping) is None:
                    yield mapping
                    break

    def uneven(self) -> Iterator[Mapping]:
        """Tiles that the last of a dim may not fill.

        Sets are as many as the array holds, or as share the filters evenly; sets of channels,
        filters of a PE and images are in even parts, rounded up.
        """
        size = self.size
        for e in self._even_heights():
            sets = sets_of(self.array, size["r"], e)
            for q in range(1, min(size["c"], self.ifmap_words // size["s"]) + 1):
                most = min(self.sum_words, self.weight_words // (q * size["s"]))
                for r in _parts(ceil(size["c"] / q)):
                    if r > sets:
                        continue
                    full = min(sets // r, size["k"])
                    for t in dict.fromkeys((full, ceil(size["k"] / ceil(size["k"] / full)))):
                        for p in _parts(ceil(size["k"] / t)):
                            if p <= most:
                                yield from self._held(e, q, r, p, t)

    def _held(self, e: int, q: int, r: int, p: int, t: int) -> Iterator[Mapping]:
        """For every number of images, the most filters whose sums the buffer has room for."""
        for n in _parts(self.size["n"]):
            for passes in _parts(ceil(self.size["k"] / (p * t))):
                mapping = Mapping(passes * p * t, n, e, p, q, r, t)
                if self._overflow(mapping) is None:
                    yield mapping
                    break

    def misfit(self, mapping: Mapping) -> str | None:
        """What of a mapping the chip has no room for; None when all of it fits."""
        overflow = self._overflow(mapping)
        return overflow() if overflow else None

    def _overflow(self, mapping: Mapping) -> Callable[[], str] | None:
        """As `misfit`, put into words when they are asked for."""
        size = self.size
        sets = sets_of(self.array, size["r"], mapping.e)
        if mapping.r * mapping.t > sets:
            return lambda: (
                f"r t = {mapping.r * mapping.t} sets of {size['r']} x {mapping.e} PEs; "
                f"{self.array.rows} x {self.array.cols} hold {sets}"
            )
        for what, need, have in (
            ("q s input words", mapping.q * size["s"], self.ifmap_words),
            ("p q s filter words", mapping.p * mapping.q * size["s"], self.weight_words),
            ("p sums", mapping.p, self.sum_words),
        ):
            if need > have:
                return partial("{} {} in a PE that holds {}".format, need, what, have)
        words = mapping.p * mapping.t * mapping.q * mapping.r * size["r"] * size["s"]
        filters = whole_bytes(words * self.widths["weight"])
        if filters > self.filter_room:
            return lambda: (
                f"{size_text(filters)} of filters in {self.filter_buffer} of "
                f"{size_text(self.filter_room)}"
            )
        channels = mapping.n * mapping.q * mapping.r
        inputs = self._input_bytes(channels, mapping)
        words = mapping.n * min(mapping.m, size["k"]) * mapping.e * size["q"]
        sums = whole_bytes(words * self.widths["output"])
        if self.buffer.occupied(inputs) + self.buffer.occupied(sums) > self.buffer_room:
            return lambda: (
                f"{size_text(inputs)} of inputs and {size_text(sums)} of sums in "
                f"{self.buffer_name} of {size_text(self.buffer_room)}{self.buffer.by_banks}"
            )
        return None

    def _rows(self, e: int) -> int:
        """Input rows under e output rows."""
        return min(
            self.input_rows, (e - 1) * self.stride + (self.size["r"] - 1) * self.dilation + 1
        )

    def cost(self, mapping: Mapping) -> tuple[float, float, float]:
        """(words to and from DRAM, cycles of all passes, words to and from the buffer).

        They are of one group.
        """
        size = self.size
        bands, images = ceil(size["p"] / mapping.e), ceil(size["n"] / mapping.n)
        passes_k = ceil(size["k"] / (mapping.p * mapping.t))
        passes_c = ceil(size["c"] / (mapping.q * mapping.r))
        inputs, filters, sums = self.moved(mapping)
        dram = inputs + filters + sums
        again = ceil(size["k"] / mapping.m)
        buffer = inputs / again * passes_k + sums * (2 * passes_c - 1)
        whole = self._pass_cycles(mapping, mapping.p * mapping.t, mapping.q * mapping.r)
        in_pass = mapping.p * mapping.t * mapping.q * mapping.r * size["r"] * size["s"]
        whole += in_pass / self._words_a_cycle("weight")
        return dram, bands * images * passes_k * passes_c * whole, buffer

    def moved(self, mapping: Mapping) -> tuple[int, int, int]:
        """Words of inputs, filters and sums that one group moves to and from DRAM."""
        size = self.size
        bands, images = ceil(size["p"] / mapping.e), ceil(size["n"] / mapping.n)
        rows = self._rows(mapping.e) * (bands - 1) + self._rows(size["p"] - (bands - 1) * mapping.e)
        inputs = size["n"] * size["c"] * rows * self.input_columns * ceil(size["k"] / mapping.m)
        filters = size["k"] * size["c"] * size["r"] * size["s"] * bands * images
        return inputs, filters, size["n"] * size["k"] * size["p"] * size["q"]

    def _moved_bytes(self, mapping: Mapping) -> tuple[float, float, float]:
        inputs, filters, sums = self.moved(mapping)
        widths = self.widths
        return inputs * widths["activation"], filters * widths["weight"], sums * widths["output"]

    def _input_bytes(self, channels: int, mapping: Mapping) -> int:
        """Bytes of the rows of so many channels that a pass reads."""
        words = channels * self._rows(mapping.e) * self.input_columns
        return whole_bytes(words * self.widths["activation"])

    def cycles(self, mapping: Mapping) -> float:
        """Cycles of all passes of one group, the last of a dim as small as they are.

        Each has its filters coming into the PEs while the next ones come from DRAM; filters that
        stay for all passes come once. (hwsim.timing.spatial.passes has every pass its own.)
        """
        size = self.size
        stay = size["k"] <= mapping.p * mapping.t and size["c"] <= mapping.q * mapping.r
        each = 0.0
        for filters, some_filters in _folds(size["k"], mapping.p * mapping.t):
            for channels, some_channels in _folds(size["c"], mapping.q * mapping.r):
                part = replace(mapping, p=min(mapping.p, filters), q=min(mapping.q, channels))
                taken = self._pass_cycles(part, filters, channels)
                if not stay:
                    words = filters * channels * size["r"] * size["s"]
                    loaded = taken + words / self._words_a_cycle("weight")
                    taken = max(loaded, words * self.widths["weight"] / self.rate)
                each += some_filters * some_channels * taken
        bands, images = ceil(size["p"] / mapping.e), ceil(size["n"] / mapping.n)
        first = min(size["k"], mapping.p * mapping.t) * min(size["c"], mapping.q * mapping.r)
        words = first * size["r"] * size["s"]
        fetched = words * self.widths["weight"] / self.rate
        loaded = words / self._words_a_cycle("weight") if stay else 0.0
        return bands * images * each + fetched + loaded

    def _pass_cycles(self, mapping: Mapping, filters: int, channels: int) -> float:
        """A pass of so many filters and channels once its filters are in.

        It is the slowest of the PEs and the busses.
        """
        size = self.size
        activation, output = self._words_a_cycle("activation"), self._words_a_cycle("output")
        steps = mapping.n * size["q"] * mapping.p * mapping.q * size["s"]
        rows = self._rows(mapping.e) * channels
        inputs = mapping.n * rows * self.input_columns
        sums = mapping.n * filters * mapping.e * size["q"]
        return (
            rows * size["s"] / activation
            + max(steps, inputs / activation, sums / output)
            + filters * mapping.e / output
        )

    def _words_a_cycle(self, role: Role) -> float:
        """Of the bus of a role."""
        return self.array.busses[role].bytes_per_cycle(self.machine.clock_hz) / self.widths[role]


def _folds(bound: int, tile: int) -> Iterator[tuple[int, int]]:
    """(size, how many) of the tiles of a dim: whole ones, and a last one that is smaller."""
    whole, rest = divmod(bound, tile)
    if whole:
        yield tile, whole
    if rest:
        yield rest, 1


@cache
def _parts(number: int) -> list[int]:
    """number / 1, / 2, / 3, ... rounded up."""
    return list(dict.fromkeys(ceil(number / pieces) for pieces in range(1, number + 1)))


@cache
def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def sets_of(array: PeArray, rows: int, e: int) -> int:
    """Sets of rows x e PEs, side by side in a band of `rows` rows.

    When they are wider than the array, they lie over several bands.
    """
    bands = array.rows // rows
    return bands * (array.cols // e) if e <= array.cols else bands // ceil(e / array.cols)


DATAFLOWS.register("row-stationary")(_flow := RowStationary())
_checked: Searched = _flow
