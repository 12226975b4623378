"""A machine: parts from DRAM to the registers, and the links along which data moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from hwsim.describe.catalog import check_text, locate, shipped
from hwsim.describe.reading import (
    Document,
    build,
    choice,
    mapping,
    quantity,
    read,
    read_by,
    read_text,
    required,
    unread,
)
from hwsim.describe.settings import Setting, apply, read_settings, said
from hwsim.describe.units import DTYPE_BYTES, Bandwidth, Duration
from hwsim.errors import ConfigError, HwsimError, nearest, shortened
from hwsim.registry import Registry

if TYPE_CHECKING:
    import networkx
    import yaml

Role = Literal["activation", "weight", "output"]
ROLES: tuple[Role, ...] = ("activation", "weight", "output")


@dataclass(frozen=True)
class Part:
    """A piece of hardware; each file of hwsim/parts/ defines one kind."""

    kind: ClassVar[str] = ""

    def faults_in(self, machine: Machine, name: str) -> Iterator[tuple[str, str]]:
        """(path, what is wrong) of the part as it stands in a machine, under this name."""
        yield from ()


class Held:
    """What a memory says of itself; a kind of memory states what differs as fields of its YAML.

    per: whose own it is: the chip's, each core's, SM's or PE's. bandwidth: of one of them, None
    where its kind has no port of its own. keeps: tensors that may stay here from layer to layer.
    word_bytes: the width of partial sums, None for the tensor's. energy: pJ a byte, None for the
    table's. technology: of DRAM. ports: one for both ways, or one for each. banks: equal parts of
    it.
    """

    per: str = "chip"
    bandwidth: Bandwidth | None = None
    keeps: tuple[Role, ...] = ()
    word_bytes: int | None = None
    energy: float | None = None
    technology: str | None = None
    ports: str = "shared"
    banks: int = 1


@dataclass(frozen=True)
class Memory(Part, Held):
    """A part that holds tensors.

    `management` says who decides what stays: the nest or the part itself.
    """

    management: ClassVar[Literal["explicit", "implicit", "backing"]] = "explicit"
    capacity: int = quantity("bytes")

    @property
    def may_pass_by(self) -> bool:
        """May a nest leave out tensors that the memory could hold? A cache decides for itself."""
        return self.management == "implicit"

    @property
    def holds(self) -> tuple[Role, ...]:
        return ROLES

    def copies(self, units: int) -> int:
        """Instances that so many cores, SMs or PEs need."""
        return 1 if self.per == "chip" else units


@dataclass(frozen=True)
class Need:
    """A memory that a timing looks for.

    kind: its type. per: whose own it is, None for anybody's. most: how many there may be.
    """

    kind: str
    per: str | None = None
    most: int = 1

    def meets(self, part: Part) -> bool:
        """Is the part one of these?"""
        return isinstance(part, Memory) and part.kind == self.kind and self.per in (None, part.per)

    def __str__(self) -> str:
        return f"part of type {self.kind}" + (f" with per: {self.per}" if self.per else "")


class Compute(Part):
    """A part that multiplies.

    family: for people. timing: the name of what times nests on it (hwsim.timing). rows, cols:
    neighbours along the axes of an array. accumulator_bytes: the width at which sums are kept, 0
    for the tensor's. zeros: what a product with a zero costs. mac_energy: pJ a product, None for
    the table's.
    """

    family: ClassVar[str] = ""
    timing: ClassVar[str] = ""
    rows: int = 1
    cols: int = 1
    accumulator_bytes: int = 0
    zeros: str = "multiplied"
    mac_energy: float | None = None

    def peak_macs_per_cycle(self, dtype: str) -> float:
        """Multiply-accumulates per cycle of the whole machine."""
        raise self._lacks("peak_macs_per_cycle")

    def peak_vector_operations_per_cycle(self, dtype: str) -> float:
        """Operations outside multiply-accumulates per cycle of the whole machine, at most."""
        return self.peak_macs_per_cycle(dtype)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The data types that it multiplies."""
        raise self._lacks("dtypes")

    def _lacks(self, name: str) -> HwsimError:
        return HwsimError(
            f"parts of type {self.kind} do not say their {name}; expected class "
            f"{type(self).__name__} to define dtypes and peak_macs_per_cycle"
        )

    def with_twice_the_units(self) -> Compute | None:
        """The part with twice the multipliers, None where it cannot be told."""
        return None

    def started_sooner(self) -> Compute | None:
        """The part with half the time that a start takes, None where DRAM's latency is what a start
        waits for."""
        return None

    @property
    def own_dataflows(self) -> tuple[str, ...]:
        """What it runs, beside every machine's defaults, when no dataflow is named."""
        return ()

    @property
    def files(self) -> tuple[object, ...]:
        """What other files say of it."""
        return ()

    @property
    def units(self) -> int:
        """Cores, SMs or PEs: the copies of a memory that each has its own of."""
        return 1

    @property
    def axes(self) -> Mapping[str, int]:
        """What spatial loops may run over, and the most neighbours on each."""
        return {"row": self.rows, "column": self.cols, "set": self.rows * self.cols}

    @property
    def cells(self) -> int:
        """The most neighbours on all axes together."""
        return self.rows * self.cols

    def crowded(self, used: Mapping[str, int]) -> str:
        """Why neighbours that fit every axis do not fit together; empty where they do."""
        everywhere = prod(used.values())
        return f"{everywhere} neighbours on {self.cells} cells" if everywhere > self.cells else ""

    def launch_cycles(self, clock_hz: float) -> float:
        """Cycles between two stages, however little they do."""
        return 0.0

    def faults_at(self, clock_hz: float) -> Iterator[tuple[str, str]]:
        """(field, what is wrong) of times that may be stated in cycles."""
        yield from ()

    def in_graph(self, clock_hz: float) -> Compute:
        """The same as the layers of a network find it, which follow one another without calls."""
        return self

    def needs(self) -> tuple[Need, ...]:
        """The memories that the timing of this part finds by their kind and owner."""
        return ()

    def wrong_way(self, memories: Sequence[Memory]) -> str | None:
        """What a tensor's way in from DRAM should be; None where it is one that is simulated.

        memories: those between DRAM and this part, DRAM's neighbour first.
        """
        return None


PARTS: Registry[type[Part]] = Registry("part", "hwsim.parts")


def _computing() -> list[str]:
    """The types of parts that multiply."""
    return [name for name in PARTS if issubclass(PARTS[name], Compute)]


def _read_parts(node: yaml.Node, path: str, doc: Document) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for name, (_, value) in (mapping(node, path, doc) or {}).items():
        part = _read_part(value, f"{path}.{name}", doc)
        if part is not None:
            parts[name] = part
    return parts


def _read_part(node: yaml.Node, path: str, doc: Document) -> Part | None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        doc.fault(path, "not a mapping; expected a part such as {type: dram, ...}", node)
        return None
    found = next((value for key, value in node.value if key.value == "type"), None)
    kind = found.value if isinstance(found, yaml.ScalarNode) else ""
    if kind not in PARTS:
        known = ", ".join(PARTS)
        said = (
            f"type {shortened(repr(kind))}"
            if kind
            else "missing key 'type'"
            if found is None
            else "type: not a word"
        )
        doc.fault(path, f"{said}; expected one of {known}{nearest(kind, PARTS)}", found or node)
        return None
    rest = yaml.MappingNode(
        node.tag,
        [(k, v) for k, v in node.value if k.value != "type"],
        node.start_mark,
        node.end_mark,
    )
    return cast(Part | None, build(PARTS[kind], rest, path, doc))


def _parts_schema() -> dict[str, Any]:
    """Every kind of part by its type."""
    from hwsim.describe.schema import object_schema

    kinds = [object_schema(PARTS[kind], {"type": {"const": kind}}) for kind in PARTS]
    return {"type": "object", "additionalProperties": {"oneOf": kinds}}


@dataclass(frozen=True)
class Machine:
    """Parts, links and a clock, as read from YAML; frozen.

    links are 'a -> b' or 'a <-> b': the directions in which data moves. fidelity: what of it is
    simulated, and what is not. power: the most it draws on average, where it is known; runs are
    checked against it (hwsim.timing.physics). start: what a run takes before its first layer: a
    host's call of a device behind a link. pipelined: layers run side by side on shares of the units
    (hwsim.results.pipelined), images moving from one to the next. settings: values that are not
    the file's.
    """

    name: str
    description: str
    clock_hz: float = quantity("frequency_hz", key="clock")
    dtype: str = choice(tuple(DTYPE_BYTES))
    parts: dict[str, Part] = read_by(_read_parts, _parts_schema)
    links: tuple[str, ...] = required()
    process_nm: float = 45.0
    source: str = ""
    assumptions: str = ""
    fidelity: str = ""
    pipelined: bool = False
    power: float | None = quantity("power_w", default=None)
    start: Duration | None = quantity("duration", default=None)
    settings: tuple[Setting, ...] = unread(())

    def faults(self) -> Iterator[tuple[str, str]]:
        for index, link in enumerate(self.links):
            for end in _ends(link):
                if end not in self.parts:
                    yield (
                        f"links[{index}]",
                        f"{link!r} names no part {end!r}{nearest(end, self.parts)}; expected 'a "
                        f"-> b' or 'a <-> b'",
                    )
        computes = [name for name, part in self.parts.items() if isinstance(part, Compute)]
        backing = [
            name
            for name, part in self.parts.items()
            if isinstance(part, Memory) and part.management == "backing"
        ]
        if len(computes) != 1:
            yield (
                "parts",
                f"{len(computes)} parts that multiply; expected exactly one, of type "
                f"{', '.join(_computing())}",
            )
        elif len(backing) != 1:
            yield "parts", f"{len(backing)} parts of type dram; expected exactly one"
        elif all(end in self.parts for link in self.links for end in _ends(link)):
            yield from self._unreachable()
            if self.dtype not in self.compute.dtypes:
                yield (
                    "dtype",
                    f"{self.dtype}, which {self.compute_name} does not compute; expected one of "
                    f"{', '.join(self.compute.dtypes)}",
                )
            yield from self._unmet()
            yield from self._wrong_ways()
            for name, part in self.parts.items():
                yield from part.faults_in(self, name)
            for name, what in self.compute.faults_at(self.clock_hz):
                yield f"parts.{self.compute_name}.{name}", what

    def _unmet(self) -> Iterator[tuple[str, str]]:
        """Memories that the timing needs and does not find, and those it would not simulate."""
        needs = self.compute.needs()
        for need in needs:
            found = [name for name, part in self.parts.items() if need.meets(part)]
            if not found:
                yield "parts", f"no {need}; a machine with {self.compute.kind} cores needs one"
            for name in found[need.most :]:
                what = f"one more {need}, which is not simulated"
                yield f"parts.{name}", f"{what}; expected {need.most}"
        for name, part in self.parts.items() if needs else ():
            known = not isinstance(part, Memory) or part.management == "backing"
            if isinstance(part, Memory) and not known and not any(n.meets(part) for n in needs):
                what = f"a {part.kind} of per: {part.per} beside {self.compute.kind} cores"
                kinds = " or a ".join(str(need) for need in needs)
                yield f"parts.{name}", f"{what} is not simulated; expected a {kinds}"

    def _wrong_ways(self) -> Iterator[tuple[str, str]]:
        """Ways of tensors that are not simulated, and memories that are on none."""
        try:
            chains = {role: self.chain(role) for role in ROLES}
        except HwsimError:
            return  # said already
        for chain in dict.fromkeys(chains.values()):
            expected = self.compute.wrong_way([self.memories[name] for name in chain[1:]])
            if expected is not None:
                way = " - ".join((*chain, self.compute_name))
                who = " and ".join(f"{role}s" for role in ROLES if chains[role] == chain)
                yield "links", f"{who} go {way}, which is not simulated; expected {expected}"
        passed = {name for chain in chains.values() for name in chain}
        for name in self.memories:
            if name not in passed:
                yield (
                    f"parts.{name}",
                    f"on no tensor's shortest way from {self.dram_name} to {self.compute_name}, so "
                    f"that it is not simulated; expected links that lead through it",
                )

    def only(self, kind: str, per: str | None = None) -> str:
        """The name of the memory of a kind and owner, of which a machine has one."""
        return next(name for name, part in self.parts.items() if Need(kind, per).meets(part))

    def _unreachable(self) -> Iterator[tuple[str, str]]:
        for role in ROLES:
            try:
                self.chain(role)
            except HwsimError as error:
                yield "links", str(error)

    @cached_property
    def graph(self) -> networkx.DiGraph[str]:
        """Parts as nodes, the directions data moves in as edges."""
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(self.parts)
        for link in self.links:
            left, right = _ends(link)
            graph.add_edge(left, right)
            if "<->" in link:
                graph.add_edge(right, left)
        return graph

    @cached_property
    def compute_name(self) -> str:
        return next(name for name, part in self.parts.items() if isinstance(part, Compute))

    @property
    def compute(self) -> Compute:
        return cast(Compute, self.parts[self.compute_name])

    @cached_property
    def dram_name(self) -> str:
        return next(
            name
            for name, part in self.parts.items()
            if isinstance(part, Memory) and part.management == "backing"
        )

    def chain(self, role: Role) -> tuple[str, ...]:
        """The memories that a tensor of this role passes through, from DRAM inwards.

        Raises HwsimError when no path of parts that hold the role joins DRAM and the compute part.
        """
        if role not in self._chains:
            self._chains[role] = self._find_chain(role)
        return self._chains[role]

    @cached_property
    def _chains(self) -> dict[Role, tuple[str, ...]]:
        return {}

    def _find_chain(self, role: Role) -> tuple[str, ...]:
        """The shortest way through parts that hold the role, breadth first."""
        ends = (self.dram_name, self.compute_name)
        start, goal = ends if role != "output" else ends[::-1]
        ways: dict[str, tuple[str, ...]] = {start: (start,)}
        waiting = [start]
        for part in waiting:
            for after in self.onward[part]:
                if after not in ways and self._lets_through(after, role):
                    ways[after] = (*ways[part], after)
                    waiting.append(after)
        if goal not in ways:
            raise HwsimError(
                f"no path for the {role}s between {self.dram_name!r} and {self.compute_name!r}; "
                f"expected links through parts that hold {role}s"
            )
        way = ways[goal] if role != "output" else ways[goal][::-1]
        return tuple(name for name in way if name != self.compute_name)

    def _lets_through(self, name: str, role: Role) -> bool:
        part = self.parts[name]
        return name == self.compute_name or (isinstance(part, Memory) and role in part.holds)

    @cached_property
    def onward(self) -> dict[str, list[str]]:
        """Where data may go from each part, in the order of the links."""
        onward: dict[str, list[str]] = {name: [] for name in self.parts}
        for link in self.links:
            left, right = _ends(link)
            onward[left].append(right)
            if "<->" in link:
                onward[right].append(left)
        return onward

    @cached_property
    def memories(self) -> dict[str, Memory]:
        """Every memory part by name, in the order of the file."""
        return {name: part for name, part in self.parts.items() if isinstance(part, Memory)}

    @property
    def management(self) -> Literal["implicit", "mixed", "explicit"]:
        """Who decides what stays on chip, read off the chain.

        Registers are always explicit, and do not count.
        """
        kinds = {part.management for part in self.memories.values() if part.kind != "registers"} - {
            "backing"
        }
        if kinds == {"implicit"}:
            return "implicit"
        return "mixed" if "implicit" in kinds else "explicit"

    def part(self, name: str, kind: type[Any]) -> Any:
        """The part `name`, known to be of class `kind`."""
        part = self.parts[name]
        if not isinstance(part, kind):
            raise HwsimError(
                f"{self.name}: part {name!r} is a {part.kind}, expected {kind.__name__}"
            )
        return part


def _ends(link: str) -> tuple[str, str]:
    left, _, right = link.replace("<->", "->").partition("->")
    return left.strip(), right.strip()


def list_machines() -> list[str]:
    """The names of the shipped machines."""
    return sorted(shipped("configs"))


def load_machine(
    name_or_path: str | Path | Mapping[str, Any], settings: str | Sequence[str | Setting] = ()
) -> Machine:
    """A shipped machine by name, your own by path, or what such a file would say as a dict.

    settings: values of its file changed, such as "parts.dram.bandwidth=2 TB/s".

    Raises ConfigError with every fault of the file, UnknownName for a name that is not shipped,
    HwsimError for a setting that the file has no place for or that makes it faulty.
    """
    if isinstance(name_or_path, Mapping):
        path, text = Path("machine"), _as_yaml(name_or_path)
    else:
        if str(name_or_path) in shipped("systems"):
            raise HwsimError(
                f"{name_or_path} is a system of several chips; expected a machine, or "
                f"hwsim split {name_or_path} WORKLOAD"
            )
        path = locate("machine", "configs", name_or_path)
        text = read_text(path)
        check_text("configs", path, text)
    machine = read(Machine, Document(text, str(path)))
    several = (settings,) if isinstance(settings, str) else settings
    return _changed(text, path, read_settings(several)) if several else machine


def _as_yaml(values: Mapping[str, Any]) -> str:
    """What a file would say. Raises HwsimError for values that no file can."""
    import yaml

    try:
        return yaml.safe_dump(dict(values), sort_keys=False)
    except yaml.YAMLError as error:
        raise HwsimError(f"machine: a dict that YAML cannot say: {error}") from None


def _changed(text: str, path: Path, settings: Sequence[Setting]) -> Machine:
    """The machine of a file with some values set."""
    document = Document(text, str(path))
    for setting in settings:
        apply(cast("yaml.Node", document.root), setting)
    try:
        machine = read(Machine, document)
    except ConfigError as error:
        faults = "; ".join(f"{fault.path}: {fault.what}" for fault in error.faults)
        raise HwsimError(f"{said(settings)}: {faults}") from None
    return replace(machine, settings=tuple(settings))
