"""Cachegrind's misses: products, a convolution, im2col and Winograd, word by word.

Each program states every load and store as the reference's file describes it. hwsim's caches count
what misses, in cachegrind's convention: a write is treated like a read, and the last level is
looked up where the first misses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hwsim.timing.caches.loads import STORE, Level, Program, Range, Reference
from hwsim.validate import CHECKS, Pair

WORD = 4
LINES_ASTRAY = 12  # misses of the last level that instructions may cause or save
Bases = dict[str, int]
Loops = tuple[Range, ...]


class Cachegrind:
    """d1_misses: of the first level; ll_misses: of the last. Loads and stores together."""

    file = "cachegrind.json"
    summary = "exact misses of seven kernels on six pairs of caches (valgrind 3.19)"

    def pairs(self, data: Any) -> Iterator[Pair]:
        from hwsim.timing.caches.programs import Memory

        for number, row in enumerate(data["rows"]):
            memory = Memory([Level(*row["D1"]), Level(*row["LL"])])
            for program in PROGRAMS[row["program"]](row["params"], row["bases"]):
                memory.run(program)
            label = f"row {row.get('id', number)}: {row['program']} {row['params']}"
            groups = {"program": row["program"], "exact": str(bool(row["exact_expected"]))}
            counts = row["counts"]
            for metric, level, names in (
                ("d1_misses", 0, ("D1mr", "D1mw")),
                ("ll_misses", 1, ("DLmr", "DLmw")),
            ):
                expected = sum(counts[name] for name in names)
                found = int(memory.misses[level].sum())
                yield Pair(label, metric, expected, found, groups)
                if level == 1 and not row["exact_expected"]:
                    beyond = max(0, abs(expected - found) - LINES_ASTRAY)
                    yield Pair(label, "ll_misses_beyond_12", 0, beyond, groups, LINES_ASTRAY)
            stores = int(memory.accesses[STORE])
            yield Pair(label, "stores", counts["Dw"], stores, groups)
            yield Pair(label, "loads", counts["Dr"], int(memory.accesses.sum()) - stores, groups)


def _array(base: int, *sizes: int) -> Callable[..., tuple[int, dict[str, int]]]:
    """A row-major array: its subscripts, each {loop: coefficient} and a constant, as an address."""
    strides = [WORD]
    for size in reversed(sizes):
        strides.insert(0, strides[0] * size)

    def at(*subscripts: dict[str, int] | str | int) -> tuple[int, dict[str, int]]:
        address, coefficients = base, dict[str, int]()
        for subscript, stride in zip(subscripts, strides, strict=True):
            terms = subscript if isinstance(subscript, dict) else {subscript: 1}
            for name, coefficient in terms.items():
                if isinstance(name, int):
                    address += name * coefficient * stride
                else:
                    coefficients[name] = coefficients.get(name, 0) + coefficient * stride
        return address, coefficients

    return at


def _load(place: tuple[int, dict[str, int]], depth: int) -> Reference:
    return Reference(*place, depth)


def _store(place: tuple[int, dict[str, int]], depth: int, after: bool = False) -> Reference:
    return Reference(*place, depth, True, after)


def _product(order: str, transposed: bool = False) -> Callable[..., Iterator[Program]]:
    def programs(params: list[int], bases: Bases) -> Iterator[Program]:
        (n,) = params
        loops = tuple(Range(name, n) for name in order)
        a, b, c = (_array(bases[name], n) for name in "ABC")
        right = b("j", "k") if transposed else b("k", "j")
        if order == "ikj":
            yield Program(
                loops,
                (
                    _load(a("i", "k"), 2),
                    _load(right, 3),
                    _load(c("i", "j"), 3),
                    _store(c("i", "j"), 3),
                ),
            )
            return
        yield Program(
            loops,
            (_load(a("i", "k"), 3), _load(right, 3), _store(c("i", "j"), 2, after=True)),
        )

    return programs


def _tiled(
    sizes: tuple[int, int, int], tiles: tuple[int, int, int], bases: tuple[int, int, int]
) -> Program:
    """C[i][j] += A[i][k] * B[k][j] in tiles; what a tile has summed is loaded and stored again."""
    _, columns, depth = sizes
    names = ("i", "j", "k")
    loops = (
        *(
            Range(name * 2, size, tile)
            for name, size, tile in zip(names, sizes, tiles, strict=True)
        ),
        *(Range(name, size, of=name * 2) for name, size in zip(names, sizes, strict=True)),
    )
    a, b, c = _array(bases[0], depth), _array(bases[1], columns), _array(bases[2], columns)
    return Program(
        loops,
        (
            _load(c("i", "j"), 5),
            _load(a("i", "k"), 6),
            _load(b("k", "j"), 6),
            _store(c("i", "j"), 5, after=True),
        ),
    )


def _mm_tiled(params: list[int], bases: Bases) -> Iterator[Program]:
    n, ti, tj, tk = params
    yield _tiled((n, n, n), (ti, tj, tk), (bases["A"], bases["B"], bases["C"]))


def _conv(params: list[int], bases: Bases) -> Iterator[Program]:
    outputs, inputs, height, width, taps = params
    rows, columns = height - taps + 1, width - taps + 1
    image = _array(bases["I"], height, width)
    kernel = _array(bases["K"], inputs, taps, taps)
    out = _array(bases["O"], rows, columns)
    yield Program(
        (
            *(Range("o", outputs), Range("y", rows), Range("x", columns)),
            *(Range("c", inputs), Range("a", taps), Range("b", taps)),
        ),
        (
            _load(image("c", {"y": 1, "a": 1}, {"x": 1, "b": 1}), 6),
            _load(kernel("o", "c", "a", "b"), 6),
            _store(out("o", "y", "x"), 3, after=True),
        ),
    )


def _im2col(params: list[int], bases: Bases) -> Iterator[Program]:
    outputs, inputs, height, width, taps, *tiles = params
    rows, columns = height - taps + 1, width - taps + 1
    image = _array(bases["I"], height, width)
    matrix = _array(bases["col"], rows * columns)
    line = {"c": taps * taps, "a": taps, "b": 1}
    yield Program(
        (
            *(Range("c", inputs), Range("a", taps), Range("b", taps)),
            *(Range("y", rows), Range("x", columns)),
        ),
        (
            _load(image("c", {"y": 1, "a": 1}, {"x": 1, "b": 1}), 5),
            _store(matrix(line, {"y": columns, "x": 1}), 5),
        ),
    )
    sizes = (outputs, rows * columns, inputs * taps * taps)
    ti, tj, tk = tiles
    yield _tiled(sizes, (ti, tj, tk), (bases["K"], bases["col"], bases["O"]))


def _winograd(params: list[int], bases: Bases) -> Iterator[Program]:
    """F(2x2, 3x3): transforms of filters and inputs, 16 products, the transform of outputs."""
    outputs, inputs, height, width = params[:4]
    down, across = (height - 2) // 2, (width - 2) // 2
    tiles = down * across
    image = _array(bases["I"], height, width)
    kernel = _array(bases["K"], inputs, 9)
    u = _array(bases["U"], outputs, inputs)
    v = _array(bases["V"], inputs, tiles)
    m = _array(bases["M"], outputs, tiles)
    out = _array(bases["O"], height - 2, width - 2)
    tile = {"y": across, "x": 1}
    yield Program(
        (Range("o", outputs), Range("c", inputs)),
        (
            *(_load(kernel("o", "c", tap), 2) for tap in range(9)),
            *(_store(u(element, "o", "c"), 2) for element in range(16)),
        ),
    )
    yield Program(
        (Range("c", inputs), Range("y", down), Range("x", across)),
        (
            *(
                _load(image("c", {"y": 2, row: 1}, {"x": 2, column: 1}), 3)
                for row in range(4)
                for column in range(4)
            ),
            *(_store(v(element, "c", tile), 3) for element in range(16)),
        ),
    )
    yield Program(
        (Range("e", 16), Range("o", outputs), Range("t", tiles), Range("c", inputs)),
        (
            _load(u("e", "o", "c"), 4),
            _load(v("e", "c", "t"), 4),
            _store(m("e", "o", "t"), 3, after=True),
        ),
    )
    yield Program(
        (Range("o", outputs), Range("y", down), Range("x", across)),
        (
            *(_load(m(element, "o", tile), 3) for element in range(16)),
            *(
                _store(out("o", {"y": 2, row: 1}, {"x": 2, column: 1}), 3)
                for row in range(2)
                for column in range(2)
            ),
        ),
    )


PROGRAMS: dict[str, Callable[[list[int], Bases], Iterator[Program]]] = {
    "mm_nt": _product("ijk", transposed=True),
    "mm_nn": _product("ijk"),
    "mm_ikj": _product("ikj"),
    "mm_tiled": _mm_tiled,
    "conv": _conv,
    "im2col": _im2col,
    "wino": _winograd,
}
CHECKS.register("cachegrind")(Cachegrind())
