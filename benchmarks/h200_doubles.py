"""Times fp64 products and convolutions on a GPU, and int8 products whose rows are no whole 16 bytes.

Run on a machine with PyTorch and a GPU: `python benchmarks/h200_doubles.py OUT.json`. Products are
C[M][N] = A[M][K] B[K][N], row by row; int8 adds in int32 (torch._int_mm), its weights [N][K].
Convolutions are NCHW, by the algorithm that cuDNN finds the fastest. A time is the median of 15
calls between two device events, the queue kept full; cold: 256 MiB are written before each call.
"""

import json
import random
import sys
from pathlib import Path

import torch
from gpu_probe import kernels_of, median_us

SQUARES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
SIDES = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1000, 1024, 1536, 2048, 3072, 4096, 8192)
ODD = (17, 33, 63, 100, 125, 250, 333, 500, 721, 1001, 1500, 2047, 3001)
ROWS = (1, 8, 32, 64, 128, 512, 1024, 4096)
EIGHTS = tuple(range(24, 4096, 16))  # multiples of 8 that are none of 16
LARGEST = 2e11  # products
DRAWN, DRAWN_ODD, DRAWN_INT8, DRAWN_CONVOLUTIONS = 70, 30, 40, 50


def products(dice, rows, sides, number):
    """That many different (M, N, K), none too large."""
    drawn = set()
    while len(drawn) < number:
        m, n, k = dice.choice(rows), dice.choice(sides), dice.choice(sides)
        if m * n * k <= LARGEST:
            drawn.add((m, n, k))
    return sorted(drawn)


def convolutions(dice):
    """That many different (N, C, H, W, K, R, stride, pad, groups), of K filters."""
    drawn = set()
    while len(drawn) < DRAWN_CONVOLUTIONS:
        taps = dice.choice((1, 3, 3, 3, 5))
        size = dice.choice((7, 14, 28, 56, 112))
        channels, filters = (dice.choice((3, 16, 32, 64, 128, 256, 512)) for _ in range(2))
        batch, stride = dice.choice((1, 1, 4, 16)), dice.choice((1, 1, 2))
        if batch * size**2 * channels * filters * taps**2 <= LARGEST / 10:
            drawn.add((batch, channels, size, size, filters, taps, stride, taps // 2, 1))
    return sorted(drawn)


def timed(call):
    return {
        "us_cold": round(median_us(call, True), 2),
        "us_warm": round(median_us(call, False), 2),
        "kernels": kernels_of(call),
    }


def product_rows(dice):
    squares = [(n, n, n) for n in SQUARES]
    odd = products(dice, ODD, ODD, DRAWN_ODD)
    for m, n, k in (*squares, *products(dice, ROWS, SIDES, DRAWN), *odd):
        a = torch.randn(m, k, device="cuda", dtype=torch.float64)
        b = torch.randn(k, n, device="cuda", dtype=torch.float64)
        yield {"M": m, "N": n, "K": k, "dtype": "fp64", **timed(lambda a=a, b=b: a @ b)}


def int8_rows(dice):
    rows = (32, 40, 128, 512, 2048)
    for m, n, k in products(dice, rows, EIGHTS, DRAWN_INT8):
        a = torch.randint(-128, 128, (m, k), device="cuda", dtype=torch.int8)
        b = torch.randint(-128, 128, (n, k), device="cuda", dtype=torch.int8).t()
        call = timed(lambda a=a, b=b: torch._int_mm(a, b))
        yield {"M": m, "N": n, "K": k, "dtype": "int8", "result": "int32", **call}


def convolution_rows(dice):
    torch.backends.cudnn.benchmark = True
    for n, c, h, w, k, r, stride, pad, groups in convolutions(dice):
        x = torch.randn(n, c, h, w, device="cuda", dtype=torch.float64)
        f = torch.randn(k, c // groups, r, r, device="cuda", dtype=torch.float64)
        shape = {"N": n, "C": c, "H": h, "W": w, "K": k, "R": r, "S": r}
        shape |= {"stride": stride, "pad": pad, "groups": groups, "dtype": "fp64"}
        call = timed(
            lambda x=x, f=f, stride=stride, pad=pad, groups=groups: torch.nn.functional.conv2d(
                x, f, stride=stride, padding=pad, groups=groups
            )
        )
        yield {**shape, **call}


def main(out):
    dice = random.Random(5)
    document = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    document["rows"] = [*product_rows(dice), *int8_rows(dice)]
    document["convolutions"] = list(convolution_rows(dice))
    Path(out).write_text(json.dumps(document))


main(sys.argv[1])
