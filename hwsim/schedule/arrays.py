"""What the array dataflows share: the levels around an array, and tiles that fit them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from hwsim.describe.machine import Machine, Role
from hwsim.describe.units import size_text
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold
from hwsim.ir.stage import GemmView, Stage
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.systolic import SystolicArray
from hwsim.rewrite.placement import Placement, held_width
from hwsim.schedule.dataflows import tile_bytes

# as SCALE-Sim names them
STATIONARY = {
    "weight-stationary": "ws",
    "input-stationary": "is",
    "output-stationary": "os",
}


def needs_cells(stage: Stage, machine: Machine) -> str | None:
    """Why a stage does not go onto an array of cells, or None."""
    if not isinstance(machine.compute, (SystolicArray, PeArray)):
        return "it needs an array of cells"
    return None if stage.view is not None else "the stage is no matrix product"


def beside_on(
    array: SystolicArray | PeArray, stage: Stage, rows: int, columns: int
) -> tuple[int, ...]:
    """How many products of a stage's batch may lie on the diagonal, rows x columns cells each.

    They are as many as fit, in even parts, and half, a quarter, ... of them, down to one; products
    of the batch's innermost dim alone lie there.
    """
    view = stage.view
    if not isinstance(array, SystolicArray) or view is None or not view.b:
        return (1,)
    products = stage.extents[view.b[-1]]
    most = ceil(products / ceil(products / array.on_diagonal(rows, columns)))
    return tuple(most >> power for power in range(most.bit_length()))


def scratchpad(machine: Machine, level: str) -> Scratchpad:
    part: Scratchpad = machine.part(level, Scratchpad)
    return part


def buffer(machine: Machine) -> str:
    chain = machine.chain("activation")
    if len(chain) < 2:
        raise HwsimError(
            f"{machine.name}: no on-chip memory holds activations; expected a scratchpad between "
            f"DRAM and the array"
        )
    return chain[1]


def inner_levels(machine: Machine, role: Role) -> tuple[str, ...]:
    """The memories of a role inside the chip's buffer."""
    chain = machine.chain(role)
    first = buffer(machine)
    return tuple(name for name in chain[1:] if name != first)


def chip_holds(
    stage: Stage, machine: Machine, placement: Placement, role: Role
) -> tuple[Hold, ...]:
    """The chip's memories of a role inside its buffer."""
    holds = (
        Hold(
            level,
            placement.moving(stage, machine, level, (role,)),
            buffers=scratchpad(machine, level).buffers,
        )
        for level in inner_levels(machine, role)
        if scratchpad(machine, level).per == "chip"
    )
    return tuple(hold for hold in holds if hold.tensors)


def cell_holds(
    stage: Stage, machine: Machine, role: str, levels: tuple[str, ...]
) -> tuple[Hold, ...]:
    names = tuple(tensor.name for tensor in stage.tensors if tensor.role == role)
    return tuple(Hold(level, names) for level in levels if scratchpad(machine, level).per == "pe")


def still(stage: Stage, machine: Machine, role: str, levels: tuple[str, ...]) -> tuple[Hold, ...]:
    """The tensor that stays in the cells: in scratchpads of their own, or in the array itself."""
    names = tuple(tensor.name for tensor in stage.tensors if tensor.role == role)
    return cell_holds(stage, machine, role, levels) or (Hold(machine.compute_name, names),)


def buffer_hold(stage: Stage, machine: Machine, placement: Placement) -> tuple[Hold, ...]:
    level = buffer(machine)
    names = placement.moving(stage, machine, level, scratchpad(machine, level).roles)
    return (Hold(level, names, buffers=scratchpad(machine, level).buffers),) if names else ()


def buffer_block(
    stage: Stage, machine: Machine, placement: Placement, view: GemmView, strip: dict[str, int]
) -> dict[str, int]:
    """The box of m whose activations and outputs are in the buffer at a time.

    It is the strip, halved until it fits.

    Halos are kept from one box to the next, so small boxes cost no traffic and let loads hide
    behind compute. Raises HwsimError naming the buffer and the tensor when one row of m does not
    fit.
    """
    level = buffer(machine)
    part = scratchpad(machine, level)
    names = placement.moving(stage, machine, level, part.roles)
    moving = [tensor for tensor in stage.tensors if tensor.name in names]
    room = placement.room(machine, level)
    whole = {dim: bound for dim, bound in stage.bounds if dim not in (*view.m, *view.b)}

    def needs(block: dict[str, int]) -> int:
        return (
            sum(
                tile_bytes(
                    replace(tensor, width=held_width(machine, stage, tensor)), {**whole, **block}
                )
                for tensor in moving
            )
            * part.buffers
        )

    block = dict(strip)
    while needs(block) > room:
        dim = next((dim for dim in view.m if block[dim] > 1), None)
        if dim is None:
            worst = max(moving, key=lambda tensor: tile_bytes(tensor, {**whole, **block}))
            raise HwsimError(
                f"{machine.name}: {stage.name}: the smallest tile needs {size_text(needs(block))} "
                f"of {level}, "
                f"which has {size_text(room)}; most of it is {worst.name}"
            )
        block[dim] = -(-block[dim] // 2)
    return block


def weight_words(stage: Stage, machine: Machine, placement: Placement) -> int:
    """Weights that one tile of the last chip-wide memory before the cells holds.

    All its buffers are counted; there is no limit without one.
    """
    weights = next(tensor for tensor in stage.inputs if tensor.role == "weight")
    rooms = [
        weights.words_in(placement.room(machine, hold.level) / hold.buffers)
        for hold in chip_holds(stage, machine, placement, "weight")
    ]
    return min(rooms, default=stage.iterations)


def other_dims(stage: Stage, view: GemmView) -> tuple[str, ...]:
    """Dims outside the matrix product: a direct convolution's taps."""
    return tuple(dim for dim, _ in stage.bounds if dim not in (*view.m, *view.n, *view.k, *view.b))
