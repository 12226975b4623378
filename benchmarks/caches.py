"""make bench-caches: hwsim's caches beside cachegrind's on the same loops, CPU seconds an access.

Needs gcc and valgrind. A product of n^3 in two orders; cachegrind simulates two levels, and so does
hwsim's program (hwsim.timing.caches.programs); hwsim's nest has three levels, and time besides.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hwsim
from hwsim.parts.core import with_cores
from hwsim.timing.caches.loads import Level
from hwsim.timing.caches.programs import Memory
from hwsim.validate.cachegrind import PROGRAMS

SOURCE = Path(__file__).with_name("product.c")
LEVELS = [Level(32768, 8, 64), Level(32 << 20, 16, 64)]


def cpu_seconds(work: Callable[[], object], times: int = 5) -> float:
    """The least CPU time of several runs."""
    quickest = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        quickest = min(quickest, time.process_time() - start)
    return quickest


def cachegrind(program: Path, n: int, order: str, tile: int = 0) -> dict[str, float]:
    """Data references, first-level misses, CPU seconds, and these for each reference."""
    words = ["valgrind", "--tool=cachegrind", "--cache-sim=yes", "--cachegrind-out-file=/dev/null"]
    sizes = [
        f"--{name}={level.size},{level.ways},{level.line}"
        for name, level in zip(("D1", "LL"), LEVELS, strict=True)
    ]
    quickest, text = float("inf"), ""
    for _ in range(1 if tile else 3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [*words, *sizes, str(program), str(n), order, "1", str(tile)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        quickest = min(
            quickest, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        )
    references, misses = (
        int(re.search(rf"{what}: +([\d,]+)", text)[1].replace(",", ""))  # type: ignore[index]
        for what in ("D   refs", "D1  misses")
    )
    return {
        "references": references,
        "misses": misses,
        "cpu_s": round(quickest, 2),
        "ns_a_reference": round(quickest / references * 1e9, 1),
    }


def program(n: int, order: str) -> dict[str, float]:
    """The same loops as hwsim's program."""
    kernel = {"ijk": "mm_nn", "ikj": "mm_ikj"}[order]
    bases = {"A": 0, "B": 1 << 24, "C": 2 << 24}
    memories: list[Memory] = []

    def work() -> None:
        memories.append(Memory(LEVELS))
        for each in PROGRAMS[kernel]([n], bases):
            memories[-1].run(each)

    seconds = cpu_seconds(work)
    references = int(memories[-1].accesses.sum())
    return {
        "references": references,
        "misses": int(memories[-1].misses[0].sum()),
        "ns_a_reference": round(seconds / references * 1e9, 1),
    }


def nest(n: int, order: str, tile: int = 0, name: str = "epyc-7763") -> dict[str, float]:
    """The same loops as a nest on one core of a machine with three levels."""
    machine = with_cores(hwsim.load_machine(name), 1)
    loops = f"loops:order={order}" + (f",tile={tile}x{tile}x{tile}" if tile else "")
    layer = hwsim.GemmLayer(n, n, n)
    seconds = cpu_seconds(lambda: hwsim.simulate(layer, machine, "direct", dataflow=loops), 3)
    return {"cpu_s": round(seconds, 2), "ns_a_product": round(seconds / n**3 * 1e9, 1)}


def main() -> None:
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "product"
        subprocess.run(["gcc", "-O2", "-fno-tree-vectorize", SOURCE, "-o", built], check=True)
        for order in ("ijk", "ikj"):
            rows[f"{order} 256, cachegrind"] = cachegrind(built, 256, order)
            rows[f"{order} 256, hwsim's program"] = program(256, order)
            rows[f"{order} 256, hwsim's nest"] = nest(256, order)
        rows["ikj 1024 in tiles of 32, cachegrind"] = cachegrind(built, 1024, "ikj", 32)
    for name in ("xeon-8380", "epyc-7763"):  # with plain caches, and with an exclusive L3
        rows[f"ikj 1024 in tiles of 32, hwsim's nest on {name}"] = nest(1024, "ikj", 32, name)
    machine = hwsim.load_machine("epyc-7763")
    seconds = cpu_seconds(lambda: hwsim.simulate("vgg16", machine, "direct"), 2)
    rows["VGG-16 direct on 64 cores, three levels"] = {"cpu_s": round(seconds, 1)}
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
