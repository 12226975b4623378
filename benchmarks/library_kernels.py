"""Times the kernels that cuBLAS might have run for a product, not only the one that it picks.

Run on a machine with PyTorch and a GPU: `python benchmarks/library_kernels.py OUT.json`. cuBLASLt
is called by its C interface: of the algorithms that its heuristic lists for a product, best first
(`rank`), every one is timed, so that kernels are also seen where they are not the fastest. Times as
in h100_narrow.py. C[M][N] = A[M][K] B[K][N], row by row, is computed transposed.
"""

import ctypes
import json
import random
import sys
from pathlib import Path

import torch
from gpu_probe import events_of, median_us

TYPES = {  # torch's type, cuBLAS's data type and the type it computes in
    "fp32": (torch.float32, 0, 68),
    "tf32": (torch.float32, 0, 77),
    "fp16": (torch.float16, 2, 68),
    "bf16": (torch.bfloat16, 14, 68),
}
SHAPES, ALGORITHMS, SEED = 240, 24, 7
WORKSPACE = 64 * 2**20
LARGEST = 3e10  # products of a shape
R_32F, WORKSPACE_BYTES = 0, 1


class Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    )


class CublasLt:
    """The few calls that a product takes."""

    def __init__(self):
        torch.mm(torch.ones(2, 2, device="cuda"), torch.ones(2, 2, device="cuda"))
        name = next(
            line.split()[-1]
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "libcublasLt.so" in line
        )
        self.lib = ctypes.CDLL(name)
        self.handle = self.made("cublasLtCreate")
        self.room = torch.empty(WORKSPACE, dtype=torch.uint8, device="cuda")

    def call(self, name, *arguments):
        status = getattr(self.lib, name)(*arguments)
        if status:
            raise RuntimeError(f"{name}: status {status}")

    def made(self, name, *arguments):
        found = ctypes.c_void_p()
        self.call(name, ctypes.byref(found), *arguments)
        return found

    def products(self, m, n, k, dtype):
        """The calls that its heuristic lists, best first."""
        kind, data, compute = TYPES[dtype]
        a, b, c = (torch.randn(*size, device="cuda").to(kind) for size in ((m, k), (k, n), (m, n)))
        what = self.made("cublasLtMatmulDescCreate", compute, R_32F)
        layouts = [
            self.made("cublasLtMatrixLayoutCreate", data, *map(ctypes.c_uint64, size), width)
            for size, width in (
                ((n, k), ctypes.c_int64(n)),
                ((k, m), ctypes.c_int64(k)),
                ((n, m), ctypes.c_int64(n)),
            )
        ]
        wanted = self.made("cublasLtMatmulPreferenceCreate")
        room = ctypes.c_size_t(WORKSPACE)
        self.call(
            "cublasLtMatmulPreferenceSetAttribute",
            wanted,
            WORKSPACE_BYTES,
            ctypes.byref(room),
            ctypes.sizeof(room),
        )
        listed, number = (Heuristic * ALGORITHMS)(), ctypes.c_int()
        of_b, of_a, of_c = layouts
        self.call(
            "cublasLtMatmulAlgoGetHeuristic",
            self.handle,
            what,
            of_b,
            of_a,
            of_c,
            of_c,
            wanted,
            ALGORITHMS,
            listed,
            ctypes.byref(number),
        )
        one, zero = ctypes.c_float(1.0), ctypes.c_float(0.0)
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (b, a, c, self.room)]

        def runner(entry):
            def run():
                stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
                self.call(
                    "cublasLtMatmul",
                    self.handle,
                    what,
                    ctypes.byref(one),
                    pointers[0],
                    of_b,
                    pointers[1],
                    of_a,
                    ctypes.byref(zero),
                    pointers[2],
                    of_c,
                    pointers[2],
                    of_c,
                    ctypes.byref(entry.algorithm),
                    pointers[3],
                    room,
                    stream,
                )

            return run

        keep = (a, b, c)
        return [runner(listed[place]) for place in range(number.value)], keep


def launched(calls):
    """The kernels of each call, told apart by a fill between them."""
    marker = torch.zeros(1, device="cuda", dtype=torch.float64)

    def all_of_them():
        for call in calls:
            marker.fill_(1.0)
            call()

    events = [event for event in events_of(all_of_them) if event["cat"] == "kernel"]
    found = []
    for event in sorted(events, key=lambda event: event["ts"]):
        if "FillFunctor<double>" in event["name"]:
            found.append([])
        elif found:
            found[-1].append(
                {
                    "name": event["name"][:200],
                    "us": round(event["dur"], 2),
                    "grid": event["args"]["grid"],
                    "block": event["args"]["block"],
                    "registers": event["args"].get("registers per thread"),
                }
            )
    return found


def shapes():
    """Sizes as networks have them, and odd ones; the same on every run."""
    rng = random.Random(SEED)
    found = []
    while len(found) < SHAPES:
        m, n, k = (round(2 ** rng.uniform(3, 13)) for _ in range(3))
        if len(found) % 3:
            m, n, k = (max(8, size // 8 * 8) for size in (m, n, k))
        if m * n * k <= LARGEST:
            found.append((m, n, k))
    return found


def main():
    library, rows = CublasLt(), []
    for m, n, k in shapes():
        for dtype in TYPES:
            calls, _keep = library.products(m, n, k, dtype)
            seen, kernels = set(), launched(calls)
            for rank, (call, ran) in enumerate(zip(calls, kernels, strict=True)):
                alike = tuple((each["name"], tuple(each["grid"])) for each in ran)
                if not ran or alike in seen:
                    continue
                seen.add(alike)
                row = {"M": m, "N": n, "K": k, "dtype": dtype, "rank": rank}
                rows.append({**row, "us_cold": round(median_us(call, True), 2), "kernels": ran})
        print(f"{m} x {n} x {k}: {len(rows)} rows", file=sys.stderr, flush=True)
        Path(sys.argv[1]).write_text(json.dumps({"rows": rows}), encoding="utf-8")


if __name__ == "__main__":
    main()
