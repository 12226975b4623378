"""Sweeps: seconds for a thousand simulated points and for many in closed form.

python benchmarks/sweeps.py [POINTS]      so many in closed form, 100,000 unless told otherwise
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import hwsim
from hwsim.sweeps.axes import axis
from hwsim.sweeps.run import run_sweep
from hwsim.sweeps.sweep_file import make_sweep

FIXED = {
    "machine": "tpu-v1",
    "workload": "resnet18",
    "algorithm": "direct",
    "parts.dram.timing": "null",
}
THOUSAND = {
    "parts.array.rows, parts.array.cols": ["64", "96", "128", "192", "256"],
    "parts.unified_buffer.capacity": "powers(2 MiB, 32 MiB)",
    "batch": ["1", "2", "4", "8"],
    "parts.dram.bandwidth": "logspace(17 GB/s, 136 GB/s, 10)",
}


def timed(what: str, **sweep: object) -> None:
    """Run a sweep from nothing, and print what it took."""
    axes = [axis(title, values) for title, values in sweep.pop("axes").items()]  # type: ignore
    asked = make_sweep("benchmark", axes, FIXED, **sweep)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        begun, before = time.perf_counter(), _cpu_seconds()
        result = run_sweep(asked, Path(folder) / "journal.sqlite")
        seconds, cpu = time.perf_counter() - begun, _cpu_seconds() - before
    print(f"{what}: {len(result):,} points, {seconds:.1f} s, {cpu:.1f} CPU-s")


def _cpu_seconds() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(one).ru_utime for one in whose)


if __name__ == "__main__":
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"hwsim {hwsim.__version__}")
    timed("simulated, quick schedules", axes=THOUSAND, schedules="quick")
    rates = f"logspace(10 GB/s, 500 GB/s, {max(1, points // (49 * 50 * 10))})"
    many = {
        "parts.array.rows": "range(8, 392, 8)",
        "parts.array.cols": "range(8, 400, 8)",
        "clock": "linspace(400 MHz, 1300 MHz, 10)",
        "parts.dram.bandwidth": rates,
    }
    timed("in closed form", axes=many, model="bound")
