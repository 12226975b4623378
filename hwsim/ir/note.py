"""What is to be said of a plan or of a layer's run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class About(Enum):
    """What a note is about: reports gather notes of a kind."""

    REMARK = "remark"
    FALLBACK = "fallback"  # why an algorithm does not apply to the layer
    DATAFLOW = "dataflow"  # a dataflow that does not schedule a stage
    LIBRARY = "library"  # what a GPU's library does otherwise than the textbook
    CHOICE = "choice"  # why auto took an algorithm
    RESULT = "result"  # the outputs are not quite the layer's


@dataclass(frozen=True)
class Note:
    """One thing to be said.

    algorithm: whose it is, where a table of algorithms says it. Of a fallback the text is the
    reason.
    """

    text: str
    about: About = About.REMARK
    algorithm: str = ""

    @property
    def predicate(self) -> str:
        """What is said of the algorithm, without its name."""
        return f"does not apply: {self.text}" if self.about is About.FALLBACK else self.text

    def __str__(self) -> str:
        return f"{self.algorithm} {self.predicate}" if self.algorithm else self.text
