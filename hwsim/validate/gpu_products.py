"""Products that a GPU's library timed, beside hwsim's call.

It is with the kernel that hwsim picks and with the one that was launched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil, prod
from typing import Any

from hwsim.algorithms import lower
from hwsim.api import simulate
from hwsim.choose.kernels import best_kernels
from hwsim.describe.kernels import Kernel, Library, Tile
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.units import DTYPE_BYTES
from hwsim.ir.stage import Stage
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.timing.gpu.kernel_time import Chip, product_of, time_of
from hwsim.validate import Pair

ALIGNED_BYTES = 16
SKINNY = 64  # a dim under this


class Products:
    """Rows give M, N, K and a data type, and that of the results where it is another.

    The time with cold caches is compared, as every layer starts cold. Where a row names the kernels
    that were launched, it is timed with those, too.
    """

    def __init__(self, machine: str, rows: str = "gemm", what: str = "cuBLAS products") -> None:
        self.machine = machine
        self.file = f"{machine}_{rows}.json"
        self.summary = f"an {machine.upper()}'s {what}: times with cold caches"

    def pairs(self, data: Any) -> Iterator[Pair]:
        machine = load_machine(self.machine)
        for number, row in enumerate(data["rows"] if isinstance(data, dict) else data):
            dtype = row["dtype"]
            layer = GemmLayer(row["M"], row["N"], row["K"], dtype=dtype)
            size = "x".join(str(row[name]) for name in ("M", "N", "K"))
            name = f"{number} {size} {dtype}"
            groups = {"dtype": dtype, "shape": shape_of(layer, dtype)}
            stage = product_stage(layer, dtype, row.get("result", dtype))
            yield Pair(name, "time", row["us_cold"], _microseconds(stage, layer, machine), groups)
            given = launched(row.get("kernels", ()), layer, stage, machine)
            if given is not None:
                yield Pair(name, "time_given_kernel", row["us_cold"], given, groups)

    def remarks(self, data: Any) -> Iterator[str]:
        sm = load_machine(self.machine).compute
        assert isinstance(sm, StreamingMultiprocessor)
        if sm.library is not None and sm.library.calibration:
            yield f"{sm.library.name}: {sm.library.calibration}"


def shape_of(layer: GemmLayer, dtype: str) -> str:
    """Aligned where every dim is a multiple of 16 bytes, skinny where one is under 64."""
    words = ALIGNED_BYTES // DTYPE_BYTES[dtype]
    dims = (layer.m, layer.n, layer.k)
    aligned = all(dim % words == 0 for dim in dims)
    skinny = min(dims) < SKINNY
    return f"{'aligned' if aligned else 'misaligned'}{', skinny' if skinny else ''}"


def product_stage(layer: GemmLayer, dtype: str, result: str = "") -> Stage:
    """The one stage of a product whose results may be of a type of their own."""
    (stage,) = lower(layer, "direct").with_dtype(dtype).stages
    if result in ("", dtype):
        return stage
    output = replace(stage.output, width=DTYPE_BYTES[result])
    return replace(stage, tensors=(*stage.inputs, output))


def _microseconds(stage: Stage, layer: GemmLayer, machine: Machine) -> float:
    """Of the library's call; of a simulated layer where its results are of the product's type."""
    if stage.output.width == DTYPE_BYTES[stage.dtype or machine.dtype]:
        return simulate(layer, machine, "direct", dtype=stage.dtype).seconds * 1e6
    return best_kernels(stage, machine)[0].cycles / machine.clock_hz * 1e6


def launched(kernels: Any, layer: GemmLayer, stage: Stage, machine: Machine) -> float | None:
    """Microseconds of a call with the kernel that a row names, or None.

    It is None where the row names none that the machine's library describes.
    """
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    if not kernels or sm.library is None:
        return None
    kernel = kernel_of(kernels[0], layer, sm.library)
    if kernel is None:
        return None
    dtype = stage.dtype or machine.dtype
    times = time_of(product_of(stage), dtype, kernel, Chip.of(machine))
    return float(times.call[0]) / machine.clock_hz * 1e6


NVJET = re.compile(r"nvjet\w*?_(\d+)x(\d+)_(\d+)x(\d+)_(\d+)x(\d+)_")
XMMA = re.compile(r"(sm\d+)_xmma_gemm\w*?_tilesize(\d+)x(\d+)x(\d+)(?:_stage(\d+))?")
CUTLASS = re.compile(
    r"cutlass_(\d+)_(wmma_tensorop|tensorop|simt)_\w*?_(\d+)x(\d+)_(?:(\d+)x(\d+)_)?(?:nn|tn)_align(\d+)"
)


def kernel_of(row: Mapping[str, Any], layer: GemmLayer, library: Library) -> Kernel | None:
    """The kernel of a launch by its name in cuBLAS.

    The library computes the transposed product, so a name's first size runs along n, but for the
    xmma kernels of CUDA cores, of Ampere and of fp64.
    """
    name, blocks = row["name"], prod(row["grid"])
    threads, registers = prod(row["block"]), row["registers"]
    split, cluster = row["grid"][2], (1, 1)
    if match := NVJET.search(name):
        n, m, k, stages, along_n, along_m = (int(part) for part in match.groups())
        family = "wgmma-fp8" if "_qqtst_" in name else "wgmma"
        cluster = (along_m, along_n)
    elif match := XMMA.search(name):
        first, second, k = (int(match[part]) for part in (2, 3, 4))
        stages = int(match[5] or 0)
        if "_f64f64_" in name:
            family, m, n = "dmma", first, second
        elif match[1] == "sm90":
            family, n, m = "wgmma-tf32", first, second
            cluster = library.families[family].cluster_shapes[0]
            stages = min(8, 231424 // ((m + n) * k * 4))
        else:
            family, m, n = "ffma" if "ffma" in name else "mma-tf32", first, second
    elif match := CUTLASS.search(name):
        n, m, k = int(match[3]), int(match[4]), int(match[5] or 32)
        stages = int(match[6] or 2)
        family = _cutlass_family(match[1], match[2], int(match[7]), name)
    else:
        return None
    if family not in library.families:
        return None
    if family.startswith("wgmma"):
        tiles = prod(
            ceil(ceil(size / tile) / together) * together
            for size, tile, together in ((layer.m, m, cluster[0]), (layer.n, n, cluster[1]))
        )
        split = max(1, round(blocks / tiles)) if "splitK" in name or "segment_k_on" in name else 1
    return Kernel(library, family, Tile(m, n, k, stages, threads, registers), split, cluster)


def _cutlass_family(arch: str, operation: str, align: int, name: str) -> str:
    if operation == "simt":
        return "ffma-cutlass"
    if "_d884gemm_" in name:
        return "dmma-cutlass"
    if "_s8_" in name:
        return "mma-int8" if align >= ALIGNED_BYTES else "mma-int8-words"
    half = "_f16_" in name or "_bf16_" in name
    if operation == "wmma_tensorop":
        return "wmma-half-words" if align > 1 else "wmma-halves"
    if arch == "75":
        return "mma-halves"
    if half:
        return "mma-half-words"
    return "mma-tf32" if align == 4 else "mma-tf32-words"
