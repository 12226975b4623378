"""Fit the constants of PyTorch's kernels of rows and on maps to measured times.

    python benchmarks/calibrate_passes.py rows|maps|windows [FAMILY ...]

Least squares of log(model / measured) over the cold times of reference/h100_rows.json,
h100_maps.json or h100_windows.json, large errors counted less, one constant after another until
none moves; then with every fifth row left out in turn. Print them and put them into
kernels/pytorch-rows.yaml or pytorch-maps.yaml by hand.
"""

import json
import math
import random
import sys
from dataclasses import replace
from statistics import fmean, median

from hwsim.api import simulate
from hwsim.describe.catalog import data_folder
from hwsim.describe.layer import ConvLayer, ElementwiseLayer, PoolLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.units import Duration
from hwsim.timing.gpu import blocks, passes as model

ROWS = {"softmax": "softmax", "layer_norm": "layernorm", "rms_norm": "rmsnorm"}
MAPS = ("relu", "add", "bias", "batchnorm")
POOLS = {"maxpool2": "max", "maxpool3": "max", "avgpool2": "avg", "avgpool3": "avg"}
ROWS_EVENTS_US = 1.6  # what the file's two events take beyond those of h100_transformer.json
EVENTS_US = 1.4  # what two events take beside the kernels of h100_windows.json
SMALL = 0.06
CONSTANTS = ("start", "step", "block", "tap")


def rows():
    """(layer, data type, microseconds) of every operator on rows."""
    for row in read("h100_rows.json"):
        if row["kind"] in ROWS:
            layer = ElementwiseLayer(1, row["cols"], row["rows"], 1, op=ROWS[row["kind"]])
            yield layer, row["dtype"], row["us_cold"] - ROWS_EVENTS_US


def maps():
    """(layer, data type, microseconds) of every operator on maps."""
    for row in read("h100_maps.json"):
        n, c, h, op, layout = (row[name] for name in ("n", "c", "h", "op", "layout"))
        if op in MAPS:
            layer = ElementwiseLayer(n, c, h, h, op=op, layout=layout)
        elif op in POOLS:
            size, pad = int(op[-1]), int(op[-1]) // 3
            layer = PoolLayer(
                n, c, h, h, size, size, stride=2, pad=pad, op=POOLS[op], layout=layout
            )
        else:
            continue
        yield layer, row["dtype"], row["us_cold"]


def windows():
    """(layer, data type, microseconds) of windows written out, as im2col's first stage."""
    for row in read("h100_windows.json"):
        if row["op"] == "unfold":
            n, c, h, taps = (row[name] for name in ("n", "c", "h", "taps"))
            layer = ConvLayer(n, c, h, h, 8, taps, taps, stride=1, pad=taps // 2)
            yield layer, row["dtype"], row["us_cold"] - EVENTS_US


def read(file):
    return json.loads((data_folder("reference") / file).read_text())["rows"]


class Case:
    """One row: its kernel, its nest and what it moves, found once by a simulation."""

    def __init__(self, machine, layer, dtype, microseconds):
        seen = []

        def listen(kernel, nest, _, *moved):
            seen.append((kernel, nest, moved))
            return cycles_of(kernel, nest, machine, *moved)

        cycles_of = model.pass_cycles
        blocks.pass_cycles = listen
        simulate(layer, machine, "im2col", dtype=dtype)
        blocks.pass_cycles = cycles_of
        self.kernel, self.nest, self.moved = seen[-1] if seen else (None, None, None)
        self.machine, self.microseconds, self.layer = machine, microseconds, layer

    def error(self, family):
        kernel = replace(self.kernel, family=family)
        cycles = model.pass_cycles(kernel, self.nest, self.machine, *self.moved)
        return math.log(cycles.total / self.machine.clock_hz * 1e6 / self.microseconds)


def cost(cases, family):
    return fmean(SMALL * math.sqrt(SMALL**2 + case.error(family) ** 2) for case in cases)


def value(family, name):
    constant = getattr(family, name)
    return constant.cycles(1.0) if isinstance(constant, Duration) else constant


def scaled(family, name, factor):
    constant = value(family, name) * factor
    whole = Duration(constant, True) if name != "tap" else constant
    return replace(family, **{name: whole})


def fitted(cases, family):
    """The family with the constants of least cost."""
    step = 0.5
    names = [name for name in CONSTANTS if hasattr(family, name)]
    best = cost(cases, family)
    while step > 0.002:
        moved = False
        for name in names:
            for factor in (1 + step, 1 / (1 + step)):
                other = scaled(family, name, factor)
                found = cost(cases, other)
                if found < best - 1e-9:
                    family, best, moved = other, found, True
        step = step if moved else step / 2
    return family


def main(kind, *only):
    machine = load_machine("h100")
    sm = machine.compute
    library = sm.row_library if kind == "rows" else sm.map_library
    cases = {}
    for row in {"rows": rows, "maps": maps, "windows": windows}[kind]():
        case = Case(machine, *row)
        if case.kernel is not None:
            cases.setdefault(case.kernel.name, []).append(case)
    for name, found in cases.items():
        if only and name not in only:
            continue
        random.Random(0).shuffle(found)  # a fold has some of every number of taps
        family = fitted(found, library.families[name])
        errors = [abs(math.exp(case.error(family)) - 1) for case in found]
        left_out = []
        for fold in range(5):
            kept = [case for number, case in enumerate(found) if number % 5 != fold]
            other = fitted(kept, library.families[name])
            left_out += [abs(math.exp(case.error(other)) - 1) for case in found[fold::5]]
        constants = {key: round(value(family, key), 3) for key in CONSTANTS if hasattr(family, key)}
        print(name, constants, f"{len(found)} rows, {fmean(errors):.1%} off, median")
        print(f"  {median(errors):.1%}; left out {fmean(left_out):.1%}, worst {max(left_out):.0%}")


main(*sys.argv[1:])
