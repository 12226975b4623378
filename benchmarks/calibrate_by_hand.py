"""Fit next_load and copy_operations of kernels written by hand to an H200's counters.

    python benchmarks/calibrate_by_hand.py

Least mean error of cycles over the 48 tiled kernels of reference/h200_tiled_gemm.json; then with
every fifth kernel left out in turn. Print them and put them into configs/gpu/*.yaml by hand.
"""

import json
from dataclasses import replace
from itertools import product
from statistics import fmean

from hwsim.describe.catalog import data_folder
from hwsim.describe.machine import load_machine
from hwsim.describe.units import Duration
from hwsim.validate.gpu_tiled import TILED, run_by_hand

LOADS = range(40, 130, 10)  # cycles
OPERATIONS = range(16, 46, 3)


def with_constants(machine, load, operations):
    sm = replace(machine.compute, next_load=Duration(load, True), copy_operations=float(operations))
    return replace(machine, parts={**machine.parts, machine.compute_name: sm})


def main():
    machine = load_machine("h200")
    rows = json.loads((data_folder("reference") / "h200_tiled_gemm.json").read_text())["rows"]
    rows = [row for row in rows if row["kernel"] == TILED]
    errors = {}
    for constants in product(LOADS, OPERATIONS):
        other = with_constants(machine, *constants)
        errors[constants] = [
            abs(run_by_hand(row, other).cycles.total / row["sm_cycles"] - 1) for row in rows
        ]
    best = min(errors, key=lambda constants: fmean(errors[constants]))
    print(best, f"{fmean(errors[best]):.1%} off, worst {max(errors[best]):.0%}")
    left_out = []
    for fold in range(5):
        kept = [number for number in range(len(rows)) if number % 5 != fold]
        other = min(errors, key=lambda c: fmean(errors[c][number] for number in kept))
        left_out += errors[other][fold::5]
    print(f"left out in five folds {fmean(left_out):.1%}, worst {max(left_out):.0%}")


main()
