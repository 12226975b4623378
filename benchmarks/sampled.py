"""CPU caches in a sample of their sets beside all of them: CPU time, and how far figures are off.

python benchmarks/sampled.py [MACHINE [WORKLOAD ...]]
"""

from __future__ import annotations

import sys
import time

import hwsim
from hwsim.describe.networks import find_workload
from hwsim.job import Job
from hwsim.jobs import run_jobs
from hwsim.results.result import LayerResult, Result

WORKLOADS = ("gemm:2048,4096,4096", "vgg16", "resnet50", "gpt2", "llama-3-8b:qkv")


def timed(machine: str, workload: str, sampled: bool) -> tuple[Result, float]:
    """A result, and the CPU-seconds that it took."""
    job = Job(
        find_workload(workload),
        hwsim.load_machine(machine),
        "auto",
        None,
        None,
        patient=True,
        sampled=sampled,
    )
    begun = time.process_time()
    return run_jobs([job])[0], time.process_time() - begun


def misses(layer: LayerResult) -> dict[tuple[str, str], int]:
    """Of every stage's arrays at every cache, added up."""
    found: dict[tuple[str, str], int] = {}
    for stage in layer.online:
        for level, arrays in stage.lines.items():
            missed = sum(lines.misses for lines in arrays.values())
            found[stage.name, level] = found.get((stage.name, level), 0) + missed
    return found


def furthest(exact: Result, sample: Result) -> tuple[float, float]:
    """How far the worst level's misses are off, and what was stated of it, of all sampled stages."""
    worst = (0.0, 0.0)
    for whole, part in zip(exact.layers, sample.layers, strict=True):
        if whole.algorithm != part.algorithm:
            print(f"  {part.name}: {part.algorithm} for {whole.algorithm}")
            continue
        right, stated = misses(whole), {stage.name: stage.sampling for stage in part.online}
        for (name, level), found in misses(part).items():
            sampling = stated[name]
            if sampling is not None and right[name, level]:
                off = max(abs(found - right[name, level]) - sampling.lines, 0) / right[name, level]
                worst = max(worst, (off, sampling.error))
    return worst


def main() -> None:
    machine, *workloads = sys.argv[1:] or ["xeon-8380"]
    timed(machine, "gemm:256,256,256", True)
    timed(machine, "gemm:256,256,256", False)
    print(f"{machine:20} exact sampled  time off  misses off  (stated)")
    for workload in workloads or WORKLOADS:
        timed(machine, workload, True)  # tiles are chosen, which both share
        sample, quick = timed(machine, workload, True)
        exact, slow = timed(machine, workload, False)
        off, stated = furthest(exact, sample)
        late = abs(sample.seconds / exact.seconds - 1)
        print(f"{workload:20} {slow:5.1f} {quick:7.1f} {late:9.2%} {off:11.1%} {stated:9.1%}")


if __name__ == "__main__":
    main()
