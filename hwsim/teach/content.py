"""What a lesson is made of: steps of text and blocks, each shown in a terminal and on a page.

Text is Markdown. The numbers of blocks come from the simulator when the lesson is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True)
class Loops:
    """A loop nest before and after a transformation."""

    before: str
    after: str


@dataclass(frozen=True)
class Code:
    """Lines shown as they are."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text; the first `left` columns are words, the others numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    left: int = 1


@dataclass(frozen=True)
class Bars:
    """Horizontal bars: for every label a bar of each series; None where there is none.

    values[series] is as long as labels. unit: of the values, such as "ms". base: a line to compare
    with. log: lengths go by the logarithm.
    """

    title: str
    labels: Sequence[str]
    values: Mapping[str, Sequence[float | None]]
    unit: str
    caption: str = ""
    base: float | None = None
    log: bool = False


@dataclass(frozen=True)
class Command:
    """What to type to go on from here: `hwsim` and its arguments."""

    line: str


@dataclass(frozen=True)
class Widget:
    """Something to move.

    kind: the file of hwsim/teach/web that draws it. label: what it is, for those who hear the page.

    data() is what it is given, as JSON can say it; text(), the terminal's form of it. Each is
    called where it is needed, as it may take a simulation.
    """

    kind: str
    label: str
    data: Callable[[], Mapping[str, Any]]
    text: Callable[[], str]


Block = Loops | Code | Table | Bars | Command | Widget


@dataclass(frozen=True)
class Step:
    """One idea: a heading, a paragraph or two, and what shows it."""

    title: str
    text: str
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A question to the student, and its answer, folded away."""

    question: str
    answer: str


class Lesson(Protocol):
    """A lesson.

    place: among the others. question: what the lesson answers; it opens with it. topics: what a
    teacher may look for, and the step that has it.

    steps: in order; each is made when it is asked for, as numbers in it may take a simulation.
    """

    title: str
    question: str
    place: int
    topics: ClassVar[dict[str, int]]

    def steps(self) -> Iterator[Step]: ...

    def problems(self) -> tuple[Problem, ...]: ...
