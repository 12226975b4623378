"""A layer's tensors at addresses, and a machine's caches in front of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

import numpy as np

from hwsim.describe.units import size_text
from hwsim.errors import HwsimError
from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Tensor
from hwsim.parts.cache import Cache
from hwsim.results.result import Sampling
from hwsim.timing.caches.look_ups import (
    BY_DISTANCE,
    CAPACITY,
    COLD,
    KINDS,
    LAST_MISS,
    MISSES,
    PREFETCHES,
    READS,
    WRITEBACKS,
    WRITES,
    Ints,
)
from hwsim.timing.caches.set_samples import SetSample, can_be_sampled, set_sample
from hwsim.timing.caches.sets import fill, flush
from hwsim.timing.caches.state import ALL_SETS, empty_caches, one_line
from hwsim.timing.caches.traffic import LevelTraffic, StreamResult

PAGE = 4096
WIDEST_PANEL = 128  # words
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _room(tensor: Tensor) -> int:
    """A tensor's bytes as it lies.

    Weights and blocks have room for a last panel that is not full.
    """
    rows = tensor.bytes // tensor.fastest.size
    ragged = max(tensor.block, WIDEST_PANEL if tensor.role == "weight" else 0)
    return rows * (tensor.row + ragged)


class AddressSpace:
    """A layer's tensors one after another, page aligned, in the order they are named.

    Parts of a tensor lie inside its buffer.
    """

    def __init__(self, stages: Iterable[Stage]) -> None:
        tensors = [tensor for stage in stages for tensor in stage.tensors]
        sizes: dict[str, int] = {}
        for tensor in tensors:
            whole = tensor.bytes * (tensor.part_of[1] + 1) if tensor.part_of else _room(tensor)
            sizes[tensor.buffer] = max(sizes.get(tensor.buffer, 0), whole)
        self._sizes = sizes
        self._base: dict[str, int] = {}
        self.end = PAGE
        for name, size in sizes.items():
            self._base[name] = self.end
            self.end += -(-size // PAGE) * PAGE + PAGE
        self.buffers = {name: name for name in sizes}
        for tensor in tensors:
            if tensor.part_of:
                self.buffers[tensor.name] = tensor.buffer
                self._base[tensor.name] = (
                    self._base[tensor.buffer] + tensor.part_of[1] * tensor.bytes
                )
        self.names = list(self.buffers)

    @property
    def starts(self) -> list[int]:
        """Where each name's own addresses begin; a part has none, its words are its buffer's."""
        return [
            self._base[name] if buffer == name else 1 << 62 for name, buffer in self.buffers.items()
        ]

    def size(self, buffer: str) -> int:
        """Bytes of a buffer."""
        return self._sizes[buffer]

    def base(self, name: str) -> int:
        return self._base[name]

    def index(self, name: str) -> int:
        return self.names.index(name)


class ImplicitChain:
    """A machine's caches, first level first, warm from one stage of a layer to the next.

    by_kind: misses are told apart by kind, which takes longer. clean: a store leaves nothing to be
    written back, as in a TLB. sampled: not all sets are walked, where a sample of them can be
    taken (may_be_sampled). off_at_flush: lines of each level that `flush` may be off then.
    """

    def __init__(
        self,
        caches: Sequence[tuple[str, Cache]],
        units: int,
        space: AddressSpace,
        by_kind: bool = False,
        clean: bool = False,
        sampled: bool = False,
    ) -> None:
        if space.end // one_line(caches) >= 1 << 30:
            raise HwsimError(
                f"tensors of {size_text(space.end)} in one layer; expected fewer than 2^30 lines "
                f"of {one_line(caches)} bytes"
            )
        self.names = [name for name, _ in caches]
        self.space = space
        self.line = one_line(caches)
        self.by_kind = by_kind
        self.clean = clean
        lines = space.end // self.line + 1 if by_kind else 0
        self.may_be_sampled = can_be_sampled(caches, by_kind)
        self.sample = self._set_sample() if sampled and self.may_be_sampled else None
        groups = ALL_SETS if self.sample is None else self.sample.groups
        self.state = empty_caches(caches, units, space.starts, np.int32, lines, groups)
        self._stays: Mapping[str, float] = {}
        self.off_at_flush: Floats = np.zeros(len(self.names) + 1)

    def _set_sample(self) -> SetSample:
        buffers = self.space.buffers.values()
        lines = {
            name: (self.space.base(name) // self.line, -(-self.space.size(name) // self.line))
            for name in buffers
        }
        return set_sample([lines[name] for name in buffers])

    def no_counts(self, windows: int = 1) -> Ints:
        """Counts to begin with, [window, level, tensor, kind]: of each group of sets, too."""
        groups = self.sample.count if self.sample is not None else 0
        shape = (windows + groups, len(self.names) + 1, len(self.space.names), KINDS)
        return np.zeros(shape, np.int64)

    def begin_with(self, found: Mapping[str, float], stays: Mapping[str, float]) -> None:
        """Load the last of some buffers' lines before a layer begins, so large a share of each.

        stays: shares of buffers that need not be written when it ends.
        """
        self._stays = stays
        stats = self.no_counts()
        for buffer, share in found.items():
            first, size = self.space.base(buffer), self.space.size(buffer)
            begin = first + ceil(size * (1 - share))
            fill(self.state, -(-begin // self.line), (first + size) // self.line, stats)

    def crowds(self) -> tuple[int, ...]:
        """Fills of a first-level cache by how long before their set was filled.

        [distance]: fills of the busiest core's cache, since the last call, whose set was filled 1,
        2 ... FAR or more misses before.
        """
        found = self.state.crowds[:, BY_DISTANCE + 1 : LAST_MISS]
        busiest = tuple(found[found.sum(axis=1).argmax()].tolist())
        found[:] = 0
        return busiest

    def flush(self) -> dict[tuple[str, str], LevelTraffic]:
        """Lines written back when the layer ends."""
        stats = self.no_counts()
        flush(self.state, stats)
        found = stats[0].astype(float)
        if self.sample is not None:
            found, self.off_at_flush = self.sample.estimated(stats)
        return {
            (level, buffer): lines.times(1 - self._stays.get(buffer, 0.0))
            for (level, buffer), lines in self.traffic(found).items()
        }

    def traffic(self, stats: Floats) -> dict[tuple[str, str], LevelTraffic]:
        found: dict[tuple[str, str], LevelTraffic] = {}
        for level, name in enumerate([*self.names, "dram"]):
            for number, buffer in enumerate(self.space.buffers.values()):
                row = stats[level, number]
                if row.any():
                    lines = LevelTraffic(
                        float(row[READS]),
                        float(row[WRITES]),
                        float(row[MISSES]),
                        float(row[WRITEBACKS]),
                        float(row[PREFETCHES]),
                        float(row[COLD]),
                        float(row[CAPACITY]),
                    )
                    found[name, buffer] = (
                        found[name, buffer] + lines if (name, buffer) in found else lines
                    )
        return found

    def result(
        self, lines: Floats, busiest: Floats | Ints, sampling: Sampling | None = None
    ) -> StreamResult:
        """Lines [level, tensor, kind] by name, and the busiest unit's iterations, loads, stores."""
        iterations, loads, stores = (float(part) for part in busiest)
        return StreamResult(self.traffic(lines), iterations, loads, stores, sampling)
