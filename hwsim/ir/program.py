"""Straight-line programs for multiplication by a small constant matrix.

Common subexpressions are shared. Here 4 operations become 3, each a fused multiply-add:

    y0 = x0 + x1/2 + x2/4            t  = x0 + x2/4
    y1 = x0 - x1/2 + x2/4     ->     y0 = t + x1/2
                                     y1 = t - x1/2

Transforms are counted by these programs and computed by them, operation for operation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import combinations, islice, product
from typing import Any

from hwsim.ir.stage import Operations

Coefficient = Fraction | float
Matrix = tuple[tuple[Fraction, ...], ...]
Row = dict[int, Fraction]

MOST_SCALES = 300  # combinations of scales that are tried


@dataclass(frozen=True)
class Step:
    """One new value: the sum of one or two earlier values, each times a coefficient."""

    terms: tuple[tuple[Coefficient, int], ...]

    @property
    def operations(self) -> Operations:
        constants = sum(not _power_of_two(value) for value, _ in self.terms)
        shifts = sum(_power_of_two(value) and abs(value) != 1 for value, _ in self.terms)
        additions = len(self.terms) - 1
        return Operations(
            constant_multiplies=constants,
            shifts=shifts,
            additions=additions,
            fused=min(additions, constants + shifts),
        )


@dataclass(frozen=True)
class Program:
    """Additions and multiplications by constants, one step after another.

    inputs: how many values come in, numbered from 0; every step makes the next number. outputs:
    numbers, None a zero.
    """

    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[int | None, ...]

    @cached_property
    def operations(self) -> Operations:
        """Operations of the program, by kind.

        Multiplications by 0 and +-1 are free, by +-2^k shifts, by anything else constant
        multiplications.
        """
        return sum((step.operations for step in self.steps), Operations())

    def text(self, input_name: str, output_name: str) -> list[str]:
        """The steps as assignments: t0 = d0 - d2, ..."""
        names = [f"{input_name}{number}" for number in range(self.inputs)]
        lines, shared = [], 0
        for number, step in enumerate(self.steps, self.inputs):
            if number in self.outputs:
                names.append(f"{output_name}{self.outputs.index(number)}")
            else:
                names.append(f"t{shared}")
                shared += 1
            lines.append(f"{names[-1]} = {_sum_text(step.terms, names)}")
        plain = [
            f"{output_name}{place} = {names[number]}"
            for place, number in enumerate(self.outputs)
            if number is not None and (number < self.inputs or self.outputs.index(number) != place)
        ]
        return [*lines, *plain]

    def run(self, values: Sequence[Any]) -> list[Any]:
        """The outputs for these inputs: numbers, arrays, or whatever multiplies and adds."""
        known = list(values)
        for step in self.steps:
            total = None
            for coefficient, number in step.terms:
                term = (
                    known[number]
                    if coefficient == 1
                    else -known[number]
                    if coefficient == -1
                    else known[number] * float(coefficient)
                )
                total = term if total is None else total + term
            known.append(total)
        return [None if number is None else known[number] for number in self.outputs]


def _sum_text(terms: Sequence[tuple[Coefficient, int]], names: Sequence[str]) -> str:
    words = []
    for coefficient, number in terms:
        size = abs(coefficient)
        factor = (
            "" if size == 1 else f"{size if isinstance(size, Fraction) else format(size, '.6g')} "
        )
        words.append(f"{'-' if coefficient < 0 else '+'} {factor}{names[number]}")
    return (
        " ".join(words).removeprefix("+ ").replace("- ", "-", 1)
        if words[0].startswith("-")
        else " ".join(words).removeprefix("+ ")
    )


def _power_of_two(value: Coefficient) -> bool:
    exact = abs(Fraction(value))
    return (
        exact.numerator & (exact.numerator - 1) == 0
        and exact.denominator & (exact.denominator - 1) == 0
    )


@lru_cache(maxsize=256)
def program_of(matrix: Matrix) -> Program:
    """A short program for y = matrix x.

    Pairs of terms that several rows hold in the same ratio are computed once, the most frequent
    first (Hartley 1996, for filters); then each shared value takes the scale that leaves the fewest
    multiplications no addition can be fused with.
    """
    inputs = len(matrix[0])
    rows = [{number: value for number, value in enumerate(row) if value} for row in matrix]
    shared = _share_pairs(rows, inputs)
    every = [*shared, *rows]
    scales = _best_scales(every, inputs, len(shared))
    return _emit(_scaled(every, inputs, scales), inputs, len(shared))


def _share_pairs(rows: list[Row], inputs: int) -> list[Row]:
    """Replace pairs x_i + c x_j found in several rows by new variables, in place.

    The result is the variables' own rows.
    """
    shared: list[Row] = []
    while True:
        found = Counter(pattern for row in [*shared, *rows] for pattern in _pairs(row))
        if not found:
            return shared
        (first, second, ratio), times = max(
            found.items(),
            key=lambda item: (item[1], abs(item[0][2]) == 1, -item[0][0], -item[0][1], item[0][2]),
        )
        if times < 2:
            return shared
        fresh = inputs + len(shared)
        for row in [*shared, *rows]:
            if first in row and second in row and row[second] / row[first] == ratio:
                row[fresh] = row.pop(first)
                del row[second]
        shared.append({first: Fraction(1), second: ratio})


def _pairs(row: Row) -> Iterator[tuple[int, int, Fraction]]:
    for first, second in combinations(sorted(row), 2):
        yield first, second, row[second] / row[first]


def _best_scales(rows: list[Row], inputs: int, shared: int) -> tuple[Fraction, ...]:
    choices = []
    for number in range(shared):
        uses = {Fraction(1), *(abs(row[inputs + number]) for row in rows if inputs + number in row)}
        choices.append(sorted(uses, key=lambda value: (value != 1, value)))
    tried = islice(product(*choices), MOST_SCALES)
    return min(tried, key=lambda scales: len(_prescales(_scaled(rows, inputs, scales))))


def _scaled(rows: list[Row], inputs: int, scales: tuple[Fraction, ...]) -> list[Row]:
    """The rows when shared variable number i is defined scales[i] times as large."""
    result = []
    for position, row in enumerate(rows):
        own = scales[position] if position < len(scales) else Fraction(1)
        result.append(
            {
                number: own * value / (scales[number - inputs] if number >= inputs else 1)
                for number, value in row.items()
            }
        )
    return result


def _prescales(rows: list[Row]) -> list[tuple[int, Fraction]]:
    """Terms (variable, |coefficient|) to multiply on their own.

    Every row then has one term that needs no multiplication.
    """
    needing = [row for row in rows if row and all(abs(value) != 1 for value in row.values())]
    chosen = [
        next((number, abs(value)) for number, value in row.items())
        for row in needing
        if len(row) == 1
    ]
    chosen = list(dict.fromkeys(chosen))
    left = [
        row
        for row in needing
        if not any(abs(row.get(number, 0)) == value for number, value in chosen)
    ]
    while left:
        terms = Counter((number, abs(value)) for row in left for number, value in row.items())
        best = max(terms, key=lambda term: (terms[term], -term[0], term[1]))
        chosen.append(best)
        left = [row for row in left if abs(row.get(best[0], 0)) != best[1]]
    return chosen


def _emit(rows: list[Row], inputs: int, shared: int) -> Program:
    prescales = _prescales(rows)
    steps: list[Step] = []
    place: dict[int, int] = {number: number for number in range(inputs)}
    scaled: dict[tuple[int, Fraction], int] = {}

    def add(*terms: tuple[Coefficient, int]) -> int:
        steps.append(Step(terms))
        return inputs + len(steps) - 1

    def ready(number: int) -> int:
        """Where a variable stands, computing what it is made of first."""
        if number not in place:
            place[number] = build(rows[number - inputs])
        return place[number]

    def term(number: int, value: Fraction) -> tuple[Coefficient, int]:
        """A term, on its prescaled variable where there is one."""
        size = abs(value)
        if (number, size) in prescales and size != 1:
            if (number, size) not in scaled:
                scaled[number, size] = add((size, ready(number)))
            return value / size, scaled[number, size]
        return value, ready(number)

    def build(row: Row) -> int:
        terms = sorted(
            (term(number, value) for number, value in row.items()),
            key=lambda item: (abs(item[0]) != 1, item[0] != 1, item[1]),
        )
        if len(terms) == 1:
            return terms[0][1] if terms[0][0] == 1 else add(terms[0])
        place_ = add(terms[0], terms[1])
        for further in terms[2:]:
            place_ = add((1, place_), further)
        return place_

    outputs = tuple(build(row) if row else None for row in rows[shared:])
    return Program(inputs, tuple(steps), outputs)


def transposed(program: Program) -> Program:
    """The program of the transposed matrix, with the same multiplications.

    Every addition becomes a fork and every fork an addition.
    """
    width = len(program.outputs)
    steps: list[Step] = []
    pending: dict[int, list[tuple[Coefficient, int]]] = {}
    for position, number in enumerate(program.outputs):
        if number is not None:
            pending.setdefault(number, []).append((1, position))

    def collected(number: int) -> tuple[Coefficient, int] | None:
        """What flows back into a value, added up."""
        terms = sorted(pending.get(number, []), key=lambda term: abs(term[0]) != 1)
        while len(terms) > 1:
            steps.append(Step((terms[0], terms[1])))
            terms = [(1, width + len(steps) - 1), *terms[2:]]
        return terms[0] if terms else None

    for position in reversed(range(len(program.steps))):
        total = collected(program.inputs + position)
        if total is None:
            continue
        terms = program.steps[position].terms
        if len(terms) > 1 and abs(total[0]) != 1:
            steps.append(Step((total,)))
            total = (1, width + len(steps) - 1)
        for coefficient, number in terms:
            pending.setdefault(number, []).append((coefficient * total[0], total[1]))
    outputs: list[int | None] = []
    for number in range(program.inputs):
        total = collected(number)
        if total is not None and total[0] != 1:
            steps.append(Step((total,)))
            total = (1, width + len(steps) - 1)
        outputs.append(None if total is None else total[1])
    return Program(width, tuple(steps), tuple(outputs))
