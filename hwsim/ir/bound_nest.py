"""Nests of a file bound to a stage and a machine.

Every name that these lack, and everything that the machine cannot do, is a fault at its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hwsim.describe.machine import Machine
from hwsim.describe.reading import Document
from hwsim.errors import HwsimError, nearest
from hwsim.ir.nest import NO_VECTORS, Code, Hold, Loop, Nest
from hwsim.ir.nest_file import Entry, Item, NestFile
from hwsim.ir.stage import Stage
from hwsim.ir.stationary import keeps_filters
from hwsim.ir.verify import verify_nest


def bind(file: NestFile, number: int, stage: Stage, machine: Machine, document: Document) -> Nest:
    """Entry `number` as a nest of the stage.

    Raises ConfigError for names the stage or machine lacks, at their lines.
    """
    entry = file.nests[number]
    bound = _Binding(stage, machine, document, f"nests[{number}]")
    items = bound.items(entry)
    if not document.faults:
        bound.check_machine(items)
    bound.check_code(entry)
    if not document.faults:
        bound.check_ends()
    document.check()
    try:
        return verify_nest(Nest(stage, items, entry.dataflow, packed=entry.packed, code=entry.code))
    except HwsimError as error:
        bound.fault("nest", str(error))
        document.check()
        raise


@dataclass
class _Binding:
    """An entry at `place` of a document being bound.

    left: how much of every dim the loops so far leave to those inside.
    """

    stage: Stage
    machine: Machine
    document: Document
    place: str
    left: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = dict(self.stage.bounds)

    def fault(self, path: str, what: str) -> None:
        self.document.fault(f"{self.place}.{path}", what)

    def items(self, entry: Entry) -> tuple[Loop | Hold, ...]:
        """The lines as loops and holds."""
        return tuple(
            self._hold(f"nest[{index}]", item)
            if item.hold is not None
            else self._loop(f"nest[{index}]", item)
            for index, item in enumerate(entry.nest)
        )

    def _hold(self, place: str, item: Item) -> Hold:
        assert item.hold is not None
        machine, stage = self.machine, self.stage
        levels = [*machine.memories]
        if machine.compute.rows * machine.compute.cols > 1:
            levels.append(machine.compute_name)
        if item.hold not in levels:
            self.fault(
                f"{place}.hold",
                f"no memory {item.hold!r} in {machine.name}{nearest(item.hold, levels)}; "
                f"expected one of {', '.join(levels)}",
            )
        names = [tensor.name for tensor in stage.tensors]
        for name in item.tensors:
            if name not in names:
                self.fault(
                    f"{place}.tensors",
                    f"no tensor {name!r} in {stage.name}{nearest(name, names)}; "
                    f"expected {', '.join(names)}",
                )
        return Hold(
            item.hold,
            item.tensors,
            item.halo,
            item.buffers,
            item.multicast,
            item.reduce,
            parts=item.parts,
        )

    def _loop(self, place: str, item: Item) -> Loop:
        dim, step = item.for_ or item.par or "", item.step or 1
        if dim not in self.left:
            self.fault(
                place,
                f"no dim {dim!r} in {self.stage.name}{nearest(dim, self.left)}; expected one of "
                f"{', '.join(self.left)}",
            )
        elif step > self.left[dim]:
            self.fault(
                f"{place}.step", f"a step of {step} over {dim}, of which {self.left[dim]} are left"
            )
        else:
            self.left[dim] = step
        return Loop(dim, step, item.on if item.par is not None else None)

    def check_code(self, entry: Entry) -> None:
        """Panels and instructions are a CPU's, registers a GPU's; vectors run along a dim."""
        vector, family = entry.code.vector, self.machine.compute.family
        instructions = replace(entry.code, registers=0)
        if (entry.packed or instructions != Code()) and family != "cpu":
            self.fault(
                "packed" if entry.packed else "code",
                f"{self.machine.name} has no CPU cores, which it is about",
            )
        if entry.code.registers and family != "gpu":
            self.fault(
                "code.registers",
                f"{self.machine.name} has no GPU's threads, which it is about",
            )
        if vector not in ("", NO_VECTORS, *self.left):
            self.fault(
                "code.vector",
                f"no dim {vector!r} in {self.stage.name}{nearest(vector, self.left)}; "
                f"expected one of {', '.join(self.left)}, {NO_VECTORS}",
            )

    def check_ends(self) -> None:
        """Every dim ends in steps of one."""
        for dim, step in self.left.items():
            if step > 1:
                self.fault("nest", f"dim {dim} ends in steps of {step}; expected a loop of step 1")

    def check_machine(self, items: tuple[Loop | Hold, ...]) -> None:
        """Levels stand in their order and on the right side of the array.

        There are no more neighbours than cells.
        """
        reached: dict[str, int] = {}
        spatial = [isinstance(item, Loop) and item.spatial is not None for item in items]
        for index, item in enumerate(items):
            place = f"nest[{index}]"
            if isinstance(item, Loop):
                self._check_axis(place, item)
            elif item.level == self.machine.compute_name:
                self._check_cells(place, item, items[index + 1 :])
            elif self.machine.memories[item.level].management == "implicit":
                self.fault(
                    f"{place}.hold",
                    f"{item.level} is a cache, which keeps what was used last; expected a memory "
                    f"that software fills",
                )
            else:
                self._check_order(place, item, reached)
                self._check_side(place, item, any(spatial[:index]), any(spatial[index:]))
        self._check_levels(items)
        self._check_array(Nest(self.stage, items))

    def _check_axis(self, place: str, loop: Loop) -> None:
        axes = self.machine.compute.axes
        if loop.spatial is not None and loop.spatial not in axes:
            self.fault(
                f"{place}.on",
                f"no axis {loop.spatial!r} of {self.machine.compute_name}"
                f"{nearest(loop.spatial, axes)}; expected one of {', '.join(axes)}",
            )
        batch = self.stage.view.b if self.stage.view else ()
        if loop.spatial == "diagonal" and loop.dim not in batch:
            self.fault(
                f"{place}.on",
                f"{loop.dim} on the diagonal, where products of a batch lie beside each other; "
                f"expected {' or '.join(batch) or 'no loop there, as the stage has no batch'}",
            )

    def _check_cells(self, place: str, hold: Hold, inside: tuple[Loop | Hold, ...]) -> None:
        """The cells of an array hold one tensor, and one that the loops inside do not move."""
        loops = [item for item in inside if isinstance(item, Loop)]
        if any(loop.spatial is not None for loop in loops):
            self.fault(
                f"{place}.hold",
                f"{hold.level} is outside a spatial loop; expected it inside all of them",
            )
        if len(hold.tensors) != 1:
            self.fault(
                f"{place}.tensors",
                f"{', '.join(hold.tensors)}; expected one tensor, of which each cell holds a word",
            )
            return
        tensor = self.stage.tensor(hold.tensors[0])
        moving = [loop.dim for loop in loops if loop.spatial is None and loop.dim in tensor.dims]
        if moving:
            self.fault(
                f"{place}.tensors",
                f"{tensor.name} moves with the loop over {moving[0]} inside; expected a tensor "
                f"that stays",
            )

    def _check_order(self, place: str, hold: Hold, reached: dict[str, int]) -> None:
        """A tensor passes the memories of its chain one after another.

        reached: by tensor, how many of them the holds before this one came by.
        """
        for name in hold.tensors:
            role = self.stage.tensor(name).role
            chain = self.machine.chain(role)
            if hold.level not in chain:
                self.fault(
                    f"{place}.tensors",
                    f"{hold.level} holds no {role}s; expected one of {', '.join(chain)}",
                )
            elif chain.index(hold.level) < reached.get(name, 0):
                self.fault(
                    f"{place}.hold",
                    f"{name} reaches {hold.level} again or too late; expected the order "
                    f"{', '.join(chain)}",
                )
            else:
                reached[name] = chain.index(hold.level) + 1

    def _check_side(self, place: str, hold: Hold, before: bool, after: bool) -> None:
        """The chip's memories stand outside all spatial loops, a cell's own inside.

        before, after: are there spatial loops outside the hold, inside it?
        """
        owner = self.machine.memories[hold.level].per
        if before and owner == "chip":
            self.fault(
                f"{place}.hold",
                f"{hold.level} is the chip's, inside a spatial loop; expected it outside",
            )
        if after and owner == "pe":
            self.fault(
                f"{place}.hold",
                f"{hold.level} is a cell's own, outside a spatial loop; expected it inside",
            )

    def _check_levels(self, items: tuple[Loop | Hold, ...]) -> None:
        """Data moves along the links, so each memory on a tensor's way holds it, or lets it by.

        A tensor may begin in a memory that keeps its kind from layer to layer instead of in DRAM.
        """
        machine = self.machine
        holds = [item for item in items if isinstance(item, Hold)]
        for tensor in self.stage.tensors if self.stage.view is not None else ():
            held = [hold.level for hold in holds if tensor.name in hold.tensors]
            chain = machine.chain(tensor.role)
            starts = next((level for level in held if level in chain), "")
            kept = tensor.role in machine.memories[starts].keeps if starts else False
            needed = chain[chain.index(starts) :] if kept else chain
            missing = [
                level
                for level in needed
                if level not in held and not machine.memories[level].may_pass_by
            ]
            if missing:
                self.fault(
                    "nest",
                    f"{tensor.name} passes by {' and '.join(missing)}; expected every memory from "
                    f"{needed[0]} to the "
                    f"multipliers to hold it ({', '.join(needed)}), or bypass: true in "
                    f"{machine.name}",
                )

    def _check_array(self, nest: Nest) -> None:
        """Neighbours along every axis, and all of them together, fit the array.

        Row-stationary bands may be wider than it.
        """
        compute = self.machine.compute
        used = self._neighbours(nest)
        if not keeps_filters(nest, self.machine):
            for axis, most in compute.axes.items():
                if used[axis] > most:
                    self.fault("nest", f"{used[axis]} neighbours on {axis}, which has {most}")
        crowded = compute.crowded(used)
        if crowded:
            self.fault("nest", crowded)

    def _neighbours(self, nest: Nest) -> Mapping[str, int]:
        """By axis of the array, how many neighbours its spatial loops make."""
        used = dict.fromkeys(self.machine.compute.axes, 1)
        left = dict(self.stage.bounds)
        for loop in (item for item in nest.items if isinstance(item, Loop)):
            if loop.spatial in used:
                used[loop.spatial] *= -(-left[loop.dim] // loop.tile)
            left[loop.dim] = loop.tile
        return used
