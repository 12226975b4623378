"""What PyTorch launches for whole networks on a GPU: the kernels of a captured graph.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_networks.py OUT.json`. Inference of
VGG-16 and ResNet-50 at 224 x 224, cuDNN choosing by trying; `us` is the median of 15 replays of one
CUDA graph, `kernels` those of one replay by name: [calls, microseconds by PyTorch's profiler].
"""

import json
import sys
from pathlib import Path

import torch
from gpu_probe import captured, events_of, median_us
from torch import nn

VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


def vgg16():
    """VGG-16 without batch norm: 13 convolutions with bias, 3 products."""
    layers, channels = [], 3
    for width in VGG16:
        if width == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        channels = width
    head = [nn.Linear(25088, 4096), nn.ReLU(True), nn.Linear(4096, 4096), nn.ReLU(True)]
    pool = [nn.AdaptiveAvgPool2d(7), nn.Flatten()]
    return nn.Sequential(*layers, *pool, *head, nn.Linear(4096, 1000))


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1, each with batch norm; a shortcut."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.one = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.BatchNorm2d(4 * width),
        )
        self.other = nn.Identity()
        if stride != 1 or channels != 4 * width:
            self.other = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.one(x)
        out += self.other(x)
        return self.relu(out)


def resnet50():
    """ResNet-50 with batch norm as a kernel of its own."""
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for stage, (width, count) in enumerate(STAGES):
        for block in range(count):
            layers.append(Bottleneck(channels, width, 2 if stage and not block else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


NETWORKS = {"vgg16": vgg16, "resnet50": resnet50}
MODES = (("fp32", "nchw"), ("tf32", "nchw"), ("fp16", "nchw"), ("fp16", "nhwc"))


def by_name(events):
    """{name: [calls, microseconds]} of kernels."""
    found = {}
    for event in events:
        calls, us = found.get(event["name"][:120], (0, 0.0))
        found[event["name"][:120]] = [calls + 1, round(us + event["dur"], 2)]
    return found


def main(out):
    torch.backends.cudnn.benchmark = True
    rows = []
    for network, build in NETWORKS.items():
        for dtype, layout in MODES:
            torch.backends.cudnn.allow_tf32 = dtype == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
            words = torch.float16 if dtype == "fp16" else torch.float32
            format_ = torch.channels_last if layout == "nhwc" else torch.contiguous_format
            model = build().eval().to("cuda", words).to(memory_format=format_)
            for batch in (1, 16, 64):
                x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=words)
                x = x.to(memory_format=format_)
                with torch.inference_mode():
                    graph = captured(model, x)
                    us = median_us(graph.replay, False)
                    kernels = by_name(events_of(graph.replay))
                rows.append(
                    {
                        "network": network,
                        "dtype": dtype,
                        "layout": layout,
                        "batch": batch,
                        "us": round(us, 1),
                        "kernels": kernels,
                    }
                )
                print(
                    network,
                    dtype,
                    layout,
                    batch,
                    round(us, 1),
                    sum(n for n, _ in kernels.values()),
                    flush=True,
                )
                torch.cuda.empty_cache()
    document = {"device": torch.cuda.get_device_name(), "rows": rows}
    Path(out).write_text(json.dumps(document))


main(sys.argv[1])
