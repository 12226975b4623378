"""make bench: what hwsim takes, on this machine; warm unless said. No part of the tests."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ["HWSIM_KEEP"] = "0"  # every mapping is searched anew
COMPARE = [
    "compare",
    "vgg16",
    "--machines",
    "xeon-8380,h200,tpu-v1",
    "--algorithms",
    "direct,im2col,winograd-f2,winograd-f4",
]


def measure(words: list[str], environment: dict[str, str] | None = None) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of one command in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    return {
        "wall_s": round(time.perf_counter() - start, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_MiB": round(usage.ru_maxrss / 1024),
    }


def best(words: list[str], times: int) -> dict[str, float]:
    """The quickest of several runs."""
    return min((measure(words) for _ in range(times)), key=lambda row: row["wall_s"])


def batch_rate(number: int = 2_000_000) -> float:
    """Mappings of the 256^3 product evaluated in a second by one core, tables made beforehand."""
    import numpy as np

    from hwsim.describe.layer import GemmLayer
    from hwsim.describe.machine import load_machine
    from hwsim.ir.convolution import gemm_stage
    from hwsim.rewrite.placement import Placement
    from hwsim.schedule.mapper.kernels import evaluate_batch
    from hwsim.schedule.mapper.model import Model
    from hwsim.schedule.mapper.roots import pack
    from hwsim.schedule.mapper.space import Options, find_space

    model = Model(
        find_space(
            gemm_stage(GemmLayer(256, 256, 256, dtype="int8")),
            load_machine("toy-8x8"),
            Placement(),
            Options(),
        )
    )
    terms, packed, dice = (
        model.inner_terms(model.space.skeletons[37]),
        pack(model),
        np.random.default_rng(1),
    )
    outer = np.stack(
        [dice.integers(len(group.outer), size=number) for group in model.groups], axis=1
    )
    inner = np.stack(
        [dice.integers(len(group.inner), size=number) for group in model.groups], axis=1
    )
    result = np.empty((number, len(model.metrics)))
    quickest = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        evaluate_batch(
            packed.tables,
            packed.inner_counts,
            terms.columns,
            terms.weights,
            terms.constant,
            outer,
            inner,
            result,
        )
        quickest = min(quickest, time.perf_counter() - start)
    return round(number / quickest)


def tiles_a_second(compiled: bool) -> float:
    """Double-buffered tiles through the event pipeline: two tensors, one written back."""
    import numpy as np

    from hwsim.timing.explicit.pipeline import Port, Stream, Work, run_compiled, run_events

    steps = 500_000 if compiled else 10_000
    order = np.arange(steps)
    inputs, outputs = np.full(steps, 64), np.full(steps, 16)
    streams = [
        Stream("a", 2, order, order, inputs, 0 * inputs),
        Stream("b", 2, order, order, inputs, outputs),
    ]
    run = run_compiled if compiled else run_events
    quickest = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        run(Work(streams, np.full(steps, 100.0), np.zeros(steps), Port("dram", 1.0, 50.0)))
        quickest = min(quickest, time.perf_counter() - start)
    return round(2 * steps / quickest)


def resnet50_seconds() -> dict[str, float]:
    """ResNet-50 on 128 x 128, the whole network, warm."""
    from dataclasses import replace

    import hwsim

    tpu = hwsim.load_machine("tpu-v1")
    machine = replace(
        tpu, parts={**tpu.parts, "array": replace(tpu.parts["array"], rows=128, cols=128)}
    )
    network = hwsim.load_workload("resnet50")
    quickest = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        hwsim.simulate(network, machine, "implicit-gemm", dataflow="weight-stationary")
        quickest = min(quickest, time.perf_counter() - start)
    return {
        "wall_s": round(quickest, 3),
        "peak_MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def compute_seconds() -> dict[str, float]:
    """Each algorithm on arrays: 64 channels and filters on 56 x 56, 3 x 3 taps."""
    from hwsim.algorithms import find_algorithm, user_algorithms
    from hwsim.count.rounding import random_data
    from hwsim.describe.layer import ConvLayer

    layer = ConvLayer(1, 64, 56, 56, 64, 3, 3, pad=1)
    x, w = random_data(layer)
    found = {}
    for name in (*user_algorithms(), "fft-t64", "fft-t256", "svd-r32", "tucker-r32x32"):
        start = time.perf_counter()
        find_algorithm(name).compute(layer, x, w)
        found[name] = round(time.perf_counter() - start, 2)
    return found


def main() -> None:
    hwsim = [sys.executable, "-m", "hwsim"]
    # first: its peak memory is this process'
    rows: dict[str, dict[str, float]] = {"resnet50 on 128x128, warm": resnet50_seconds()}
    rows["import hwsim"] = best([sys.executable, "-c", "import hwsim"], 5)
    rows["hwsim --help"] = best([*hwsim, "--help"], 5)
    with tempfile.TemporaryDirectory() as folder:
        cold = {**os.environ, "NUMBA_CACHE_DIR": folder}
        rows["first run, kernels compiled"] = measure(
            [*hwsim, "run", "xeon-8380", "toy-4x4", "-a", "direct"], cold
        )
    rows["the same, kernels cached"] = best(
        [*hwsim, "run", "xeon-8380", "toy-4x4", "-a", "direct"], 3
    )
    rows["compare vgg16, 3 machines x 4 algorithms"] = best([*hwsim, *COMPARE], 3)
    rows["run tpu-v1 resnet50"] = best(
        [*hwsim, "run", "tpu-v1", "resnet50", "-a", "implicit-gemm"], 3
    )
    rows["map toy-8x8 gemm:256,256,256"] = best([*hwsim, "map", "toy-8x8", "gemm:256,256,256"], 3)
    rows["the same, one dim an axis"] = best(
        [*hwsim, "map", "toy-8x8", "gemm:256,256,256", "--one-dim-per-axis"], 3
    )
    rows["map toy-8x8 conv:64,56,56,64,3,3,1,1, a free space"] = measure(
        [*hwsim, "map", "toy-8x8", "conv:64,56,56,64,3,3,1,1"]
    )
    lab3 = str(ROOT / "tests/cases/schedules/lab3_machine.yaml")
    for objective in ("latency", "edp"):
        rows[f"map lab3 conv2, 50 images, for {objective}"] = measure(
            [*hwsim, "map", lab3, "conv:4,32,32,8,5,5,1,0", "-b", "50", "-o", objective]
        )
    for machine in ("tpu-v1", "eyeriss-v1"):
        for network in ("resnet18", "resnet50"):
            rows[f"map {machine} {network}, every layer for EDP"] = measure(
                [*hwsim, "map", machine, network]
            )
    rows["map tpu-v1 resnet50 -o latency"] = measure(
        [*hwsim, "map", "tpu-v1", "resnet50", "-o", "latency"]
    )
    rows["run xeon-8380 alexnet"] = best([*hwsim, "run", "xeon-8380", "alexnet"], 2)
    hangs = str(ROOT / "tests/cases/gpu/auto_hangs.yaml")
    rows["run h200 auto_hangs.yaml -b 2"] = best([*hwsim, "run", "h200", hangs, "-b", "2"], 2)
    rows["mappings a second, one core, in batch"] = {"per_s": batch_rate()}
    rows["count vgg16, every algorithm"] = best([*hwsim, "count", "vgg16"], 3)
    rows["tiles a second, SimPy"] = {"per_s": tiles_a_second(compiled=False)}
    rows["tiles a second, compiled"] = {"per_s": tiles_a_second(compiled=True)}
    rows["compute of a 64x56x56 layer, s"] = compute_seconds()
    rows["validate"] = best([*hwsim, "validate"], 3)
    print(json.dumps({"cpus": os.cpu_count(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
