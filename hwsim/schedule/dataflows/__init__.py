"""Dataflows: rules that schedule a stage on a machine, one file each.

A file has a picture of who stays still.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Protocol, runtime_checkable

from hwsim.describe.machine import Machine
from hwsim.describe.units import whole_bytes
from hwsim.errors import HwsimError
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.ir.tensor import Tensor
from hwsim.registry import Registry
from hwsim.rewrite.placement import Placement


class Dataflow(Protocol):
    """A rule from a stage and a machine to a nest.

    default: whether it is tried when the user names none.
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def default(self) -> bool: ...

    def refuses(self, stage: Stage, machine: Machine) -> str | None: ...

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest: ...


@dataclass(frozen=True)
class Candidate:
    """A nest that is made when it is wanted. estimate: of its cost, in which only ratios matter.

    among: tilings that were estimated to find it. then: of estimates that are as good, the one with
    less of these is better: DRAM bytes, or where these are estimated, cycles; and the cycles of the
    array alone, which count once its memories are faster.
    """

    estimate: float
    make: Callable[[], Nest]
    among: int = 1
    then: tuple[float, ...] = ()


AS_GOOD = 1.005  # times the least estimate: nests within it count as equally good


Ranked = Sequence[Candidate]


@runtime_checkable
class Searched(Dataflow, Protocol):
    """A dataflow that finds several nests, best first by an estimate.

    Only ratios of the estimate matter.
    """

    def nests(
        self, stage: Stage, machine: Machine, placement: Placement, objective: str
    ) -> Ranked: ...


DATAFLOWS: Registry[Dataflow] = Registry("dataflow", "hwsim.schedule.dataflows")
ALWAYS = "streaming"  # applies where nothing else does


SHORT_NAMES = {
    "ws": "weight-stationary",
    "os": "output-stationary",
    "is": "input-stationary",
    "rs": "row-stationary",
}


def full_name(name: str) -> str:
    """ws -> weight-stationary; other names as they are."""
    base, colon, parameters = name.partition(":")
    return f"{SHORT_NAMES.get(base, base)}{colon}{parameters}"


def find_dataflow(name: str) -> Dataflow:
    """A dataflow by its name, or with its mapping fixed.

    Such a name is 'row-stationary:m=64,n=4,e=13,p=16,q=3,r=2,t=2'.

    Raises UnknownName, or HwsimError for parameters that are wrong or that the dataflow does not
    take.
    """
    base, colon, parameters = full_name(name).partition(":")
    flow = DATAFLOWS[base]
    if not colon:
        return flow
    adjustable = getattr(flow, "with_parameters", None)
    if adjustable is None:
        raise HwsimError(f"dataflow {base} takes no parameters; expected {base} alone")
    found: Dataflow = adjustable(parameters)
    return found


def applicable(stage: Stage, machine: Machine, name: str | None = None) -> list[Dataflow]:
    """The named dataflow, if it applies, and every default that does.

    Raises UnknownName, or HwsimError when none does.
    """
    flows, reasons = [], []
    asked = [find_dataflow(name)] if name is not None else []
    for flow in [*asked, *_by_default(machine)]:
        reason = flow.refuses(stage, machine)
        if reason is None:
            flows.append(flow)
        else:
            reasons.append(f"{flow.name}: {reason}")
    if flows:
        return flows
    raise HwsimError(f"no dataflow schedules {stage.name} on {machine.name}: " + "; ".join(reasons))


def _by_default(machine: Machine) -> list[Dataflow]:
    """Those tried when none is named.

    They are what is a default anywhere, the machine's own as one, and at last what always applies.
    """
    everywhere = [DATAFLOWS[name] for name in sorted(DATAFLOWS) if DATAFLOWS[name].default]
    own = tuple(DATAFLOWS[name] for name in machine.compute.own_dataflows)
    ours = [AnyOf(own)] if len(own) > 1 else list(own)
    first = [flow for flow in everywhere if flow.name != ALWAYS]
    last = [flow for flow in everywhere if flow.name == ALWAYS]
    return [*first, *ours, *last]


@dataclass(frozen=True)
class AnyOf:
    """Several dataflows as one: the best nests of all of them, whose estimates compare."""

    flows: tuple[Dataflow, ...]
    default: bool = True

    @property
    def name(self) -> str:
        return " or ".join(flow.name for flow in self.flows)

    @property
    def summary(self) -> str:
        return "; or ".join(flow.summary for flow in self.flows)

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        reasons = [flow.refuses(stage, machine) for flow in self.flows]
        return None if None in reasons else reasons[0]

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        return self.nests(stage, machine, placement, "latency")[0].make()

    def nests(self, stage: Stage, machine: Machine, placement: Placement, objective: str) -> Ranked:
        """Raises HwsimError where nothing of any of them fits."""
        found: list[Candidate] = []
        error: HwsimError | None = None
        for flow in self.flows:
            try:
                found += nests_of(flow, stage, machine, placement, objective)
            except HwsimError as reason:
                error = error or reason
        if not found:
            assert error is not None
            raise error
        return best_first(found)


def best_first(found: list[Candidate]) -> list[Candidate]:
    """By estimate; of those that are as good as the best, by what comes second."""
    as_good = AS_GOOD * min(candidate.estimate for candidate in found)
    return sorted(found, key=lambda one: (max(one.estimate, as_good), one.then))


def tile_words(tensor: Tensor, sizes: Mapping[str, int]) -> int:
    """Words that a tile of these sizes touches at most (dims not named: one iteration)."""
    words = 1
    for axis in tensor.axes:
        reach = (
            sum(coefficient * (sizes.get(dim, 1) - 1) for dim, coefficient in axis.terms)
            + axis.span
        )
        words *= min(axis.size, reach, axis.extent * prod(sizes.get(dim, 1) for dim in axis.dims))
    return words


def tile_bytes(tensor: Tensor, sizes: Mapping[str, int]) -> int:
    """Bytes of such a tile."""
    return whole_bytes(tile_words(tensor, sizes) * tensor.width)


def nests_of(
    flow: Dataflow, stage: Stage, machine: Machine, placement: Placement, objective: str
) -> Ranked:
    """What a dataflow makes of a stage, best first. Raises HwsimError where nothing fits."""
    if isinstance(flow, Searched):
        return flow.nests(stage, machine, placement, objective)
    return [Candidate(0.0, partial(flow.schedule, stage, machine, placement))]
