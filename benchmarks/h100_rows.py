"""Times PyTorch's kernels of rows (softmax, layer norm, RMS norm) and elementwise kernels on a GPU.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_rows.py OUT.json`. A time is the
median of 15 calls between two device events, the queue kept full; cold: 256 MiB are written before
each call. Kernel names, grids and blocks are read by PyTorch's profiler.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.nn import functional

DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
ROWS = (1, 32, 132, 264, 528, 1056, 2112, 4224, 16896, 67584)
COLUMNS = (64, 256, 512, 768, 1024, 2048, 4096, 8192, 16384)
LARGEST = 2**28

flush = torch.empty(256 * 2**20, dtype=torch.uint8, device="cuda")


def median_us(call, cold):
    """Microseconds of one call on the device."""
    for _ in range(3):
        call()
    times = []
    torch.cuda._sleep(3_000_000)
    for _ in range(15):
        if cold:
            flush.zero_()
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        times.append((start, end))
    torch.cuda.synchronize()
    return sorted(start.elapsed_time(end) * 1e3 for start, end in times)[7]


def kernels_of(call):
    """Name, grid and block of every kernel that a call launches."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize()
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    return [
        {
            "name": event["name"][:160],
            "grid": event["args"]["grid"],
            "block": event["args"]["block"],
            "registers": event["args"].get("registers per thread"),
            "shared": event["args"].get("shared memory"),
        }
        for event in events
        if event.get("cat") == "kernel"
    ]


def calls(kind, x, weight):
    """The call that is timed."""
    columns = (x.shape[-1],)
    return {
        "softmax": lambda: torch.softmax(x, -1),
        "layer_norm": lambda: functional.layer_norm(x, columns, weight, weight),
        "rms_norm": lambda: functional.rms_norm(x, columns, weight),
        "gelu": lambda: functional.gelu(x),
        "tanh_gelu": lambda: functional.gelu(x, approximate="tanh"),
        "relu": lambda: torch.relu(x),
        "add": lambda: x + x,
    }[kind]


def main(out):
    rows = []
    for dtype, kind_of in DTYPES.items():
        for kind in ("softmax", "layer_norm", "rms_norm"):
            for columns in COLUMNS:
                for count in ROWS:
                    if count * columns > LARGEST:
                        continue
                    x = torch.randn(count, columns, device="cuda", dtype=kind_of)
                    weight = torch.ones(columns, device="cuda", dtype=kind_of)
                    call = calls(kind, x, weight)
                    row = {"kind": kind, "dtype": dtype, "rows": count, "cols": columns}
                    row["us_warm"] = round(median_us(call, False), 2)
                    row["us_cold"] = round(median_us(call, True), 2)
                    if count in (1, 4224):
                        row["kernels"] = kernels_of(call)
                    rows.append(row)
        for kind in ("gelu", "tanh_gelu", "relu", "add"):
            for power in range(12, 29, 2):
                x = torch.randn(1, 2**power, device="cuda", dtype=kind_of)
                call = calls(kind, x, None)
                row = {"kind": kind, "dtype": dtype, "elements": 2**power}
                row["us_warm"] = round(median_us(call, False), 2)
                row["us_cold"] = round(median_us(call, True), 2)
                if power in (12, 24):
                    row["kernels"] = kernels_of(call)
                rows.append(row)
        print(dtype, len(rows), flush=True)
    document = {"device": torch.cuda.get_device_name(), "rows": rows}
    Path(out).write_text(json.dumps(document))


main(sys.argv[1])
