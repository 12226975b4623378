"""What the probes that run on a GPU share: a call's time between two events, and its kernels."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

CALLS = 15
flush = torch.empty(256 * 2**20, dtype=torch.uint8, device="cuda")


def median_us(call, cold):
    """Microseconds of one call on the device, the queue kept full.

    cold: the L2 is emptied before every call.
    """
    for _ in range(3):
        call()
    times = []
    torch.cuda._sleep(3_000_000)
    for _ in range(CALLS):
        if cold:
            flush.zero_()
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        times.append((start, end))
    torch.cuda.synchronize()
    return sorted(start.elapsed_time(end) * 1e3 for start, end in times)[CALLS // 2]


def captured(model, x):
    """One CUDA graph of an inference, after the libraries have tried their algorithms."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            model(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        model(x)
    return graph


def events_of(call):
    """What a call runs on the GPU, by PyTorch's profiler: its kernels, copies and fills."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize()
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    wanted = ("kernel", "gpu_memset", "gpu_memcpy")
    return [event for event in events if event.get("cat") in wanted]


def kernels_of(call):
    """Name, time, grid, block, registers and shared memory of every kernel that a call launches."""
    return [
        {
            "name": event["name"][:160],
            "us": round(event["dur"], 2),
            "grid": event["args"]["grid"],
            "block": event["args"]["block"],
            "registers": event["args"].get("registers per thread"),
            "shared": event["args"].get("shared memory"),
        }
        for event in events_of(call)
        if event["cat"] == "kernel"
    ]
