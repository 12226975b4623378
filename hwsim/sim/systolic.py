"""A stage's folds on a systolic array: how long each step streams, what follows it, and what it waits for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwsim.errors import HwsimError
from hwsim.ir.nest import Nest
from hwsim.ir.stationary import stationary
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.sim.banks import slowdown
from hwsim.sim.buffers import Steps
from hwsim.sim.folds import SHORT, Folds, Stationary, Timing, intervals, schedule
from hwsim.sim.passes import Pace, Waits
from hwsim.spec.machine import Machine

Floats = npt.NDArray[np.float64]


def fold_pace(nest: Nest, machine: Machine, array: SystolicArray, steps: Steps, dtype: str) -> Pace:
    """Raises HwsimError for a data type that the array does not multiply."""
    if dtype not in array.rates:
        raise HwsimError(f"the array does not multiply {dtype}; expected one of {', '.join(array.rates)}")
    short = _short(nest, machine)
    timing = Timing(array.preload_hidden, array.overlap_folds, array.drain, array.mac_stages)
    folds, last = _folds(nest, machine, array, steps, dtype, short)
    gaps = np.zeros(steps.count)
    gaps[last[:-1]] = intervals(folds, timing, short) - folds.stream[:-1]
    ends = schedule(folds, timing, short).cycles - float(folds.stream.sum() + gaps.sum())
    streaming = _streaming(nest, machine, array, steps, dtype)
    return Pace("systolic folds", streaming, _bank_conflicts(nest, machine, steps, streaming), gaps, _rows(nest, machine, array, steps),
                float(array.rows), ends)


def _short(nest: Nest, machine: Machine) -> Stationary:
    role = stationary(nest, machine.compute_name)
    assert role is not None
    return SHORT[role]


def _bank_conflicts(nest: Nest, machine: Machine, steps: Steps, streaming: Floats) -> Waits:
    """What streaming loses where the buffer that feeds the array's rows declares banks."""
    view, short = nest.stage.view, _short(nest, machine)
    assert view is not None
    role = "weight" if short == "is" else "activation"
    tensor = next(tensor for tensor in nest.stage.inputs if tensor.role == role)
    held = nest.chain(tensor.name)[-2]
    part = None if held is None or held.level not in machine.memories else machine.memories[held.level]
    if not isinstance(part, Scratchpad) or part.banks == 1 or part.whole_banks:
        return {}
    rows, stream = {"ws": (view.k, view.m), "is": (view.k, view.n), "os": (view.m, view.k)}[short]
    return {"bank conflicts": streaming * (slowdown(tensor, steps, rows, stream, part.banks) - 1)}


def _rows(nest: Nest, machine: Machine, array: SystolicArray, steps: Steps) -> Floats | None:
    """Rows of the stationary tile at every step; None where sums stay."""
    view, short = nest.stage.view, _short(nest, machine)
    assert view is not None
    if short == "os":
        return None
    return np.full(steps.count, float(array.rows)) if array.partial_folds == "whole" else steps.lengths(view.k).astype(np.float64)


def _folds(nest: Nest, machine: Machine, array: SystolicArray, steps: Steps, dtype: str, short: Stationary) -> tuple[Folds, npt.NDArray[np.int64]]:
    """The folds of a nest's steps, and the last step of each: slices of a reduction whose sums stay are one fold."""
    view = nest.stage.view
    assert view is not None
    down, across = {"ws": (view.k, view.n), "is": (view.k, view.m), "os": (view.m, view.n)}[short]
    rows, columns, stream = steps.lengths(down), steps.lengths(across), _streaming(nest, machine, array, steps, dtype)
    last = np.arange(steps.count)
    if short == "os":
        places = np.stack([steps.lo[dim] for dim in (*view.b, *view.m, *view.n)])
        last = np.flatnonzero(np.append((places[:, 1:] != places[:, :-1]).any(axis=0), True))
        stream = np.add.reduceat(stream, np.concatenate([[0], last[:-1] + 1]))
    columns = -(-columns // -(-columns // array.cols))  # of one array
    if array.partial_folds == "whole":
        rows, columns = np.full_like(rows, array.rows), np.full_like(columns, array.cols)
    return Folds(rows[last], columns[last], stream), last


def _streaming(nest: Nest, machine: Machine, array: SystolicArray, steps: Steps, dtype: str) -> Floats:
    """Cycles in which vectors enter, at every step."""
    view = nest.stage.view
    assert view is not None
    others = tuple(dim for dim, _ in nest.stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b))
    short = _short(nest, machine)
    vectors = steps.lengths({"ws": view.m, "is": view.n, "os": (*others, *view.k)}[short])
    if short != "os":  # a reduction is not shared: nothing would add its parts
        needed = -(-steps.lengths(view.n if short == "ws" else view.m) // array.cols)
        vectors = -(-vectors // np.maximum(1, array.arrays // needed))
    return np.asarray(vectors / array.rates[dtype], np.float64)
