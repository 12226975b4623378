"""The tiled product, really executed: every iteration runs, and every word says in which step it
was held last.

for m0, n0, k0 step v1, v2, v3:
  load the words of A and B that the step before did not hold, store those of C that are held no
  longer for m, n, k of the tiles:
    C[m][n] += A[m][k] * B[k][n]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.compiled import about_to_run, kernel

jit: Any = kernel(nogil=True)
A, B, C = 0, 1, 2


def execute(m: int, n: int, k: int, v1: int, v2: int, v3: int) -> dict[str, int]:
    """Words loaded and stored, and the most held at once, of an m x n x k product in tiles of v1 x
    v2, v3 of the reduction at a time.

    Raises AssertionError when the product came out wrong.
    """
    about_to_run(_run)
    dice = np.random.default_rng(0)
    a, b = dice.integers(-3, 4, (m, k)), dice.integers(-3, 4, (k, n))
    c = np.zeros((m, n), np.int64)
    held = tuple(np.full(array.shape, -1, np.int64) for array in (a, b, c))
    moved, most = np.zeros(3, np.int64), np.zeros(3, np.int64)
    _run(a, b, c, v1, v2, v3, *held, moved, most)
    assert np.array_equal(c, a @ b)
    return {
        "A loads": int(moved[A]),
        "B loads": int(moved[B]),
        "C stores": int(moved[C]),
        "A registers": int(most[A]),
        "B registers": int(most[B]),
        "C registers": int(most[C]),
    }


@jit
def _touch(
    held: Any,
    step: int,
    rows: int,
    last_row: int,
    columns: int,
    last_column: int,
    moved: Any,
    most: Any,
    which: int,
) -> None:
    """Hold a tile at a step: words that the step before did not hold have to come."""
    for row in range(rows, last_row):
        for column in range(columns, last_column):
            if held[row, column] < 0 or held[row, column] != step - 1:
                moved[which] += 1
            held[row, column] = step
    most[which] = max(most[which], (last_row - rows) * (last_column - columns))


@jit
def _run(
    a: Any,
    b: Any,
    c: Any,
    v1: int,
    v2: int,
    v3: int,
    held_a: Any,
    held_b: Any,
    held_c: Any,
    moved: Any,
    most: Any,
) -> None:
    (m, k), n, step = a.shape, b.shape[1], 0
    for m0 in range(0, m, v1):
        m1 = min(m, m0 + v1)
        for n0 in range(0, n, v2):
            n1 = min(n, n0 + v2)
            for k0 in range(0, k, v3):
                k1 = min(k, k0 + v3)
                _touch(held_a, step, m0, m1, k0, k1, moved, most, A)
                _touch(held_b, step, k0, k1, n0, n1, moved, most, B)
                _touch(
                    held_c, step, m0, m1, n0, n1, moved, most, C
                )  # a sum that comes is one that goes: as many stores
                for row in range(m0, m1):
                    for column in range(n0, n1):
                        for deep in range(k0, k1):
                            c[row, column] += a[row, deep] * b[deep, column]
                step += 1
