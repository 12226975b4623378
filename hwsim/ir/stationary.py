"""Which tensor stays still in an array of cells: read off the nest, whatever the nest is called.

    par k on row, par n on column:     each cell has one (k, n)
      for m:                           which m does not move: B[k][n], the weights, stay

    par g on diagonal:                 groups beside each other, none in another's rows or columns
      par k on row, par n on column:   (weights: zeros around them)
        for m:

A tensor stays when no temporal loop inside the spatial ones moves it. Of several that stay, the one
that lies along most axes of the array is meant: its words differ from cell to cell.
"""

from __future__ import annotations

from math import prod

from hwsim.describe.machine import Machine, Role
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import GemmView

FIRST: tuple[Role, ...] = ("weight", "output", "activation")


def first_spatial(nest: Nest) -> int:
    """The number of the first spatial loop; without one, of what follows the last memory."""
    for number, item in enumerate(nest.items):
        if isinstance(item, Loop) and item.spatial is not None:
            return number
    return max(number for number, item in enumerate(nest.items) if isinstance(item, Hold)) + 1


def steps_outside(nest: Nest) -> int:
    """Steps of the temporal loops outside the array, at most."""
    loops = (item for item in nest.items[: first_spatial(nest)] if isinstance(item, Loop))
    return prod(nest.bound(loop) for loop in loops)


def spread(nest: Nest) -> dict[str, tuple[str, ...]]:
    """{axis of the array: dims that are laid out along it}."""
    found: dict[str, tuple[str, ...]] = {}
    for loop in nest.loops:
        if loop.spatial is not None and nest.bound(loop) > 1:
            found[loop.spatial] = (*found.get(loop.spatial, ()), loop.dim)
    return found


def stationary(nest: Nest, cells: str) -> Role | None:
    """The role of the tensor that stays in the cells while the loops inside run, or None.

    It is None when all move.

    cells: the array's name; a nest that holds a tensor there says which one is meant where several
    stay.
    """
    inside = nest.items[first_spatial(nest) :]
    moving = {
        loop.dim
        for loop in inside
        if isinstance(loop, Loop) and loop.spatial is None and nest.bound(loop) > 1
    }
    axes = spread(nest).values()
    staying = {
        tensor.role: sum(any(dim in tensor.dims for dim in dims) for dims in axes)
        for tensor in nest.stage.tensors
        if not moving & set(tensor.dims)
    }
    said = {
        nest.stage.tensor(name).role
        for hold in nest.holds
        if hold.level == cells
        for name in hold.tensors
    }
    return max(
        staying, key=lambda role: (role in said, staying[role], -FIRST.index(role)), default=None
    )


def lies_as(view: GemmView, role: Role) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The dims along an array's rows and columns when this tensor stays."""
    return {"weight": (view.k, view.n), "activation": (view.k, view.m), "output": (view.m, view.n)}[
        role
    ]


def is_systolic(nest: Nest, cells: str) -> bool:
    """Does the nest lie on an array whose cells pass operands on?

    Sums go down the columns, or stay where they are. Products of a batch lie along the diagonal.
    """
    role, view = stationary(nest, cells), nest.stage.view
    if role is None or view is None:
        return False
    rows, columns = lies_as(view, role)
    axes = spread(nest)
    return (
        set(axes) <= {"row", "column", "diagonal"}
        and set(axes.get("diagonal", ())) <= set(view.b)
        and set(axes.get("row", ())) <= set(rows)
        and set(axes.get("column", ())) <= set(columns)
    )


def keeps_filters(nest: Nest, machine: Machine) -> bool:
    """Do the PEs of a convolution's nest hold a pass' filters in their scratchpads?

    Rows of inputs and sums then stream past them.

    Such passes are row-stationary, whatever they are called: a filter stays through all temporal
    loops of the pass.
    """
    if nest.stage.view is None or "q" not in nest.stage.extents:
        return False
    places = {tensor.role: _cell_place(nest, machine, tensor.name) for tensor in nest.stage.tensors}
    if None in places.values():
        return False
    before = nest.items[first_spatial(nest) : places["weight"]]
    return all(loop.spatial is not None for loop in before if isinstance(loop, Loop))


def _cell_place(nest: Nest, machine: Machine, tensor: str) -> int | None:
    """The number of the item that holds a tensor in the PEs' own scratchpads."""
    return next(
        (
            number
            for number, item in enumerate(nest.items)
            if isinstance(item, Hold)
            and tensor in item.tensors
            and item.level in machine.memories
            and machine.memories[item.level].per == "pe"
        ),
        None,
    )
