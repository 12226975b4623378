"""A lesson of one step."""

from typing import ClassVar

from hwsim.teach import LESSONS
from hwsim.teach.content import Problem, Step, Table


class Halving:
    title = "Halving"
    question = "How often can a word be halved?"
    place = 99
    topics: ClassVar[dict[str, int]] = {"halving": 1}

    def steps(self):
        rows = [[str(bits), str(bits.bit_length() - 1)] for bits in (8, 64)]
        yield Step("Count", "Until one bit is left.", (Table(["bits", "halvings"], rows),))

    def problems(self):
        return (Problem("And 32 bits?", "5 times."), Problem("And 1 bit?", "Not once."))


LESSONS.register("halving")(Halving())
