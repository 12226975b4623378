"""Fit start, step and block of kernels/pytorch-rows.yaml to measured times of softmax and norms.

    python benchmarks/calibrate_rows.py

Least squares of log(model / measured) over the cold times of reference/h100_rows.json, large errors
counted less, one constant after another until none moves; then with every fifth row left out in
turn. Print them and put them into the file by hand.
"""

import json
import math
from dataclasses import replace
from statistics import fmean, median

from hwsim.api import simulate
from hwsim.describe.catalog import data_folder
from hwsim.describe.layer import ElementwiseLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.row_kernels import load_row_library
from hwsim.describe.units import Duration
from hwsim.timing.gpu import blocks, rows as model

OPERATORS = {"softmax": "softmax", "layer_norm": "layernorm", "rms_norm": "rmsnorm"}
EVENTS_US = 1.6  # what the file's two events take beyond those of h100_transformer.json
SMALL = 0.06
CONSTANTS = ("start", "step", "block")


def measured():
    """(layer, data type, microseconds) of every row of an operator on rows."""
    data = json.loads((data_folder("reference") / "h100_rows.json").read_text())
    for row in data["rows"]:
        if row["kind"] in OPERATORS:
            layer = ElementwiseLayer(1, row["cols"], row["rows"], 1, op=OPERATORS[row["kind"]])
            yield layer, row["dtype"], row["us_cold"] - EVENTS_US


class Case:
    """One row: its kernel, its nest and what it moves, found once by a simulation."""

    def __init__(self, machine, layer, dtype, microseconds):
        seen = []

        def listen(kernel, nest, _, *moved):
            seen.append((kernel, nest, moved))
            return cycles_of(kernel, nest, machine, *moved)

        cycles_of = model.row_cycles
        blocks.row_cycles = listen
        simulate(layer, machine, dtype=dtype)
        blocks.row_cycles = cycles_of
        self.kernel, self.nest, self.moved = seen[-1]
        self.machine, self.microseconds = machine, microseconds

    def error(self, family):
        kernel = replace(self.kernel, family=family)
        cycles = model.row_cycles(kernel, self.nest, self.machine, *self.moved)
        return math.log(cycles.total / self.machine.clock_hz * 1e6 / self.microseconds)


def cost(cases, family):
    return fmean(SMALL * math.sqrt(SMALL**2 + case.error(family) ** 2) for case in cases)


def fitted(cases, family):
    """The family with the constants of least cost."""
    step = 0.5
    best = cost(cases, family)
    while step > 0.002:
        moved = False
        for name in CONSTANTS:
            value = getattr(family, name).cycles(1.0)
            for factor in (1 + step, 1 / (1 + step)):
                other = replace(family, **{name: Duration(value * factor, True)})
                found = cost(cases, other)
                if found < best - 1e-9:
                    family, best, moved = other, found, True
        step = step if moved else step / 2
    return family


def main():
    machine = load_machine("h100")
    library = load_row_library("pytorch-rows")
    cases = {}
    for row in measured():
        case = Case(machine, *row)
        cases.setdefault(case.kernel.name, []).append(case)
    for name, found in cases.items():
        family = fitted(found, library.families[name])
        errors = [abs(math.exp(case.error(family)) - 1) for case in found]
        left_out = []
        for fold in range(5):
            kept = [case for number, case in enumerate(found) if number % 5 != fold]
            other = fitted(kept, library.families[name])
            left_out += [abs(math.exp(case.error(other)) - 1) for case in found[fold::5]]
        constants = {key: round(getattr(family, key).cycles(1.0)) for key in CONSTANTS}
        print(name, constants, f"{len(found)} rows, {fmean(errors):.1%} off, median")
        print(f"  {median(errors):.1%}; left out {fmean(left_out):.1%}, worst {max(left_out):.0%}")


main()
