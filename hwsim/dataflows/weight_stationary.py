"""Weight-stationary: a tile of weights stays in the array while activations stream past and sums step down.

              columns: filters
            w00 w01 w02 w03   <- stay
    a  ->   w10 w11 w12 w13
    a  ->   w20 w21 w22 w23      rows: the reduction (k of the product)
             |   |   |   |
             v   v   v   v    accumulators
"""

from __future__ import annotations

from dataclasses import replace

from hwsim.dataflows import DATAFLOWS, Dataflow, Placement, held_width, tile_bytes
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView, Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.spec.machine import Machine
from hwsim.units import size_text


class WeightStationary:
    """for b, m-block: [buffer] for m-tile, n-fold: [accumulators] for taps, k-fold: [weights] par k, par n: for m."""

    name = "weight-stationary"
    summary = "a weight tile stays in the array, activations stream past"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, (SystolicArray, PeArray)):
            return "it needs an array of cells"
        return None if stage.view is not None else "the stage is no matrix product"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        view, array = stage.view, machine.compute
        assert view is not None and isinstance(array, (SystolicArray, PeArray))
        extents = dict(stage.bounds)
        others = tuple(dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b))
        rows = split_group(view.k, extents, array.rows)
        columns = split_group(view.n, extents, _columns_that_fit(stage, machine, placement, array))
        strip = split_group(view.m, extents, _accumulator_rows(machine, placement))
        block = _buffer_block(stage, machine, placement, view, strip)
        inner_activation, inner_weight, inner_output = (_inner_levels(machine, role) for role in ("activation", "weight", "output"))
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *points(view.b),
            *tiles(block, view.m),
            *_buffer_hold(stage, machine, placement),
            *tiles({dim: min(strip[dim], block[dim]) for dim in view.m}, view.m),
            *tiles(columns, view.n),
            *_chip_holds(stage, machine, "output", inner_output),
            *points(others),
            *tiles(rows, view.k),
            *_chip_holds(stage, machine, "weight", inner_weight),
            *points(view.k, "row"),
            *points(view.n, "column"),
            *_cell_holds(stage, machine, "weight", inner_weight),
            *points(view.m),
            *_cell_holds(stage, machine, "activation", inner_activation),
            *_cell_holds(stage, machine, "output", inner_output),
        ]
        return Nest(stage, drop_idle(stage, items), self.name)


def _pad(machine: Machine, level: str) -> Scratchpad:
    part: Scratchpad = machine.part(level, Scratchpad)
    return part


def _buffer(machine: Machine) -> str:
    chain = machine.chain("activation")
    if len(chain) < 2:
        raise HwsimError(f"{machine.name}: no on-chip memory holds activations; expected a scratchpad between DRAM and the array")
    return chain[1]


def _inner_levels(machine: Machine, role: str) -> tuple[str, ...]:
    """The memories of a role inside the chip's buffer."""
    chain = machine.chain(role)  # type: ignore[arg-type]
    buffer = _buffer(machine)
    return tuple(name for name in chain[1:] if name != buffer)


def _chip_holds(stage: Stage, machine: Machine, role: str, levels: tuple[str, ...]) -> tuple[Hold, ...]:
    names = tuple(tensor.name for tensor in stage.tensors if tensor.role == role)
    return tuple(Hold(level, names, buffers=_pad(machine, level).buffers) for level in levels if _pad(machine, level).per == "chip")


def _cell_holds(stage: Stage, machine: Machine, role: str, levels: tuple[str, ...]) -> tuple[Hold, ...]:
    names = tuple(tensor.name for tensor in stage.tensors if tensor.role == role)
    return tuple(Hold(level, names) for level in levels if _pad(machine, level).per == "pe")


def _buffer_hold(stage: Stage, machine: Machine, placement: Placement) -> tuple[Hold, ...]:
    level = _buffer(machine)
    names = placement.without_resident(stage, _pad(machine, level).roles)
    return (Hold(level, names, buffers=_pad(machine, level).buffers),) if names else ()


def _columns_that_fit(stage: Stage, machine: Machine, placement: Placement, array: SystolicArray | PeArray) -> int:
    """Columns of the array that a weight tile as high as it may fill, all buffers of it in the memory before the cells."""
    weights = next(tensor for tensor in stage.inputs if tensor.role == "weight")
    columns = array.cols
    for level in _inner_levels(machine, "weight"):
        part = _pad(machine, level)
        if part.per == "chip":
            columns = min(columns, placement.room(machine, level) // (array.rows * weights.width * part.buffers))
    return max(1, columns)


def _accumulator_rows(machine: Machine, placement: Placement) -> int:
    """How many rows of the output the innermost chip-wide memory of partial sums holds, all columns wide."""
    array = machine.compute
    assert isinstance(array, (SystolicArray, PeArray))
    levels = [level for level in machine.chain("output")[1:] if _pad(machine, level).per == "chip"]
    part = _pad(machine, levels[-1])
    width = part.word_bytes or array.accumulator_bytes
    return max(1, placement.room(machine, levels[-1]) // (width * array.cols * part.buffers * (2 if len(levels) == 1 else 1)))


def _buffer_block(stage: Stage, machine: Machine, placement: Placement, view: GemmView, strip: dict[str, int]) -> dict[str, int]:
    """The box of m whose activations and outputs are in the buffer at a time: the strip, halved until it fits.

    Halos are kept from one box to the next, so small boxes cost no traffic and let loads hide behind compute.
    Raises HwsimError naming the buffer and the tensor when one row of m does not fit.
    """
    level = _buffer(machine)
    part = _pad(machine, level)
    names = placement.without_resident(stage, part.roles)
    moving = [tensor for tensor in stage.tensors if tensor.name in names]
    room = placement.room(machine, level)
    whole = {dim: bound for dim, bound in stage.bounds if dim not in (*view.m, *view.b)}

    def needs(block: dict[str, int]) -> int:
        return sum(tile_bytes(replace(tensor, width=held_width(machine, stage, tensor)), {**whole, **block})
                   for tensor in moving) * part.buffers

    block = dict(strip)
    while needs(block) > room:
        dim = next((dim for dim in view.m if block[dim] > 1), None)
        if dim is None:
            worst = max(moving, key=lambda tensor: tile_bytes(tensor, {**whole, **block}))
            raise HwsimError(f"{machine.name}: {stage.name}: the smallest tile needs {size_text(needs(block))} of {level}, "
                             f"which has {size_text(room)}; most of it is {worst.name}")
        block[dim] = -(-block[dim] // 2)
    return block


DATAFLOWS.register("weight-stationary")(_flow := WeightStationary())
_checked: Dataflow = _flow
