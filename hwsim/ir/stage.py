"""A stage: one perfect affine loop nest around one statement, before anybody has scheduled it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TYPE_CHECKING

from hwsim.ir.note import Note
from hwsim.ir.tensor import Axis, Tensor

if TYPE_CHECKING:
    from hwsim.ir.kernel import Kernel


@dataclass(frozen=True)
class Operations:
    """What is computed: per statement, or summed over a stage, a layer, a network (they add up).

    fused: of the constant multiplications and shifts, those that one fused multiply-add does with
    an addition.
    """

    multiplies: int = 0
    constant_multiplies: int = 0
    shifts: int = 0
    additions: int = 0
    effectual_multiplies: int = 0
    fused: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(*(getattr(self, name) + getattr(other, name) for name in FIELDS))

    def __mul__(self, times: int) -> Operations:
        return Operations(*(getattr(self, name) * times for name in FIELDS))

    def with_effectual(self, effectual: int) -> Operations:
        """The same with another number of effectual multiplications."""
        return replace(self, effectual_multiplies=effectual)

    @property
    def vector_operations(self) -> int:
        """Instructions of a vector unit outside multiply-accumulates.

        A fused multiply-add is one.
        """
        return self.constant_multiplies + self.shifts + self.additions - self.fused


FIELDS = (
    "multiplies",
    "constant_multiplies",
    "shifts",
    "additions",
    "effectual_multiplies",
    "fused",
)


@dataclass(frozen=True)
class GemmView:
    """Which dims play m, n, k of a (batched) matrix product C[b][m][n] += A[b][m][k] * B[b][k][n].

    Dims are listed outermost first; A is the activation, B the weight, C the output.
    """

    m: tuple[str, ...]
    n: tuple[str, ...]
    k: tuple[str, ...]
    b: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """An operator that reads a whole row before it writes any of it; over: the dims along a row."""

    operator: str
    over: tuple[str, ...]


@dataclass(frozen=True)
class Maps:
    """An operator on every element of a map, or on every window; layout: how the map lies."""

    operator: str
    layout: str = "nchw"


@dataclass(frozen=True)
class Transformed:
    """A fused stage's transforms, and what its iterations multiply between them.

    points: products of an iteration, of as many sums. outputs: words that the sums become. forward,
    inverse: operations of a patch's transform and of a tile's sums. filters: of a block, which
    transforms its patches itself.
    """

    points: int
    outputs: int
    forward: Operations
    inverse: Operations
    filters: int

    def operations(self, extents: Mapping[str, int]) -> Operations:
        """Of all transforms of a stage over filters k, channels c and tiles."""
        tiles = prod(bound for dim, bound in extents.items() if dim not in ("k", "c"))
        again = ceil(extents["k"] / self.filters)
        return self.forward * (tiles * extents["c"] * again) + self.inverse * (tiles * extents["k"])


@dataclass(frozen=True)
class Stage:
    """bounds: iterations of each dim, in the order of the textbook loops.

    per_iteration: operations of one execution of the statement. effectual: multiplications whose
    operands are both inside the tensors (padding excluded) and not zero, expected where the layer
    states densities. view: how a matrix unit sees the stage, None for a stage that no matrix unit
    can run. offline: done once before inference (the filter transform), counted but not timed.
    dtype: of the run, once there is one. kernel: what the statement computes, None for a
    multiply-accumulate. called_over: dims of which a GPU is called for one iteration after another.
    rows: what it sums over before it writes, for softmax and norms. maps: what it does to the
    elements or windows of a map, for other operators. transformed: where transforms run within it.
    """

    name: str
    bounds: tuple[tuple[str, int], ...]
    tensors: tuple[Tensor, ...]
    per_iteration: Operations
    effectual: int = 0
    view: GemmView | None = None
    offline: bool = False
    statement: str = ""
    dtype: str | None = None
    kernel: Kernel | None = None
    called_over: tuple[str, ...] = ()
    rows: Rows | None = None
    maps: Maps | None = None
    transformed: Transformed | None = None

    @property
    def extents(self) -> Mapping[str, int]:
        return dict(self.bounds)

    @property
    def iterations(self) -> int:
        return prod(bound for _, bound in self.bounds)

    @property
    def operations(self) -> Operations:
        total = self.per_iteration * self.iterations
        if self.transformed is not None:
            total += self.transformed.operations(self.extents)
        return total.with_effectual(self.effectual)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.tensors if tensor.role != "output")

    @property
    def output(self) -> Tensor:
        return next(tensor for tensor in self.tensors if tensor.role == "output")

    @property
    def reduction(self) -> frozenset[str]:
        """Dims that the output does not move along: the statement accumulates over them."""
        return frozenset(dim for dim, bound in self.bounds if bound > 1) - self.output.dims

    @property
    def launches(self) -> int:
        """Calls of a GPU that run it."""
        return self.group(self.called_over)

    @property
    def called_extents(self) -> dict[str, int]:
        """Iterations of each dim in one call of a GPU."""
        return {dim: 1 if dim in self.called_over else bound for dim, bound in self.bounds}

    @property
    def has_taps(self) -> bool:
        """Is an input read at positions and taps, be it at one tap alone?"""
        return any(len(axis.terms) > 1 for tensor in self.inputs for axis in tensor.axes)

    @property
    def gathers(self) -> bool:
        """Do windows of an input share words, or leave gaps?

        Then it is no plain product of what lies in memory. Windows that lie side by side are
        plain, as those of which tensor cores that skip zeros choose a word.
        """
        extents = self.extents

        def plain(axis: Axis) -> bool:
            moving = [term for term in axis.terms if extents[term[0]] > 1]
            return (
                len(moving) <= 1
                and all(coefficient == axis.span for _, coefficient in moving)
                and axis.overhang(extents) == (0, 0)
            )

        return not all(plain(axis) for tensor in self.inputs for axis in tensor.axes)

    @property
    def chooses_from(self) -> int:
        """Neighbours of which each product takes one; 1 where zeros are not skipped."""
        extents = self.extents
        windows = [
            axis.span
            for tensor in self.inputs
            for axis in tensor.axes
            for dim, coefficient in axis.terms
            if extents[dim] > 1 and coefficient == axis.span
        ]
        return max(windows, default=1)

    def tensor(self, name: str) -> Tensor:
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def group(self, dims: tuple[str, ...]) -> int:
        """The product of some dims' bounds: M, N or K of the view."""
        extents = self.extents
        return prod(extents[dim] for dim in dims)


@dataclass(frozen=True)
class Plan:
    """What an algorithm lowers a layer to: stages in order, and the tensors between them.

    temporaries: tensors that pass between stages. notes: reasons, and what else is to be said.

    fused_over: dims whose blocks run through all the stages one after another, so that a block's
    temporaries stay on chip; empty when each stage runs whole. one_kernel: a GPU runs all blocks in
    one call, not each in its own. trained_in: the algorithm in whose domain the weights are given;
    empty where they are the layer's.
    """

    algorithm: str
    stages: tuple[Stage, ...]
    temporaries: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    fused_over: tuple[str, ...] = ()
    one_kernel: bool = False
    trained_in: str = ""

    def __post_init__(self) -> None:
        """Results are kept by the stages' names."""
        names = [stage.name for stage in self.stages]
        assert len(set(names)) == len(names), names

    @property
    def operations(self) -> Operations:
        """At inference: what is offline is left out."""
        return sum((stage.operations for stage in self.stages if not stage.offline), Operations())

    def with_dtype(self, dtype: str) -> Plan:
        """The plan of a run in a data type."""
        return replace(self, stages=tuple(replace(stage, dtype=dtype) for stage in self.stages))

    @property
    def workspace_bytes(self) -> int:
        """Bytes of what the stages write only to read it again."""
        return sum(
            {
                tensor.name: tensor.bytes
                for stage in self.stages
                for tensor in stage.tensors
                if tensor.name in self.temporaries
            }.values()
        )
