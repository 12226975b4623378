"""Times depthwise convolutions on a GPU in both layouts, and names their kernels.

Run on a machine with PyTorch and a GPU: `python benchmarks/depthwise.py OUT.json`. PyTorch
calls its own kernel or cuDNN's, which tries its algorithms first. Times as in h100_narrow.py.
"""

import json
import sys
from pathlib import Path

import torch
from gpu_probe import kernels_of, median_us

LAYERS = (  # channels, height and width, taps a side, stride: MobileNet, EfficientNet, ConvNeXt
    (32, 112, 3, 1),
    (64, 112, 3, 2),
    (128, 56, 3, 1),
    (256, 28, 3, 1),
    (512, 14, 3, 1),
    (512, 14, 3, 2),
    (1024, 7, 3, 1),
    (144, 56, 5, 2),
    (240, 28, 5, 1),
    (672, 14, 5, 1),
    (672, 14, 5, 2),
    (96, 56, 7, 1),
    (384, 14, 7, 1),
)
BATCHES = (1, 16, 32, 64)
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def measured(channels, size, taps, stride, batch, dtype, layout):
    """A row of the file."""
    where = {"device": "cuda", "dtype": DTYPES[dtype]}
    pad = taps // 2
    layer = torch.nn.Conv2d(channels, channels, taps, stride, pad, 1, channels, bias=False, **where)
    layer = layer.to(memory_format=LAYOUTS[layout])
    x = torch.randn(batch, channels, size, size, **where).to(memory_format=LAYOUTS[layout])
    row = {"N": batch, "C": channels, "H": size, "R": taps, "stride": stride, "dtype": dtype}
    with torch.no_grad():
        return {
            **row,
            "layout": layout,
            "us_cold": round(median_us(lambda: layer(x), True), 2),
            "us_warm": round(median_us(lambda: layer(x), False), 2),
            "kernels": kernels_of(lambda: layer(x)),
        }


def main():
    torch.backends.cudnn.benchmark = True
    rows = [
        measured(*layer, batch, dtype, layout)
        for layer in LAYERS
        for batch in BATCHES
        for dtype in DTYPES
        for layout in LAYOUTS
    ]
    told = {
        "device": torch.cuda.get_device_name(),
        "versions": {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()},
        "rows": rows,
    }
    Path(sys.argv[1]).write_text(json.dumps(told, indent=0), encoding="utf-8")


if __name__ == "__main__":
    main()
