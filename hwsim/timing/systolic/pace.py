"""A stage's folds on a systolic array: how long a step streams, what follows, what it waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView
from hwsim.ir.stationary import first_spatial, is_systolic, lies_as, stationary
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.timing.explicit.array import ArrayRun, run_on_array
from hwsim.timing.explicit.tiles import Steps
from hwsim.timing.pace import Pace, Passing, Waits
from hwsim.timing.spatial.passes import pass_pace
from hwsim.timing.systolic.banks import slowdown
from hwsim.timing.systolic.folds import SHORT, FoldRules, Folds, Stays, intervals, schedule

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def run_folds(nest: Nest, machine: Machine, dtype: str) -> ArrayRun:
    """Folds where the nest lies on the cells as they pass operands on.

    Else passes, every cell fed by itself.
    """
    if not is_systolic(nest, machine.compute_name):
        return run_on_array(nest, machine, dtype, _fed_by_itself)
    return run_on_array(in_cells(nest, machine), machine, dtype, fold_pace)


def _fed_by_itself(passing: Passing) -> Pace:
    """Passes on cells that do not hand operands on, and the words that say so."""
    return replace(pass_pace(passing), kind="PE passes (every cell fed by itself, not systolic)")


def in_cells(nest: Nest, machine: Machine) -> Nest:
    """The nest with the tensor that stays in a systolic array's cells held there.

    It is added where the nest does not say so itself.

    par k on row, par n on column:        par k on row, par n on column:
      for m:                        ->      hold array: weights
                                              for m:
    """
    cells = machine.compute_name
    if any(hold.level == cells for hold in nest.holds):
        return nest
    names = tuple(
        tensor.name for tensor in nest.stage.tensors if tensor.role == stationary(nest, cells)
    )
    inside = (
        max(
            (
                number
                for number, item in enumerate(nest.items)
                if isinstance(item, Loop) and item.spatial is not None
            ),
            default=first_spatial(nest) - 1,
        )
        + 1
    )
    return replace(nest, items=(*nest.items[:inside], Hold(cells, names), *nest.items[inside:]))


def fold_pace(passing: Passing) -> Pace:
    """Raises HwsimError for a data type that the array does not multiply."""
    nest, machine, steps, dtype = passing.nest, passing.machine, passing.steps, passing.dtype
    array = machine.compute
    assert isinstance(array, SystolicArray)
    if dtype not in array.rates:
        raise HwsimError(
            f"the array does not multiply {dtype}; expected one of {', '.join(array.rates)}"
        )
    short = _what_stays(nest, machine)
    timing = FoldRules(array.preload_hidden, array.overlap_folds, array.drain, array.mac_stages)
    folds, last = _folds(nest, machine, array, steps, dtype, short)
    gaps = np.zeros(steps.count)
    gaps[last[:-1]] = intervals(folds, timing, short) - folds.stream[:-1]
    ends = schedule(folds, timing, short).cycles - float(folds.stream.sum() + gaps.sum())
    streaming = _streaming(nest, machine, array, steps, dtype)
    return Pace(
        "systolic folds",
        streaming,
        _bank_conflicts(nest, machine, steps, streaming),
        gaps,
        _rows(nest, machine, array, steps),
        float(array.rows),
        ends,
    )


def _what_stays(nest: Nest, machine: Machine) -> Stays:
    role = stationary(nest, machine.compute_name)
    assert role is not None
    return SHORT[role]


def _bank_conflicts(nest: Nest, machine: Machine, steps: Steps, streaming: Floats) -> Waits:
    """What streaming loses where the buffer that feeds the array's rows declares banks."""
    view, short = nest.stage.view, _what_stays(nest, machine)
    assert view is not None
    role = "weight" if short == "is" else "activation"
    tensor = next(tensor for tensor in nest.stage.inputs if tensor.role == role)
    held = nest.chain(tensor.name)[-2]
    part = (
        None if held is None or held.level not in machine.memories else machine.memories[held.level]
    )
    if not isinstance(part, Scratchpad) or part.banks == 1 or part.whole_banks:
        return {}
    rows, stream = {"ws": (view.k, view.m), "is": (view.k, view.n), "os": (view.m, view.k)}[short]
    beside = (*view.b, *rows)
    return {"bank conflicts": streaming * (slowdown(tensor, steps, beside, stream, part.banks) - 1)}


def _rows(nest: Nest, machine: Machine, array: SystolicArray, steps: Steps) -> Floats | None:
    """Rows of the stationary tile at every step; None where sums stay."""
    view, short = nest.stage.view, _what_stays(nest, machine)
    assert view is not None
    if short == "os":
        return None
    if array.partial_folds == "whole":
        return np.full(steps.count, float(array.rows))
    blocks = _blocks(nest, array, steps, short).on_one
    return np.asarray(steps.lengths(view.k) * blocks, np.float64)


def _lie(view: GemmView) -> dict[Stays, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The dims along rows and columns, by what stays."""
    return {short: lies_as(view, role) for role, short in SHORT.items()}


class _Blocks(NamedTuple):
    """Products of a batch on the diagonal, at every step.

    arrays: those that a product's block takes. on_one: blocks on the diagonal of an array.
    """

    products: Ints
    arrays: Ints
    on_one: Ints


def _blocks(nest: Nest, array: SystolicArray, steps: Steps, short: Stays) -> _Blocks:
    view = nest.stage.view
    assert view is not None
    down, across = _lie(view)[short]
    products = steps.lengths(view.b)
    arrays = -(-steps.lengths(down) // array.rows) * -(-steps.lengths(across) // array.cols)
    return _Blocks(products, arrays, np.where(arrays > 1, 1, -(-products // array.arrays)))


def _folds(
    nest: Nest, machine: Machine, array: SystolicArray, steps: Steps, dtype: str, short: Stays
) -> tuple[Folds, npt.NDArray[np.int64]]:
    """The folds of a nest's steps, and the last step of each.

    Slices of a reduction whose sums stay are one fold.
    """
    view = nest.stage.view
    assert view is not None
    down, across = _lie(view)[short]
    rows, columns, stream = (
        steps.lengths(down),
        steps.lengths(across),
        _streaming(nest, machine, array, steps, dtype),
    )
    last = np.arange(steps.count)
    if short == "os":
        places = np.stack([steps.lo[dim] for dim in (*view.b, *view.m, *view.n)])
        last = np.flatnonzero(np.append((places[:, 1:] != places[:, :-1]).any(axis=0), True))
        stream = np.add.reduceat(stream, np.concatenate([[0], last[:-1] + 1]))
    blocks = _blocks(nest, array, steps, short).on_one
    columns = blocks * -(-columns // -(-columns // array.cols))  # of one array
    rows = blocks * -(-rows // -(-rows // array.rows))
    if array.partial_folds == "whole":
        rows, columns = np.full_like(rows, array.rows), np.full_like(columns, array.cols)
    return Folds(rows[last], columns[last], stream), last


def _streaming(
    nest: Nest, machine: Machine, array: SystolicArray, steps: Steps, dtype: str
) -> Floats:
    """Cycles in which vectors enter, at every step."""
    view = nest.stage.view
    assert view is not None
    others = tuple(
        dim for dim, _ in nest.stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b)
    )
    short = _what_stays(nest, machine)
    vectors = steps.lengths({"ws": view.m, "is": view.n, "os": (*others, *view.k)}[short])
    if short != "os":  # a reduction is not shared: nothing would add its parts
        blocks = _blocks(nest, array, steps, short)
        needed = np.minimum(blocks.products, array.arrays) * blocks.arrays
        vectors = -(-vectors // np.maximum(1, array.arrays // needed))
    return np.asarray(vectors / array.rates[dtype], np.float64)
