"""Times NCCL's collectives between the GPUs of one host.

Run on a machine with PyTorch and GPUs: `python benchmarks/h100_collectives.py OUT.json [RANKS]`. A
time is the mean of 20 calls after 5, replayed from a captured graph where the call can be captured;
the slowest rank's. Bytes are those of the whole buffer of a rank, as in nccl-tests.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

SIZES = [2**power for power in range(10, 31, 2)]


def call_of(kind, ranks, rank, size):
    """A collective over `size` bytes of fp16."""
    words = size // 2
    whole = torch.zeros(words, dtype=torch.float16, device="cuda")
    part = torch.zeros(words // ranks, dtype=torch.float16, device="cuda")
    other = torch.zeros(words, dtype=torch.float16, device="cuda")
    if kind == "all_reduce":
        return lambda: dist.all_reduce(whole)
    if kind == "all_gather":
        return lambda: dist.all_gather_into_tensor(whole, part)
    if kind == "reduce_scatter":
        return lambda: dist.reduce_scatter_tensor(part, whole)
    if kind == "all_to_all":
        return lambda: dist.all_to_all_single(other, whole)
    if kind == "broadcast":
        return lambda: dist.broadcast(whole, 0)

    def send():
        if rank == 0:
            dist.send(whole, 1)
        elif rank == 1:
            dist.recv(whole, 0)

    return send


def microseconds(call):
    """Mean time of a call on this rank."""
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(20):
            call()
    graph.replay()
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()
    start = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    start.record()
    graph.replay()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) * 1e3 / 20


def work(rank, ranks, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(29500 + ranks))
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=ranks)
    rows = []
    for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send"):
        for size in SIZES:
            time_us = torch.tensor([microseconds(call_of(kind, ranks, rank, size))], device="cuda")
            dist.all_reduce(time_us, dist.ReduceOp.MAX)
            rows.append(
                {"kind": kind, "ranks": ranks, "bytes": size, "us": round(time_us.item(), 2)}
            )
            if rank == 0:
                print(rows[-1], flush=True)
    if rank == 0:
        device = torch.cuda.get_device_name()
        nccl = ".".join(map(str, torch.cuda.nccl.version()))
        document = {"device": device, "nccl": nccl, "rows": rows}
        Path(out).write_text(json.dumps(document))
    dist.barrier()
    os._exit(0)


if __name__ == "__main__":
    ranks = int(sys.argv[2]) if len(sys.argv) > 2 else torch.cuda.device_count()
    started = time.time()
    mp.spawn(work, args=(ranks, sys.argv[1]), nprocs=ranks)
    print(f"{time.time() - started:.0f} s", flush=True)
