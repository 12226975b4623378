"""What PyTorch launches for Hugging Face's transformers on a GPU: the kernels of a captured graph.

Run on a machine with PyTorch, transformers and a GPU: `python benchmarks/h100_transformers.py
OUT.json`. The base configurations of BERT, GPT-2 and ViT with random weights; `us` is the median of
15 replays of one CUDA graph, `kernels` those of one replay by name: [calls, microseconds by PyTorch's
profiler]; `order` is the first block's, as they came.
"""

import json
import sys
from pathlib import Path

import torch
from gpu_probe import captured, events_of, median_us
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, ViTConfig, ViTModel

CASES = (
    ("bert-base", 1, 128),
    ("bert-base", 8, 512),
    ("gpt2", 1, 128),
    ("gpt2", 8, 512),
    ("vit-b16", 1, 197),
    ("vit-b16", 8, 197),
)


def network(name, batch, tokens):
    if name == "vit-b16":
        return ViTModel(ViTConfig()), torch.randn(batch, 3, 224, 224)
    model = (
        BertModel(BertConfig()) if name == "bert-base" else GPT2Model(GPT2Config(use_cache=False))
    )
    return model, torch.randint(0, 1000, (batch, tokens))


def kernels_of(graph):
    """Of one replay, in order: [(name, us)]."""
    events = sorted(events_of(graph.replay), key=lambda event: event["ts"])
    return [(event["name"], event["dur"]) for event in events]


def main():
    rows = []
    for name, batch, tokens in CASES:
        for dtype in ("fp16", "fp32"):
            model, x = network(name, batch, tokens)
            model = model.eval().cuda().to(torch.float16 if dtype == "fp16" else torch.float32)
            x = x.cuda() if x.dtype == torch.int64 else x.cuda().to(next(model.parameters()).dtype)
            with torch.no_grad():
                graph = captured(model, x)
            us, kernels = median_us(graph.replay, False), kernels_of(graph)
            totals = {}
            for kernel, took in kernels:
                calls, before = totals.get(kernel, (0, 0.0))
                totals[kernel] = [calls + 1, round(before + took, 1)]
            rows.append(
                {
                    "network": name,
                    "dtype": dtype,
                    "B": batch,
                    "S": tokens,
                    "us": round(us, 1),
                    "kernels": totals,
                    "order": [[kernel[:120], round(took, 1)] for kernel, took in kernels[:60]],
                }
            )
            print(name, dtype, batch, tokens, round(us, 1), len(kernels), flush=True)
            del model, graph
            torch.cuda.empty_cache()
    Path(sys.argv[1]).write_text(json.dumps({"rows": rows}, indent=0))


main()
