"""make bench: what hwsim takes, measured on this machine; warm unless said. Never part of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPARE = ["compare", "vgg16", "--machines", "xeon-8380,h200,tpu-v1", "--algorithms", "direct,im2col,winograd-f2,winograd-f4"]


def measure(words: list[str], environment: dict[str, str] | None = None) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of one command in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    return {"wall_s": round(time.perf_counter() - start, 2), "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_MiB": round(usage.ru_maxrss / 1024)}


def best(words: list[str], times: int) -> dict[str, float]:
    """The quickest of several runs."""
    return min((measure(words) for _ in range(times)), key=lambda row: row["wall_s"])


def main() -> None:
    hwsim = [sys.executable, "-m", "hwsim"]
    rows = {"import hwsim": best([sys.executable, "-c", "import hwsim"], 5), "hwsim --help": best([*hwsim, "--help"], 5)}
    with tempfile.TemporaryDirectory() as folder:
        cold = {**os.environ, "NUMBA_CACHE_DIR": folder}
        rows["first run, kernels compiled"] = measure([*hwsim, "run", "xeon-8380", "toy-4x4", "-a", "direct"], cold)
    rows["the same, kernels cached"] = best([*hwsim, "run", "xeon-8380", "toy-4x4", "-a", "direct"], 3)
    rows["compare vgg16, 3 machines x 4 algorithms"] = best([*hwsim, *COMPARE], 3)
    rows["run tpu-v1 resnet50"] = best([*hwsim, "run", "tpu-v1", "resnet50", "-a", "implicit-gemm"], 3)
    rows["validate"] = best([*hwsim, "validate"], 3)
    print(json.dumps({"cpus": os.cpu_count(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
