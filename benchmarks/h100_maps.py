"""Times PyTorch's kernels on feature maps (bias, batch norm, ReLU, add, pooling) on a GPU.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_maps.py OUT.json`. A time is the
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
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
MAPS = ((64, 224), (64, 112), (128, 56), (256, 56), (512, 28), (1024, 14), (512, 14), (2048, 7))
BATCHES = (1, 4, 16, 64)


def calls(x):
    """The calls that are timed, by operator."""
    channels = x.shape[1]
    one = torch.ones(channels, device="cuda", dtype=x.dtype)
    norm = torch.nn.BatchNorm2d(channels).eval().to("cuda", x.dtype)
    return {
        "relu": lambda: torch.relu_(x),
        "add": lambda: x.add_(x),
        "bias": lambda: x.add_(one.view(1, channels, 1, 1)),
        "batchnorm": lambda: norm(x),
        "maxpool2": lambda: functional.max_pool2d(x, 2, 2),
        "maxpool3": lambda: functional.max_pool2d(x, 3, 2, 1),
        "avgpool2": lambda: functional.avg_pool2d(x, 2, 2),
        "avgpool3": lambda: functional.avg_pool2d(x, 3, 2, 1),
        "globalpool": lambda: functional.adaptive_avg_pool2d(x, 1),
    }


def main(out):
    rows = []
    for dtype, words in DTYPES.items():
        for layout, format_ in LAYOUTS.items():
            for channels, side in MAPS:
                for batch in BATCHES:
                    x = torch.ones(batch, channels, side, side, device="cuda", dtype=words)
                    x = x.to(memory_format=format_)
                    with torch.inference_mode():
                        for op, call in calls(x).items():
                            row = {"op": op, "dtype": dtype, "layout": layout}
                            row |= {"n": batch, "c": channels, "h": side}
                            row["us_warm"] = round(median_us(call, False), 2)
                            row["us_cold"] = round(median_us(call, True), 2)
                            if (batch, side) == (16, 56):
                                row["kernels"] = kernels_of(call)
                            rows.append(row)
            print(dtype, layout, len(rows), flush=True)
    document = {"device": torch.cuda.get_device_name(), "rows": rows}
    Path(out).write_text(json.dumps(document))


main(sys.argv[1])
