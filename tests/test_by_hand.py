"""Kernels written by hand: blocks that copy tiles to shared memory and multiply out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import hwsim
from hwsim.choose.tiled import run_tiled
from hwsim.count.tiling import Tiled
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.settings import read_settings
from hwsim.errors import HwsimError
from hwsim.validate import run_check
from hwsim.validate.gpu_tiled import run_by_hand

H200 = load_machine("h200")
ROW = {"M": 1024, "N": 1024, "K": 512, "BM": 64, "BN": 64, "BK": 16, "TM": 4, "TN": 4}


def cycles(machine: Machine = H200, **row: int) -> float:
    return run_by_hand({**ROW, **row}, machine).cycles.total


def test_a_block_alone_by_hand() -> None:
    """One block of 256 threads on its SM, 64 x 64 x 16, 4 x 4 sums a thread: a step is

    loads      2048 words / 256 threads = 8, 70 cycles apart                         560
    copying    2048 words, 34 instructions each, 128 a cycle                         544
    waiting    the DRAM's latency, two barriers and a read of shared memory          698 + 58 + 29
    reduction  16 reads of shared memory, one after another                          464
    reads      (4 + 4) words a thread and k, and the copies: 128 bytes a cycle       1024 + 64
    products   65536 on 128 cores                                                    512
    """
    machine = load_machine("h200")
    sm = machine.compute
    one = run_by_hand({**ROW, "M": 64, "N": 64, "K": 16}, machine).cycles
    latency = machine.memories[machine.dram_name].latency.cycles(machine.clock_hz)  # type: ignore[attr-defined]
    barriers = 2 * sm.barrier.cycles(machine.clock_hz)  # type: ignore[attr-defined]
    read = sm.shared_latency.cycles(machine.clock_hz)  # type: ignore[attr-defined]
    step = 560 + 544 + latency + barriers + read + 16 * read + 1024 + 64 + 512
    assert one.total == pytest.approx(step, rel=1e-9)


def test_the_ladders_rungs_come_in_order() -> None:
    """More sums a thread are faster, as on the GPU."""
    times = [
        run_tiled(Tiled(2048, 2048, 2048, *tile), H200).seconds
        for tile in ((16, 16, 16), (32, 32, 16), (64, 64, 16), (128, 128, 8))
    ]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("tile", [{}, {"BM": 16, "BN": 16, "TM": 1, "TN": 1}, {"BK": 5}])
@pytest.mark.parametrize(
    "slow",
    [
        "parts.shared.bandwidth=16B/cycle",
        "parts.hbm.bandwidth=20GB/s",
        "parts.l2.bandwidth=50GB/s",
        "parts.sms.macs_per_cycle={fp32: 4}",
        "parts.sms.sms=7",
        "parts.hbm.latency=3000 cycles",
        "parts.sms.copy_operations=90",
        "parts.sms.next_load=300 cycles",
    ],
)
def test_less_is_never_faster(slow: str, tile: dict[str, int]) -> None:
    other = load_machine("h200", read_settings([slow]))
    assert cycles(other, **tile) > cycles(**tile)


def test_two_buffers_load_while_they_multiply(tmp_path: Path) -> None:
    text = """
machine: h200
algorithm: direct
dtype: fp32
nests:
  - layer: tiled
    shape: {op: gemm, m: 512, n: 512, k: 512}
    stage: gemm
    nest:
      - {hold: hbm, tensors: [A, B, C]}
      - {par: m, step: 64, on: block}
      - {par: n, step: 64, on: block}
      - {for: k, step: 16}
      - {hold: shared, tensors: [A, B], buffers: BUFFERS}
      - {par: m, step: 4, on: thread}
      - {par: n, step: 4, on: thread}
      - {for: k, step: 1}
      - {hold: registers, tensors: [A, B, C], multicast: false}
      - {for: m, step: 1}
      - {for: n, step: 1}
"""
    times = []
    for buffers in ("1", "2"):
        path = tmp_path / f"tiled{buffers}.yaml"
        path.write_text(text.replace("BUFFERS", buffers))
        times.append(hwsim.run_nests(path).seconds)
    assert times[1] < 0.8 * times[0]


def test_tiled_products_are_near_their_counters() -> None:
    """Counters of 48 kernels. Operands larger than the L2 come again for every band of blocks."""
    scores = run_check("h200-tiled-gemm").metrics
    most = {
        "sm_loads": 0.0,
        "l2_to_sm_bytes": 0.15,
        "dram_bytes": 0.25,
        "occupancy": 0.1,
        "time": 0.15,
    }
    for metric, error in most.items():
        assert scores[metric].mean_abs_rel_err <= error, metric
    with pytest.raises(HwsimError, match="expected --data FILE"):
        run_check("h100-tiled-gemm")


def test_threads_take_squares() -> None:
    """64 outputs a thread of 128 x 128: 8 x 8, whose 16 operands are the fewest."""
    square = run_tiled(Tiled(256, 256, 64, 128, 128, 8), H200)
    thin = run_by_hand(
        {**ROW, "M": 256, "N": 256, "K": 64, "BM": 128, "BN": 128, "BK": 8, "TM": 64, "TN": 1},
        H200,
    )
    launch = H200.compute.launch_cycles(H200.clock_hz)
    assert square.seconds * H200.clock_hz - launch < 0.8 * thin.cycles.total
