"""How the code itself is written: the length of functions, of files, of lists of parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hwsim

PACKAGE = Path(hwsim.__file__).parent
COMPILED = ("kernel", "jit", "inline")  # decorators of kernels, which are flat on purpose
LONGEST, MOST_PARAMETERS = 60, 8
PROSE = ("lessons", "teach")  # what lessons say
NAMED = ("api.py", "cli")  # options that callers name one by one


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Every function of the package that is not a kernel, with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not is_compiled(node):
                yield path.relative_to(PACKAGE), node


def is_compiled(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(mark).startswith(COMPILED) for mark in function.decorator_list)


def test_functions_are_short() -> None:
    long = [
        f"{path}: {function.name}"
        for path, function in functions()
        if (function.end_lineno or 0) - function.lineno >= LONGEST and path.parts[0] not in PROSE
    ]
    assert not long


def test_functions_take_few_parameters() -> None:
    """Options that are given by name alone are not counted."""
    many = [
        f"{path}: {function.name}"
        for path, function in functions()
        if len([own for own in function.args.args if own.arg not in ("self", "cls")])
        > MOST_PARAMETERS
        and path.parts[0] not in NAMED
    ]
    assert not many
