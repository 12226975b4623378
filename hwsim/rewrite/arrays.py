"""How a layer's arrays lie in memory: the order of their axes, the words of a row, blocks.

    B[k][n], 512 x 512      order n,k          ld 528                    block 16
    k0: n0 n1 .. n511       n0: k0 k1 ..       k0: n0 .. n511, 16 free   n0..n15 of k0, of k1 ..
    k1: n0 n1 .. n511       n1: k0 k1 ..       k1: n0 .. n511, 16 free   n16..n31 of k0, of k1 ..

Caches see addresses, so the same loops miss more or less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError, nearest
from hwsim.ir.stage import Plan
from hwsim.ir.tensor import Array, Tensor

FORM = "B=n,k or B=ld:528 or B=block:16, or several of them such as B=n,k,ld:528"


def read_arrays(texts: tuple[str, ...]) -> dict[str, Array]:
    """Arrays as a user writes them: 'B=n,k,ld:528'. Raises HwsimError for what is wrong."""
    found: dict[str, Array] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or not name or not rest:
            raise HwsimError(f"array {text!r}; expected {FORM}")
        if name in found:
            raise HwsimError(f"array {name} is given twice; expected it once")
        numbers = {"ld": 0, "block": 0}
        order = []
        for word in rest.split(","):
            key, colon, value = word.partition(":")
            if not colon:
                order.append(word)
            elif key not in numbers:
                raise HwsimError(f"array {text}: {word!r}{nearest(key, numbers)}; expected {FORM}")
            elif numbers[key]:
                raise HwsimError(f"array {text}: {key} is given twice; expected it once")
            elif not re.fullmatch(r"[1-9]\d{0,8}", value, re.ASCII):
                raise HwsimError(f"array {text}: {word!r}; expected a number of words")
            else:
                numbers[key] = int(value)
        found[name] = Array(tuple(order), numbers["ld"], numbers["block"])
    return found


def place_arrays(plan: Plan, arrays: Mapping[str, Array], machine: Machine) -> Plan:
    """The plan with its arrays so. Raises HwsimError for an array or axis that it does not have."""
    if not arrays:
        return plan
    if machine.management == "explicit":
        raise HwsimError(
            f"{machine.name} moves tiles by their words; expected a machine with caches, which see "
            f"how arrays lie"
        )
    names = {tensor.name for stage in plan.stages for tensor in stage.tensors}
    for name, array in arrays.items():
        for _, fault in array.faults():
            raise HwsimError(f"array {name}: {fault}")
        if name not in names:
            raise HwsimError(
                f"no array {name!r} in {plan.algorithm}{nearest(name, names)}; expected one of "
                f"{', '.join(sorted(names))}"
            )
        _check_alike(plan, name)
    stages = []
    for stage in plan.stages:
        tensors = tuple(
            _laid(tensor, arrays[tensor.name]) if tensor.name in arrays else tensor
            for tensor in stage.tensors
        )
        stages.append(replace(stage, tensors=tensors))
    return replace(plan, stages=tuple(stages))


def _check_alike(plan: Plan, name: str) -> None:
    """An array lies one way for all who see it.

    Raises HwsimError where stages see it by other axes, or in parts.
    """
    tensors = [tensor for stage in plan.stages for tensor in stage.tensors]
    seen = [tensor for tensor in tensors if name in (tensor.name, tensor.buffer)]
    shapes = {(tuple(axis.size for axis in tensor.axes), tensor.order) for tensor in seen}
    if len(shapes) > 1 or any(tensor.part_of for tensor in seen):
        raise HwsimError(
            f"{name} is seen as another shape, or in parts, by some stages of {plan.algorithm}; "
            f"expected an array that all see alike"
        )


def _laid(tensor: Tensor, array: Array) -> Tensor:
    axes = [axis.dims[0] if axis.dims else "" for axis in tensor.axes]
    layout = tensor.layout
    if array.order:
        if sorted(array.order) != sorted(axes):
            raise HwsimError(
                f"{tensor.name} in the order {','.join(array.order)}; expected its axes "
                f"{','.join(axes)} in any order"
            )
        layout = tuple(axes.index(letter) for letter in array.order)
    laid = replace(tensor, layout=layout, ld=array.ld, block=array.block, stated=True)
    row = laid.fastest.size
    if array.ld and array.ld < row:
        raise HwsimError(f"{tensor.name}: ld {array.ld} is less than a row of {row} words")
    return laid
