"""Products on a systolic array as SCALE-Sim 3 counts them.

Its conventions: cycles are the index of the last one (one less than their number); every fold is
charged whole and none overlap; an operand is read from SRAM once for every fold that streams it; an
output-stationary fold's R + C skew cycles count as output writes. Samajdar et al., "SCALE-Sim:
Systolic CNN Accelerator Simulator", 2018.
"""

from __future__ import annotations

from math import ceil

from hwsim.timing.systolic.folds import Product, mapped


def scalesim_counts(
    m: int, n: int, k: int, rows: int, columns: int, stationary: str
) -> dict[str, float]:
    """Cycles, mapping efficiency in percent and SRAM counts of one product on one array.

    Raises HwsimError for an unknown dataflow.
    """
    product = mapped(m, n, k, stationary)
    down, across = ceil(product.rows / rows), ceil(product.columns / columns)
    return {
        "cycles": separate_fold_cycles(product, rows, columns, preload=stationary != "os") - 1,
        "mapping_efficiency": 100 * mapping_efficiency(product, rows, columns),
        **_sram(product, down, across, rows, columns, stationary),
    }


def _sram(
    product: Product, down: int, across: int, rows: int, columns: int, stationary: str
) -> dict[str, float]:
    """SRAM counts of a product: what stands still moves once.

    What streams along the rows is sent again for each column fold, and vice versa.
    """
    still = product.rows * product.columns
    along_rows, along_columns = (
        product.rows * product.stream * across,
        product.columns * product.stream * down,
    )
    if stationary == "os":
        ifmap, weights, outputs = (
            along_rows,
            along_columns,
            still + down * across * (rows + columns),
        )
    elif stationary == "ws":
        ifmap, weights, outputs = along_rows, still, along_columns
    else:
        ifmap, weights, outputs = still, along_rows, along_columns
    return {"sram_ifmap_reads": ifmap, "sram_filter_reads": weights, "sram_ofmap_writes": outputs}


def separate_fold_cycles(product: Product, rows: int, columns: int, preload: bool) -> int:
    """Cycles of folds one after another, each charged whole.

    A fold takes T + R + C - 2, and R more to shift a stationary tile in.
    """
    number = ceil(product.rows / rows) * ceil(product.columns / columns)
    return number * (product.stream + rows + columns - 2 + (rows if preload else 0))


def mapping_efficiency(product: Product, rows: int, columns: int) -> float:
    """Share of the cells that hold work, averaged over folds."""
    number = ceil(product.rows / rows) * ceil(product.columns / columns)
    return product.rows * product.columns / (number * rows * columns)
