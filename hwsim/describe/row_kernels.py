"""Kernels of rows, as data: softmax and norms, which read a whole row before they write any of it.

par block of `rows` rows:         as many at a time as an SM holds
  for step of threads x vector words of a row:      read them, compare or add
  threads tell each other what they found
  for step:                                         compute and write, out of registers
                                                    or having read the row once more
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path

from hwsim.describe.catalog import locate
from hwsim.describe.reading import Document, count, quantity, read, read_text, required
from hwsim.describe.units import Duration


@dataclass(frozen=True)
class RowFamily:
    """Kernels of rows that are one piece of code.

    operators: that it computes. most: words of a row, at most (0: any). threads: of a block. rows:
    of a block, threads shared out among them. vector: words that a thread takes at a time. holds:
    words of a row that a thread keeps in registers, each in one; a longer row is read twice.
    registers: of a thread, beside these. start: of a block alone, beyond a launch. step: of each of
    its steps. block: what a block takes of an SM whose others fill its gaps.
    """

    operators: tuple[str, ...] = required()
    threads: int = count()
    registers: int = count()
    step: Duration = quantity("duration")
    block: Duration = quantity("duration")
    start: Duration = quantity("duration", default=Duration(0.0, True))
    rows: int = count(default=1)
    vector: int = count(default=1)
    most: int = count(default=0, least=0)
    holds: int = count(default=0, least=0)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.threads % self.rows:
            yield "rows", f"{self.rows}; expected a divisor of {self.threads} threads"

    def takes(self, operator: str, words: int) -> bool:
        """Does it run an operator on rows of so many words?"""
        return operator in self.operators and (not self.most or words <= self.most)

    def steps(self, words: int) -> int:
        """Of a thread over a row."""
        return ceil(words / (self.threads // self.rows * self.vector))

    def passes(self, words: int) -> int:
        """How often a row is read."""
        return 1 if self.steps(words) * self.vector <= self.holds else 2

    def registers_for(self, words: int) -> int:
        """Of a thread that works on rows of so many words."""
        held = self.steps(words) * self.vector if self.passes(words) == 1 else 0
        return self.registers + held


@dataclass(frozen=True, eq=False)
class RowLibrary:
    """Row kernels by name; the first that takes a row runs it."""

    name: str
    description: str
    families: dict[str, RowFamily] = required()
    source: str = ""
    calibration: str = ""

    def kernel_for(self, operator: str, words: int) -> tuple[str, RowFamily] | None:
        """Name and family of what runs an operator on rows of so many words."""
        found = self.families.items()
        return next((pair for pair in found if pair[1].takes(operator, words)), None)


@cache
def load_row_library(name_or_path: str | Path) -> RowLibrary:
    """A shipped library of row kernels by name, or one of your own by path.

    Raises ConfigError with every fault of the file, UnknownName for a name that is not shipped.
    """
    path = locate("library of row kernels", "kernels", name_or_path)
    return read(RowLibrary, Document(read_text(path), str(path)))
