"""Quick schedules: a stage's nest by its estimate alone, shared by machines that differ little.

The dataflow's best estimate is taken without simulating those near it, and as it would be on the
`planned` machine: in a sweep, the point's with the DRAM of its file. So a sweep over bandwidths
makes one schedule for all of them, and a point's schedule does not depend on what else is swept.
The stage is then simulated with its own machine as always: the time is that of a schedule that
runs, if not of the best.
"""

from __future__ import annotations

from hwsim.describe.machine import Machine
from hwsim.errors import HwsimError
from hwsim.ir.nest import Nest
from hwsim.ir.stage import Stage
from hwsim.ir.verify import verify_nest
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import applicable, nests_of

MOST_NESTS, MOST_MACHINES = 20_000, 64

_nests: dict[tuple[object, ...], Nest] = {}
_said: dict[int, tuple[Machine, str]] = {}


def quick_nest(
    stage: Stage, planned: Machine, placement: Placement, dataflow: str | None, objective: str
) -> Nest:
    """Raises HwsimError where no dataflow has a nest that fits."""
    key = (_text(planned), stage, placement, dataflow, objective)
    if key not in _nests:
        _nests[key] = _first(stage, planned, placement, dataflow, objective)
        if len(_nests) > MOST_NESTS:
            _nests.pop(next(iter(_nests)), None)
    return _nests[key]


def _first(
    stage: Stage, machine: Machine, placement: Placement, dataflow: str | None, objective: str
) -> Nest:
    """The nest of the best estimate, of the first dataflow that has one."""
    refused: HwsimError | None = None
    for flow in applicable(stage, machine, dataflow):
        try:
            return verify_nest(nests_of(flow, stage, machine, placement, objective)[0].make())
        except HwsimError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _text(machine: Machine) -> str:
    """How a machine reads: its name among keys."""
    if id(machine) not in _said:
        _said[id(machine)] = machine, repr(machine)
        if len(_said) > MOST_MACHINES:
            _said.pop(next(iter(_said)), None)
    return _said[id(machine)][1]
