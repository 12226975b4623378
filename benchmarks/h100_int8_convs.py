"""Times cuDNN's int8 convolutions on a GPU, channels last, by implicit GEMM.

Run on a machine with PyTorch and a GPU: `python benchmarks/h100_int8_convs.py OUT.json`. cuDNN is
called by its C interface, as PyTorch has no int8 convolutions: int8 maps and filters, sums in int32,
results in int8. Times as in h100_narrow.py.
"""

import ctypes
import json
import sys
from glob import glob
from pathlib import Path

import torch
from gpu_probe import kernels_of, median_us

INT8, INT32, NHWC, CROSS_CORRELATION, IMPLICIT_PRECOMP = 3, 4, 1, 1, 1
LAYERS = (  # C, H, K, R, stride, pad
    (64, 56, 64, 3, 1, 1),
    (64, 56, 256, 1, 1, 0),
    (128, 28, 128, 3, 1, 1),
    (256, 56, 128, 1, 1, 0),
    (256, 14, 256, 3, 1, 1),
    (512, 7, 512, 3, 1, 1),
    (512, 28, 256, 1, 1, 0),
    (1024, 14, 2048, 1, 2, 0),
    (256, 28, 256, 3, 2, 1),
    (96, 27, 256, 5, 1, 2),
    (384, 13, 384, 3, 1, 1),
    (128, 112, 128, 3, 1, 1),
)
BATCHES = (1, 16, 64)


class Cudnn:
    """The few calls that a convolution takes."""

    def __init__(self):
        root = Path(torch.__file__).parent.parent
        library = sorted(glob(str(root / "nvidia/**/libcudnn.so*"), recursive=True))[0]
        self.lib = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        self.handle = self.made("cudnnCreate")
        stream = torch.cuda.current_stream().cuda_stream
        self.call("cudnnSetStream", self.handle, ctypes.c_void_p(stream))

    def call(self, name, *arguments):
        status = getattr(self.lib, name)(*arguments)
        if status:
            raise RuntimeError(f"{name}: status {status}")

    def made(self, name):
        found = ctypes.c_void_p()
        self.call(name, ctypes.byref(found))
        return found

    def maps(self, n, c, h, w):
        found = self.made("cudnnCreateTensorDescriptor")
        self.call("cudnnSetTensor4dDescriptor", found, NHWC, INT8, n, c, h, w)
        return found

    def convolution(self, n, c, h, k, r, stride, pad):
        """A call that runs one."""
        p = (h + 2 * pad - r) // stride + 1
        x, y = self.maps(n, c, h, h), self.maps(n, k, p, p)
        filters = self.made("cudnnCreateFilterDescriptor")
        self.call("cudnnSetFilter4dDescriptor", filters, INT8, NHWC, k, c, r, r)
        how = self.made("cudnnCreateConvolutionDescriptor")
        sizes = (pad, pad, stride, stride, 1, 1)
        self.call("cudnnSetConvolution2dDescriptor", how, *sizes, CROSS_CORRELATION, INT32)
        self.call("cudnnSetConvolutionMathType", how, 1)
        data = [
            torch.randint(-128, 128, shape, device="cuda", dtype=torch.int8)
            for shape in ((n, h, h, c), (k, r, r, c), (n, p, p, k))
        ]
        size = ctypes.c_size_t()
        descriptors = (x, filters, how, y)
        self.call(
            "cudnnGetConvolutionForwardWorkspaceSize",
            self.handle,
            *descriptors,
            IMPLICIT_PRECOMP,
            ctypes.byref(size),
        )
        space = torch.empty(max(1, size.value), dtype=torch.uint8, device="cuda")
        one, zero = ctypes.c_float(1.0), ctypes.c_float(0.0)
        at = [ctypes.c_void_p(each.data_ptr()) for each in (*data, space)]

        def run(kept=(data, space)):
            self.call(
                "cudnnConvolutionForward",
                self.handle,
                ctypes.byref(one),
                x,
                at[0],
                filters,
                at[1],
                how,
                IMPLICIT_PRECOMP,
                at[3],
                size,
                ctypes.byref(zero),
                y,
                at[2],
            )

        return run


def main(out):
    cudnn, rows = Cudnn(), []
    median_us(cudnn.convolution(1, 64, 56, 64, 3, 1, 1), True)  # clocks and libraries awake
    for c, h, k, r, stride, pad in LAYERS:
        for n in BATCHES:
            row = {"N": n, "C": c, "H": h, "W": h, "K": k, "R": r, "stride": stride, "pad": pad}
            try:
                call = cudnn.convolution(n, c, h, k, r, stride, pad)
                call()
                torch.cuda.synchronize()
            except RuntimeError as error:
                print(row, error, flush=True)
                continue
            row |= {"us_cold": round(median_us(call, True), 2)}
            row |= {"us_warm": round(median_us(call, False), 2), "kernels": kernels_of(call)}
            rows.append(row)
    document = {"device": torch.cuda.get_device_name(), "rows": rows}
    Path(out).write_text(json.dumps(document))


main(sys.argv[1])
