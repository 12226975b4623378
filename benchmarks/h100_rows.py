"""Times PyTorch's kernels of rows (softmax, layer norm, RMS norm) and elementwise kernels on a GPU.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_rows.py OUT.json`. A time is the
median of 15 calls between two device events, the queue kept full; cold: 256 MiB are written before
each call. Kernel names, grids and blocks are read by PyTorch's profiler.
"""

import json
import sys
from pathlib import Path

import torch
from gpu_probe import kernels_of, median_us
from torch.nn import functional

DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
ROWS = (1, 32, 132, 264, 528, 1056, 2112, 4224, 16896, 67584)
COLUMNS = (64, 256, 512, 768, 1024, 2048, 4096, 8192, 16384)
LARGEST = 2**28


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
