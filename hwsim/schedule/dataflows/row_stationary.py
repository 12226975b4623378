"""Row-stationary: each PE slides one filter row along one input row; columns add up the sums.

             columns: output rows 0 1 2
    filter row 0   [in 0] [in 1] [in 2]    filter rows run along the rows,
    filter row 1   [in 1] [in 2] [in 3]    input rows along the diagonals,
    filter row 2   [in 2] [in 3] [in 4]    partial sums down the columns
                      |      |      |

A set is R x e PEs; r x t sets work on different channels and filters; a PE keeps p filters x q
channels of its row; the buffer keeps the sums of m filters of n images. Chen, Emer, Sze, "Eyeriss",
ISCA 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Literal

from hwsim.describe.machine import ROLES, Machine
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points
from hwsim.parts.pe_array import PeArray
from hwsim.parts.scratchpad import Scratchpad
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Candidate, Ranked, Searched
from hwsim.schedule.row_stationary_tiles import Mapping, Space

FINALISTS = 8  # mappings near the best that are simulated


class RowStationary:
    """What stays is said; m, n, e, p, q, r and t are searched, by the run's objective.

    `given` fixes the mapping by hand; 'published' is the chip's own (Space.published).
    """

    name = "row-stationary"
    summary = "filter rows stay in PEs, input rows move diagonally, sums go down"
    default = True

    def __init__(self, given: Mapping | Literal["published"] | None = None) -> None:
        self.given = given

    def with_parameters(self, text: str) -> RowStationary:
        """The dataflow with its mapping fixed: 'm=64,n=4,e=13,p=16,q=3,r=2,t=2', or 'published'.

        Raises HwsimError for what is missing or wrong.
        """
        return RowStationary("published" if text == "published" else read_mapping(text))

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if not isinstance(machine.compute, PeArray):
            return "it needs PEs with scratchpads of their own"
        if any(len(machine.chain(role)) != 3 for role in ROLES):
            return "every role needs a buffer and a scratchpad in the PEs"
        if len({machine.chain(role)[-1] for role in ROLES}) < len(ROLES):
            return "every role needs a scratchpad of its own in the PEs"
        if not {"p", "q", "r", "s", "c", "k"} <= set(stage.extents):
            return "the stage is no convolution"
        if stage.extents["r"] > machine.compute.rows:
            return f"{stage.extents['r']} filter rows on {machine.compute.rows} rows of PEs"
        spad = machine.part(machine.chain("activation")[-1], Scratchpad)
        window = stage.extents["s"] * stage.inputs[0].width
        return (
            None
            if window <= spad.capacity
            else f"a filter row of {window} bytes in a scratchpad of {spad.capacity}"
        )

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        return self.nests(stage, machine, placement, "latency")[0].make()

    def nests(self, stage: Stage, machine: Machine, placement: Placement, objective: str) -> Ranked:
        """Raises HwsimError when not even one row of one filter fits the buffers."""
        space = Space(stage, machine, placement)
        if self.given == "published":
            ranked = [(0.0, space.published())]
        elif self.given:
            ranked = [(0.0, space.checked(self.given))]
        else:
            ranked = space.ranked(objective)[:FINALISTS]
        return [
            Candidate(estimate, partial(self._nest, stage, machine, placement, mapping))
            for estimate, mapping in ranked
        ]

    def _nest(self, stage: Stage, machine: Machine, placement: Placement, mapping: Mapping) -> Nest:
        (buffer, ifmap_spad), (filter_buffer, filter_spad), (_, psum_spad) = (
            machine.chain(role)[1:] for role in ("activation", "weight", "output")
        )
        activation, weight = (tensor.name for tensor in stage.inputs)
        output = stage.output.name
        items: list[Loop | Hold] = [
            *placement.backing(stage, machine),
            *([Loop("n", mapping.n)] if "n" in stage.extents else []),
            *points(dim for dim in ("g",) if dim in stage.extents),
            Loop("p", mapping.e),
            Loop("k", mapping.m),
            Loop("c", mapping.q * mapping.r),
            Hold(buffer, placement.moving(stage, machine, buffer, ("activation", "output"))),
            Loop("k", mapping.p * mapping.t),
            Hold(filter_buffer, (weight,)),
            Loop("c", mapping.q, "set"),
            Loop("k", mapping.p, "set"),
            Loop("r", 1, "row"),
            Loop("p", 1, "column"),
            Hold(filter_spad, (weight,)),
            *points(dim for dim in ("n",) if dim in stage.extents),
            Loop("q", 1),
            Hold(ifmap_spad, (activation,)),
            Hold(psum_spad, (output,)),
            *points(("c", "s", "k")),
        ]
        return Nest(stage, drop_idle(stage, _clipped(stage, items)), self.name)


def read_mapping(text: str) -> Mapping:
    """A mapping from 'm=64,n=4,...'.

    Raises HwsimError for a letter that is missing, unknown or no positive integer.
    """
    letters = [field.name for field in fields(Mapping)]
    given: dict[str, int] = {}
    for piece in text.split(","):
        letter, _, value = piece.partition("=")
        if letter.strip() not in letters:
            raise HwsimError(
                f"row-stationary: {piece!r}{nearest(letter, letters)}; expected "
                f"{', '.join(f'{name}=N' for name in letters)}, or published"
            )
        if not value.strip().isdecimal() or not 1 <= int(value) < 1 << 31:
            raise HwsimError(
                f"row-stationary: {piece!r}; expected a positive integer, as in {letter.strip()}=4"
            )
        if letter.strip() in given:
            raise HwsimError(
                f"row-stationary: {letter.strip()} given twice; expected "
                f"{', '.join(f'{name}=N' for name in letters)}"
            )
        given[letter.strip()] = int(value)
    missing = [letter for letter in letters if letter not in given]
    if missing:
        raise HwsimError(
            f"row-stationary: {', '.join(missing)} missing; expected "
            f"{', '.join(f'{name}=N' for name in letters)}"
        )
    return Mapping(**given)


def _clipped(stage: Stage, items: list[Loop | Hold]) -> Iterator[Loop | Hold]:
    """Tiles no longer than what is left of their dim."""
    left = dict(stage.bounds)
    for item in items:
        if isinstance(item, Loop):
            left[item.dim] = min(left[item.dim], item.tile)
            yield Loop(item.dim, left[item.dim], item.spatial)
        else:
            yield item


DATAFLOWS.register("row-stationary")(_flow := RowStationary())
_checked: Searched = _flow
