"""The tiled product, really executed: every word says in which step it was held last.

for m0, n0, k0 step v1, v2, v3:
  load the words of A and B that the step before did not hold,
    store those of C that are held no longer
  for m, n, k of the tiles:
    C[m][n] += A[m][k] * B[k][n]
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from hwsim.compiled import about_to_run, kernel

PLAIN = (
    600_000  # words touched and products made that Python is done with before a compiler is loaded
)
A, B, C = 0, 1, 2


def execute(m: int, n: int, k: int, v1: int, v2: int, v3: int) -> dict[str, int]:
    """Words loaded and stored, and the most held at once, of a product in tiles.

    The product is m x n x k, its tiles v1 x v2, v3 of the reduction at a time.

    Raises AssertionError when the product came out wrong.
    """
    dice = np.random.default_rng(0)
    a, b = dice.integers(-3, 4, (m, k)), dice.integers(-3, 4, (k, n))
    c = np.zeros((m, n), np.int64)
    operands = (a, b, c)
    held = tuple(np.full(array.shape, -1, np.int64) for array in operands)
    moved, most = np.zeros(3, np.int64), np.zeros(3, np.int64)
    tile = (v1, v2, v3)
    steps = -(-m // v1) * -(-n // v2) * -(-k // v3)
    if m * n * k + steps * (v1 * v3 + v3 * v2 + v1 * v2) > PLAIN:
        run: Any = _compiled()
        about_to_run(run)
        run(operands, held, moved, most, tile)
        out = c
    else:  # the same loops as they stand, on lists
        lists = tuple(array.tolist() for array in operands)
        _run(lists, tuple(array.tolist() for array in held), moved, most, tile)
        out = np.asarray(lists[C])
    assert np.array_equal(out, a @ b)
    return {
        "A loads": int(moved[A]),
        "B loads": int(moved[B]),
        "C stores": int(moved[C]),
        "A registers": int(most[A]),
        "B registers": int(most[B]),
        "C registers": int(most[C]),
    }


@cache
def _compiled() -> Any:
    return kernel(nogil=True)(_run)


def _run(operands: Any, held: Any, moved: Any, most: Any, tile: tuple[int, int, int]) -> None:
    """The tiled product itself.

    operands, held: of A, B and C; held: the last step that used a word. moved, most: words that
    came, and the largest tile, of each.
    """

    def touch(words: Any, rows: Any, columns: Any, step: int, which: int) -> None:
        """Hold a tile at a step: words that the step before did not hold have to come."""
        for row in range(rows[0], rows[1]):
            for column in range(columns[0], columns[1]):
                if words[row][column] < 0 or words[row][column] != step - 1:
                    moved[which] += 1
                words[row][column] = step
        most[which] = max(most[which], (rows[1] - rows[0]) * (columns[1] - columns[0]))

    a, b, c = operands
    v1, v2, v3 = tile
    m, k, n, step = len(a), len(b), len(b[0]), 0
    for m0 in range(0, m, v1):
        m1 = min(m, m0 + v1)
        for n0 in range(0, n, v2):
            n1 = min(n, n0 + v2)
            for k0 in range(0, k, v3):
                k1 = min(k, k0 + v3)
                touch(held[A], (m0, m1), (k0, k1), step, A)
                touch(held[B], (k0, k1), (n0, n1), step, B)
                # a sum that comes is one that goes: as many stores
                touch(held[C], (m0, m1), (n0, n1), step, C)
                for row in range(m0, m1):
                    for column in range(n0, n1):
                        for deep in range(k0, k1):
                            c[row][column] += a[row][deep] * b[deep][column]
                step += 1
