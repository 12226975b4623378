"""Fit the constants of a GPU library's kernel families to measured calls, and say how well they hold on rows left out.

    python benchmarks/calibrate_kernels.py            kernels/nvidia-hopper.yaml on h100_gemm.json, h100_narrow.json,
                                                     h100_conv.json, h100_int8_convs.json, h200_kernels.json
                                                     and h200_depthwise.json in reference/
    python benchmarks/calibrate_kernels.py ffma wgmma only these families

Least squares of log(model / measured), with large errors counted less, one constant after another until none moves;
five folds by product size. Constants start at those in the file; print them and put them there by hand.
"""

import json
import math
import random
import re
import sys
from dataclasses import replace
from functools import cache
from statistics import fmean, median

from hwsim.algorithms import lower
from hwsim.describe.catalog import data_folder
from hwsim.describe.kernels import Family, Kernel, Tile
from hwsim.describe.layer import GemmLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.units import DTYPE_BYTES, Bandwidth, Duration
from hwsim.rewrite.layout import in_layout
from hwsim.timing.gpu.kernel_time import Chip, Product, product_of, time_of
from hwsim.validate.gpu_convolutions import layer_of as convolution_of
from hwsim.validate.gpu_products import kernel_of, product_stage
from hwsim.validate.h200_depthwise import layer_of

MACHINE, FOLDS = "h100", 5
# rows of the second machine are for families whose constants hold on both; the others' are an H100's own
BOTH = ("ffma", "ffma-cutlass", "mma-tf32", "mma-tf32-words", "wgmma-tf32")
FILES = {
    "h100_gemm.json": MACHINE,
    "h100_narrow.json": MACHINE,
    "h200_kernels.json": "h200",
    "h200_doubles.json": "h200",
}
# families that were measured on the second machine alone
ELSEWHERE = ("dmma", "dmma-cutlass", "mma-int8-words")
CONVOLUTIONS = ("h100_conv.json", "h100_int8_convs.json")
SMALL = 0.06  # an error beyond this counts less than its square
CONSTANTS = {
    "ffma": ("efficiency", "prologue", "epilogue", "latency", "issue", "reduction_each"),
    "ffma-cutlass": ("efficiency", "prologue", "epilogue"),
    "wgmma": ("efficiency", "prologue", "epilogue", "tile_change"),
    "wgmma-fp8": ("efficiency", "prologue", "tile_change"),
    "mma-int8": ("efficiency", "prologue", "epilogue", "latency"),
    "mma-int8-words": ("efficiency", "prologue", "epilogue", "ingest"),
    "dmma": ("efficiency", "prologue", "epilogue", "latency"),
    "dmma-cutlass": ("efficiency", "prologue", "epilogue", "latency"),
    "conv-dgemm": ("efficiency", "prologue", "epilogue", "latency"),
    "wgmma-tf32": ("efficiency", "prologue", "epilogue"),
    "mma-tf32": ("efficiency", "prologue", "epilogue", "latency"),
    "mma-tf32-words": ("efficiency", "prologue", "epilogue", "ingest"),
    "mma-half-words": ("efficiency", "prologue", "epilogue", "ingest"),
    "mma-halves": ("efficiency", "prologue", "epilogue", "latency"),
    "wmma-halves": ("prologue", "epilogue", "latency"),
    "wmma-half-words": ("prologue", "epilogue", "latency"),
    "conv-ffma": ("efficiency", "prologue", "epilogue", "latency", "issue"),
    "conv-wgmma": ("efficiency", "prologue", "epilogue", "tile_change"),
    "conv-wgmma-int8": ("efficiency", "prologue", "epilogue", "tile_change"),
    "conv-mma-int8": ("efficiency", "prologue", "epilogue"),
    "conv-mma": ("efficiency", "prologue", "epilogue"),
    "conv-grouped": ("efficiency", "prologue", "epilogue"),
    "conv-grouped-half": ("efficiency", "prologue", "epilogue"),
    "conv-depthwise-last": ("efficiency", "prologue"),
    "conv-depthwise-last-half": ("efficiency", "prologue", "epilogue"),
    "conv-depthwise-rows": ("efficiency", "prologue", "epilogue"),
}
# pieces of the names of depthwise kernels, the first that fits: (family in fp32, in fp16)
DEPTHWISE = {
    "conv_depthwise2d": ("conv-grouped", "conv-grouped-half"),
    "grouped_direct": ("conv-grouped", "conv-grouped-half"),
    "nchw_shmem_tiling": ("", "conv-depthwise-rows"),
    "conv2d_c1_k1_nhwc": ("conv-depthwise-last", "conv-depthwise-last-half"),
    "warpsize": ("", "conv-depthwise-last-half"),
}
GAP_US = (
    2.4  # a call beyond its kernel, which is all that a conversion's neighbours say of themselves
)
XMMA = re.compile(r"(sm\d+)_xmma_fprop\w*?_tilesize(\d+)x(\d+)x(\d+)(?:_stage(\d+))?")
DGEMM = re.compile(r"implicit_convolve_dgemm<128, (\d), 7, ")
CUTLASS = re.compile(r"fprop_optimized_f16_(\d+)x(\d+)_(\d+)x(\d+)")
SHARED, EPILOGUE = 232_448, 16_660  # bytes of a block, and of them the epilogue's


def value(family: Family, name: str) -> float:
    found = getattr(family, name)
    return found if isinstance(found, float) else found.value


def with_value(family: Family, name: str, number: float) -> Family:
    old = getattr(family, name)
    if isinstance(old, float):
        return replace(family, **{name: min(1.0, number)})
    kind = Duration if isinstance(old, Duration) else Bandwidth
    return replace(
        family, **{name: kind(number, old.in_cycles if kind is Duration else old.per_cycle)}
    )


@cache
def chip_of(machine: str) -> Chip:
    return Chip.of(load_machine(machine))


class Rows:
    """Calls of one family, ready to be timed again and again."""

    def __init__(self, name, library, rows) -> None:
        self.name, self.library, self.calls = name, library, rows

    def errors(self, family: Family, calls=None) -> list[float]:
        families = {**self.library.families, self.name: family}
        library = replace(self.library, families=families)
        found = []
        for product, dtype, launched, measured, machine in calls or self.calls:
            kernel, chip = replace(launched, library=library), chip_of(machine)
            cycles = float(time_of(product, dtype, kernel, chip).call[0])
            found.append(math.log(cycles / chip.clock_hz * 1e6 / measured))
        return found

    def fit(self, family: Family, names, calls) -> Family:
        def cost(candidate: Family) -> float:
            return sum(
                SMALL**2 * (math.sqrt(1 + (e / SMALL) ** 2) - 1)
                for e in self.errors(candidate, calls)
            )

        best, step = cost(family), 0.25
        while step > 0.01:
            moved = False
            for name in names:
                for factor in (1 + step, 1 / (1 + step)):
                    candidate = with_value(family, name, value(family, name) * factor)
                    here = cost(candidate)
                    if here < best * 0.9999:
                        best, family, moved = here, candidate, True
                        break
            if not moved:
                step /= 2
        return family


def load_json(file: str) -> dict:
    return json.loads((data_folder("reference") / file).read_text())


def rows_of(file: str) -> list:
    return load_json(file)["rows"]


def convolution_calls(library) -> dict[str, list]:
    """Launches of cuDNN's implicit GEMM. Its fp32 calls are one kernel; of the others the kernel's own time is taken."""
    found: dict[str, list] = {}
    for row in [row for file in CONVOLUTIONS for row in rows_of(file)]:
        if row["algo"] != "implicit_precomp_gemm" or row["groups"] > 1:
            continue
        side = (row["H"] + 2 * row["pad"] - row["R"]) // row["stride"] + 1
        m, k, width = (
            row["N"] * side * side,
            row["C"] * row["R"] * row["S"],
            DTYPE_BYTES[row["dtype"]],
        )
        sizes = (row["N"] * row["C"] * row["H"] * row["W"], k * row["K"], m * row["K"])
        taps = row["R"] * row["S"]
        product = Product(m, row["K"], k, 1, width, width, *(size * width for size in sizes), taps)
        for launch in row["kernels"]:
            name, cluster, measured = launch["name"], (1, 1), launch["us"] + GAP_US
            if match := CUTLASS.search(name):
                family, (rows, columns, deep, stages) = "conv-mma", map(int, match.groups())
            elif match := XMMA.search(name):
                rows, columns, deep = (int(match[part]) for part in (2, 3, 4))
                narrow = "-int8" if row["dtype"] == "int8" else ""
                if match[1] == "sm90":
                    family, cluster = f"conv-wgmma{narrow}", (1, 1) if narrow else (2, 2)
                    stages = min(16, (SHARED - EPILOGUE) // ((rows + columns) * deep * width))
                elif narrow:
                    family, stages = "conv-mma-int8", int(match[5])
                elif row["dtype"] == "fp32":
                    family, stages, measured = "conv-ffma", 3, row["us_cold"]
                else:
                    continue
            else:
                continue
            tile = Tile(rows, columns, deep, stages, launch["block"][0], launch["registers"])
            found.setdefault(family, []).append(
                (
                    product,
                    row["dtype"],
                    Kernel(library, family, tile, 1, cluster),
                    measured,
                    MACHINE,
                )
            )
    return found


def double_calls(library) -> dict[str, list]:
    """cuDNN's implicit GEMM in fp64, of calls that are one kernel."""
    found = []
    for row in load_json("h200_doubles.json")["convolutions"]:
        match = DGEMM.search(row["kernels"][0]["name"])
        if match is None or len(row["kernels"]) > 1:
            continue
        layer = convolution_of(row)
        plan = lower(layer, "implicit-gemm").with_dtype(row["dtype"])
        product = product_of(in_layout(plan, layer, load_machine("h200")).stages[-1])
        rows = 2 ** int(match[1])
        threads = math.prod(row["kernels"][0]["block"])
        tile = Tile(rows, 128, 8, 1, threads, row["kernels"][0]["registers"])
        kernel = Kernel(library, "conv-dgemm", tile)
        found.append((product, row["dtype"], kernel, row["us_cold"], "h200"))
    return {"conv-dgemm": found}


def depthwise_calls(library) -> dict[str, list]:
    """PyTorch's depthwise convolutions, in both layouts."""
    found: dict[str, list] = {}
    for row in rows_of("h200_depthwise.json"):
        name, half = row["kernels"][0]["name"], row["dtype"] == "fp16"
        family = next((names[half] for piece, names in DEPTHWISE.items() if piece in name), "")
        if not family:
            continue
        layer = layer_of(row)
        plan = lower(layer, "implicit-gemm").with_dtype(row["dtype"])
        product = product_of(in_layout(plan, layer, load_machine("h200")).stages[-1])
        threads = row["kernels"][0]["block"][0] * row["kernels"][0]["block"][1]
        tiles = library.families[family].shapes
        tile = next((tile for tile in tiles if tile.threads == threads), tiles[-1])
        kernel = Kernel(library, family, tile)
        found.setdefault(family, []).append((product, row["dtype"], kernel, row["us_cold"], "h200"))
    return found


def evenly(calls: list) -> list:
    """The calls, those of the machine that has fewer again and again: both count as much."""
    sides = [[call for call in calls if call[-1] == where] for where in (MACHINE, "h200")]
    most = max(map(len, sides))
    return [call for side in sides if side for call in side * round(most / len(side))]


def regrets() -> dict[str, float]:
    """By data type: what the library's own pick takes beyond the fastest that it lists, on average."""
    products: dict[tuple, list] = {}
    for row in rows_of("h200_kernels.json"):
        key = tuple(row[name] for name in ("dtype", "M", "N", "K"))
        products.setdefault(key, []).append((row["rank"], row["us_cold"]))
    found: dict[str, list[float]] = {}
    for (dtype, *_), listed in products.items():
        rank, picked = min(listed)
        if rank == 0:
            found.setdefault(dtype, []).append(picked / min(us for _, us in listed) - 1)
    return {dtype: fmean(lost) for dtype, lost in found.items()}


def main(wanted: list[str]) -> None:
    machine = load_machine(MACHINE)
    library = machine.compute.library
    by_family: dict[str, list] = {}
    for row, where in [(row, where) for file, where in FILES.items() for row in rows_of(file)]:
        layer = GemmLayer(row["M"], row["N"], row["K"], dtype=row["dtype"])
        kernel = kernel_of(row["kernels"][0], layer, library)
        if kernel is not None and (where == MACHINE or kernel.family in (*BOTH, *ELSEWHERE)):
            stage = product_stage(layer, row["dtype"], row.get("result", ""))
            by_family.setdefault(kernel.family, []).append(
                (product_of(stage), row["dtype"], kernel, row["us_cold"], where)
            )
    by_family |= convolution_calls(library) | depthwise_calls(library) | double_calls(library)
    everything, left_out = [], []
    for name, names in CONSTANTS.items():
        if (wanted and name not in wanted) or name not in by_family:
            continue
        calls = evenly(by_family[name])
        rows = Rows(name, library, calls)
        family = rows.fit(library.families[name], names, calls)
        within = [abs(math.expm1(e)) for e in rows.errors(family)]
        sizes = sorted({(p.m, p.n, p.k) for p, *_ in calls})
        random.Random(0).shuffle(sizes)
        beyond = []
        for fold in range(FOLDS):
            held = set(sizes[fold::FOLDS])
            inside = [call for call in calls if (call[0].m, call[0].n, call[0].k) not in held]
            outside = [call for call in calls if (call[0].m, call[0].n, call[0].k) in held]
            if inside and outside:
                fitted = rows.fit(family, names, inside)
                beyond += [abs(math.expm1(e)) for e in rows.errors(fitted, outside)]
        everything += within
        left_out += beyond
        said = ", ".join(
            f"{n} {value(library.families[name], n):.4g} -> {value(family, n):.4g}" for n in names
        )
        print(
            f"{name:16} {len(calls):3} calls: mean {fmean(within):.1%} median {median(within):.1%}; "
            f"left out: {fmean(beyond):.1%} {median(beyond):.1%}; {said}",
            flush=True,
        )
    print(
        f"all: mean {fmean(everything):.1%}, median {median(everything):.1%}; left out, {FOLDS} folds: "
        f"mean {fmean(left_out):.1%}, median {median(left_out):.1%}"
    )
    said = ", ".join(f"{dtype} {lost:.1%}" for dtype, lost in regrets().items())
    print(f"the library's own pick takes, over the fastest that it lists: {said}")


main(sys.argv[1:])
