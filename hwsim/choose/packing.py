"""Packing as a stage: where a schedule says that every run puts weights into panels.

`register-tiled:packed=run` is the schedule of a library that is called with weights as they lie;
`packed=yes` that of a network whose weights were packed once.
"""

from __future__ import annotations

from dataclasses import replace

from hwsim.describe.machine import Machine
from hwsim.ir.stage import Plan, Stage
from hwsim.rewrite.packing import pack_weights
from hwsim.schedule.dataflows.register_tiled import RegisterTiled, blocks_of, read_blocks


def with_packing(plan: Plan, machine: Machine, dataflow: str | None) -> Plan:
    """The plan with a stage that packs before every product whose schedule asks for it.

    Raises HwsimError for sizes that the registers do not hold.
    """
    name, _, sizes = (dataflow or "").partition(":")
    blocks = read_blocks(sizes) if name == RegisterTiled.name and sizes else None
    if blocks is None or not blocks.in_run:
        return plan
    stages: list[Stage] = []
    made: list[str] = []
    for stage in plan.stages:
        applies = not stage.offline and RegisterTiled(blocks).refuses(stage, machine) is None
        packed = pack_weights(stage, blocks_of(stage, machine, blocks).nr) if applies else None
        if packed is not None:
            made.append(packed[0].output.name)
        stages += packed or (stage,)
    return replace(plan, stages=tuple(stages), temporaries=(*plan.temporaries, *made))
