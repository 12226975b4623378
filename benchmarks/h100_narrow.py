"""Times products in 8 bits on a GPU, and names the kernels that its library launches for them.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_narrow.py OUT.json`. int8 adds in
int32 (torch._int_mm), fp8 (e4m3) gives bf16 (torch._scaled_mm). Weights lie as a linear layer's do,
[N][K]. A time is the median of 15 calls between two device events, the queue kept full; cold: 256
MiB are written before each call.
"""

import json
import random
import sys
from pathlib import Path

import torch
from gpu_probe import kernels_of, median_us

SQUARES = (256, 512, 1024, 2048, 4096, 8192)
ROWS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
SIDES = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 5120, 8192, 11008, 14336)
DRAWN = 60


def shapes():
    """Squares, and random products with a multiple of 64 on every side."""
    dice = random.Random(0)
    drawn = {(dice.choice(ROWS), dice.choice(SIDES), dice.choice(SIDES)) for _ in range(DRAWN)}
    return [(n, n, n) for n in SQUARES] + sorted(drawn)


def int8(m, n, k):
    a = torch.randint(-128, 128, (m, k), device="cuda", dtype=torch.int8)
    b = torch.randint(-128, 128, (n, k), device="cuda", dtype=torch.int8).t()
    return lambda: torch._int_mm(a, b)


def fp8(m, n, k):
    a = torch.randn(m, k, device="cuda").to(torch.float8_e4m3fn)
    b = torch.randn(n, k, device="cuda").to(torch.float8_e4m3fn).t()
    one = torch.ones((), device="cuda")
    return lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def main(out):
    rows = []
    for dtype, make in (("int8", int8), ("fp8", fp8)):
        for m, n, k in shapes():
            call = make(m, n, k)
            row = {"M": m, "N": n, "K": k, "dtype": dtype}
            row["us_cold"] = round(median_us(call, True), 2)
            row["us_warm"] = round(median_us(call, False), 2)
            row["kernels"] = kernels_of(call)
            rows.append(row)
            del call
        print(dtype, len(rows), flush=True)
    document = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "rows": rows,
    }
    Path(out).write_text(json.dumps(document))


main(sys.argv[1])
