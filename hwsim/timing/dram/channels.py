"""A DRAM channel command by command: bursts in order, rows opened ahead, and refreshes.

    address -> channel, then bank group (burst by burst), then column, bank, row:

    burst   0    1    2    3    4    5 ...
    group   0    1    2    3    0    1        consecutive bursts go to different bank groups
    column  0    0    0    0    1    1        until a row of every group is used up,
                                              then the next bank's rows

Every burst reads from an open row; a row is opened (activated) as soon as the banks' timings allow,
up to QUEUE bursts ahead.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.compiled import about_to_run, kernel
from hwsim.describe.dram import DramTiming

QUEUE = 32  # bursts that a controller looks ahead
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

jit: Any = kernel()


@jit
def _read(
    count: int,
    groups: int,
    banks: int,
    columns: int,
    t: Any,
    activates: Any,
    reads: Any,
    refreshing: bool,
) -> None:
    """The clocks of burst i's commands, activates[i] and reads[i].

    An activate is -1 where the burst's row is open already.

    t: latency, tRCD, tRP, tRAS, tRRD, tFAW, tCCD_S, tCCD_L, tRTP, tREFI, tRFC.
    """
    in_group = banks // groups
    row_of, opened, last_read = (
        np.full(banks, -1, np.int64),
        np.full(banks, -(1 << 40), np.int64),
        np.full(banks, -(1 << 40), np.int64),
    )
    recent, oldest, last_activate = np.full(4, -(1 << 40), np.int64), 0, -(1 << 40)
    group_read, any_read, next_refresh, blocked = (
        np.full(groups, -(1 << 40), np.int64),
        -(1 << 40),
        t[9],
        0,
    )
    for i in range(count):
        group, place = i % groups, i // groups
        bank = group * in_group + (place // columns) % in_group
        row = place // (columns * in_group)
        seen = reads[i - QUEUE] if i >= QUEUE else 0
        activates[i] = -1
        while True:
            ready = opened[bank] + t[1]
            if row_of[bank] != row:
                close = max(opened[bank] + t[3], last_read[bank] + t[8])
                start = max(
                    close + t[2], last_activate + t[4], recent[oldest] + t[5], seen, blocked
                )
                ready = start + t[1]
            when = max(ready, any_read + t[6], group_read[group] + t[7], blocked)
            if not refreshing or when < next_refresh:
                break
            # all rows closed, then refreshed
            blocked = max(next_refresh, any_read + t[8]) + t[2] + t[10]
            row_of[:] = -1
            next_refresh += t[9]
        if row_of[bank] != row:
            activates[i] = start
            row_of[bank], opened[bank], last_activate, recent[oldest] = row, start, start, start
            oldest = (oldest + 1) % 4
        reads[i] = when
        last_read[bank] = group_read[group] = any_read = when


def commands(timing: DramTiming, bursts: int, refreshing: bool = True) -> tuple[Ints, Ints]:
    """(activate, read) clocks of each burst of a contiguous read from one idle channel.

    An activate is -1 for an open row.
    """
    about_to_run(_read)
    t = np.array(
        [
            timing.read_latency,
            timing.act_to_read,
            timing.precharge,
            timing.act_to_precharge,
            timing.act_to_act,
            timing.four_acts,
            timing.read_to_read,
            timing.read_to_read_in_group,
            timing.read_to_precharge,
            timing.refresh_every,
            timing.refresh,
        ],
        np.int64,
    )
    activates, reads = np.zeros(bursts, np.int64), np.zeros(bursts, np.int64)
    _read(
        bursts,
        timing.groups,
        timing.banks,
        timing.row_bytes // timing.burst_bytes,
        t,
        activates,
        reads,
        refreshing,
    )
    return activates, reads


@lru_cache(maxsize=4096)
def _busy_ns(timing: DramTiming, bursts: int) -> float:
    """A transfer's time on one channel's data bus, from its first burst to its last.

    Rows are opened ahead of their first reads.
    """
    _, reads = commands(timing, bursts, refreshing=False)
    return float(reads[-1] - reads[0] + timing.read_to_read) * timing.clock_ns


def transfer_ns(timing: DramTiming, channels: int, sizes: Ints) -> Floats:
    """Times of contiguous transfers of so many bytes, spread over the channels.

    Refreshes take their share of the time.

    Turning the bus between reads and writes is not charged.
    """
    bursts = -(-sizes // (timing.burst_bytes * channels))
    unique, where = np.unique(bursts, return_inverse=True)
    busy = np.array([_busy_ns(timing, int(number)) if number else 0.0 for number in unique])
    return np.asarray(busy[where] / (1 - timing.refresh / timing.refresh_every), np.float64)
