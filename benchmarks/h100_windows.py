"""Times PyTorch's windows written out (unfold) and shifted sums of slices on a GPU.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_windows.py OUT.json`. A time is the
median of 15 calls between two device events, the queue kept full; cold: 256 MiB are written before
each call. Kernel names, grids and blocks are read by PyTorch's profiler. None of the shapes is one
of reference/h100_conv.json.
"""

import json
import sys
from pathlib import Path

import torch
from gpu_probe import kernels_of, median_us
from torch.nn import functional

DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
MAPS = ((4, 150), (24, 20), (40, 80), (96, 40), (160, 25), (320, 12), (80, 150))
TAPS = (1, 3, 4, 6, 8)
BATCHES = (1, 6)


def unfolds(n, channels, side, words):
    """(taps, call) for square windows, padded to keep about the map's size."""
    x = torch.ones(n, channels, side, side, device="cuda", dtype=words)
    for taps in TAPS:
        yield taps, lambda taps=taps: functional.unfold(x, taps, padding=taps // 2)


def shifts(n, channels, side, words):
    """(taps, call): every slice of a product with all taps added where it falls."""
    for taps in (2, 3):
        products = torch.ones(n, taps, taps, channels, side, side, device="cuda", dtype=words)
        out = torch.zeros(n, channels, side, side, device="cuda", dtype=words)
        yield taps, lambda taps=taps, t=products, o=out: shifted_sum(taps, t, o)


def shifted_sum(taps, products, out):
    side, middle = out.shape[-1], taps // 2
    out.zero_()
    for r in range(taps):
        down, up = overlap(r - middle, side)
        for s in range(taps):
            right, left = overlap(s - middle, side)
            out[:, :, down, right] += products[:, r, s, :, up, left]


def overlap(shift, side):
    """Where a line moved by a shift falls, and what of it falls there."""
    ahead, behind = max(0, shift), max(0, -shift)
    return slice(behind, side - ahead), slice(ahead, side - behind)


def main(out):
    rows = []
    for dtype, words in DTYPES.items():
        for channels, side in MAPS:
            for n in BATCHES:
                for op, calls in (("unfold", unfolds), ("shifted-sum", shifts)):
                    with torch.inference_mode():
                        for taps, call in calls(n, channels, side, words):
                            row = {"op": op, "dtype": dtype, "n": n, "c": channels, "h": side}
                            row |= {"taps": taps}
                            row["us_warm"] = round(median_us(call, False), 2)
                            row["us_cold"] = round(median_us(call, True), 2)
                            if side in (40, 150):
                                row["kernels"] = kernels_of(call)
                            rows.append(row)
        print(dtype, len(rows), flush=True)
    document = {"device": torch.cuda.get_device_name(), "rows": rows}
    Path(out).write_text(json.dumps(document))


main(sys.argv[1])
