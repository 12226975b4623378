"""Times PyTorch's kernels on feature maps (bias, batch norm, ReLU, add, pooling) on a GPU.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_maps.py OUT.json`. A time is the
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
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
MAPS = ((64, 224), (64, 112), (128, 56), (256, 56), (512, 28), (1024, 14), (512, 14), (2048, 7))
BATCHES = (1, 4, 16, 64)

flush = torch.empty(256 * 2**20, dtype=torch.uint8, device="cuda")


def median_us(call, cold):
    """Microseconds of one call on the device."""
    for _ in range(3):
        call()
    times = []
    torch.cuda._sleep(2_000_000)
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
    """Name, time, grid, block and registers of every kernel that a call launches."""
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
            "us": round(event["dur"], 2),
            "grid": event["args"]["grid"],
            "block": event["args"]["block"],
            "registers": event["args"].get("registers per thread"),
        }
        for event in events
        if event.get("cat") == "kernel"
    ]


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
