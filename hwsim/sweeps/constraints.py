"""Constraints of a sweep: arithmetic and comparisons of a point's values and its machine's sizes.

parts.array.rows * parts.array.cols <= 4096      values of axes, sizes in bytes, rates in B/s
array.rows >= array.cols                         the end of a name is enough
multipliers * batch < 1e6                        what MEASURED knows of a machine
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hwsim.describe.machine import Machine
from hwsim.describe.units import PARSERS, Bandwidth, Duration
from hwsim.errors import HwsimError, about, nearest, shortened
from hwsim.sweeps.rows import area_mm2, multipliers, on_chip_bytes

MOST_CHARACTERS = 500
MEASURED: dict[str, Callable[[Machine], float]] = {
    "multipliers": multipliers,
    "on_chip_bytes": on_chip_bytes,
    "area_mm2": area_mm2,
    "clock_hz": lambda machine: machine.clock_hz,
}
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Constraint:
    """text: as written. names: of all axes, which it may name by their ends."""

    text: str
    names: tuple[str, ...]

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > MOST_CHARACTERS:
            raise HwsimError(f"a constraint of {len(self.text)} characters; expected a short one")
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError) as error:
            raise self._wrong(f"cannot be read ({getattr(error, 'msg', error)})") from None

    @cached_property
    def of_machine(self) -> bool:
        """Does it name what only the machine itself knows?"""
        return any(name in MEASURED for name in self._named())

    def check(self) -> None:
        """Raises HwsimError for what is no constraint, and for a name that no axis has."""
        for name in self._named():
            self._axis(name)
        if not isinstance(self._tree, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            raise self._wrong("compares nothing")
        self._check(self._tree)

    def holds(self, values: Mapping[str, str], machine: Machine | None) -> bool:
        """Does the constraint hold for a point?

        machine: its own, where the constraint needs one. Raises HwsimError for words that are
        compared by size.
        """
        try:
            return bool(self._value(self._tree, values, machine))
        except TypeError:
            raise self._wrong("compares words by their size") from None
        except ZeroDivisionError:
            return False

    def _wrong(self, what: str) -> HwsimError:
        return HwsimError(
            f"constraint {shortened(repr(self.text))} {what}; expected arithmetic and a "
            f"comparison, such as array.rows * array.cols <= 4096"
        )

    def _named(self) -> list[str]:
        """The names in it: a dotted one is one."""
        inner = {id(node.value) for node in ast.walk(self._tree) if isinstance(node, ast.Attribute)}
        return [
            ast.unparse(node)
            for node in ast.walk(self._tree)
            if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in inner
        ]

    def _axis(self, name: str) -> str:
        """The axis that a name means. Raises HwsimError for none and for several."""
        if name in self.names or name in MEASURED:
            return name
        found = [known for known in self.names if known.endswith(f".{name}")]
        if len(found) == 1:
            return found[0]
        known = (*self.names, *MEASURED)
        raise self._wrong(f"names {name!r}{nearest(name, known)}; known: {', '.join(known)}")

    def _check(self, node: ast.AST) -> None:
        """Nothing but arithmetic, comparisons, and, or, not."""
        fine = (ast.BinOp, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Name, ast.Attribute)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return
        if not isinstance(node, fine):
            raise self._wrong(f"has {type(node).__name__.lower()}")
        if isinstance(node, (ast.Name, ast.Attribute)):
            return
        if isinstance(node, ast.BinOp) and type(node.op) not in BINARY:
            raise self._wrong(f"has {type(node.op).__name__.lower()}")
        if isinstance(node, ast.Compare) and any(type(op) not in COMPARED for op in node.ops):
            raise self._wrong("has a comparison that is none of < <= > >= == !=")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._check(child)

    def _value(self, node: ast.expr, values: Mapping[str, str], machine: Machine | None) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = self._axis(ast.unparse(node))
            if name in MEASURED:
                assert machine is not None
                return MEASURED[name](machine)
            return number_of(values[name])
        if isinstance(node, ast.BinOp):
            sides = [self._value(side, values, machine) for side in (node.left, node.right)]
            return BINARY[type(node.op)](*sides)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, values, machine)
            return not value if isinstance(node.op, ast.Not) else -value
        if isinstance(node, ast.BoolOp):
            parts = (self._value(part, values, machine) for part in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        assert isinstance(node, ast.Compare)
        sides = [self._value(side, values, machine) for side in (node.left, *node.comparators)]
        return all(
            COMPARED[type(op)](left, right)
            for op, left, right in zip(node.ops, sides, sides[1:], strict=False)
        )


def number_of(text: str) -> float | str:
    """A value as a number: as it is, or in bytes, bytes a second, hertz, seconds; words stay."""
    with suppress(ValueError):
        return float(text)
    for parse in PARSERS.values():
        with suppress(ValueError):
            value = parse(text)
            return float(value.value if isinstance(value, (Bandwidth, Duration)) else value)
    return text


def constraints_of(texts: Sequence[str], names: Sequence[str]) -> tuple[Constraint, ...]:
    """Raises HwsimError for one that cannot be read or names no axis."""
    found = tuple(Constraint(text, tuple(names)) for text in texts)
    for number, one in enumerate(found):
        with about(f"where[{number}]"):
            one.check()
    return found
