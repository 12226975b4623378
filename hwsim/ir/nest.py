"""A nest: a stage with its loops tiled and ordered, and memory levels between them.

    hold dram: A B C
    for m in 0..12 step 4            Loop("m", 4)
      hold buffer: A B               Hold("buffer", ("A", "B"))
      par n in 0..8 step 1 (col)     Loop("n", 1, "col")
        for m in 0..4 step 1         Loop("m", 1)
          C[m][n] += A[m] * B[n]

Loop(dim, tile) cuts what is left of the dim into chunks of `tile`; the last one may be ragged. A
spatial loop puts its chunks side by side on a mesh axis. A level holds, for each tensor, exactly
what the loops inside it touch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import prod
from typing import Literal

from hwsim.describe.kernels import Kernel
from hwsim.describe.reading import count
from hwsim.ir.stage import Stage

COMPUTE = "compute"


@dataclass(frozen=True)
class Loop:
    """Step through what is left of `dim` in chunks of `tile`; on mesh axis `spatial` when given."""

    dim: str
    tile: int
    spatial: str | None = None


@dataclass(frozen=True)
class Hold:
    """Level `level` holds these tensors' tiles.

    halo: 'keep' fetches only what the previous tile lacks, 'refetch' the whole tile whenever it
    changes. buffers: tiles of each tensor held at a time. multicast: neighbours that need the same
    word share one read of the level below. reduce: neighbours' partial sums of a word are added on
    their way down. pieces: a tile too large for the level passes through it in so many pieces (the
    values of a large transform), or is shared by so many threads. parts: a tile is used part by
    part as it arrives, else once it is there whole.
    """

    level: str
    tensors: tuple[str, ...]
    halo: Literal["keep", "refetch"] = "keep"
    buffers: int = 1
    multicast: bool = True
    reduce: bool = True
    pieces: int = 1
    parts: bool = False


NO_VECTORS = "none"


@dataclass(frozen=True)
class Code:
    """What a compiler makes of a nest: for a CPU the innermost step, for a GPU its registers.

    vector: the dim that vectors run along, empty for the output's dim whose tile fills them best,
    NO_VECTORS for words one by one. fused: one instruction multiplies and adds. reloads: words that
    every step loads again although they stay, since the compiler cannot tell that a store leaves
    them as they are. step: instructions of a step beside loads, stores and sums: a pointer, a
    compare and branch in one. entry: instructions around a loop each time it begins: its bounds,
    pointers and sum, or checks that vectors may run. registers: of a GPU's thread, as the compiler
    reports them (ptxas -v); 0: estimated from what the thread holds.
    """

    vector: str = ""
    fused: bool = True
    reloads: int = count(default=0, least=0)
    step: int = count(default=2, least=0)
    entry: int = count(default=6, least=0)
    registers: int = count(default=0, least=0)


@dataclass(frozen=True)
class Nest:
    """Items outermost first; the first is the backing memory's Hold of every tensor.

    compute_multicast, compute_reduce: the same switches for the innermost level's wires to the
    multipliers. dataflow: the name of the rule that made it. packed: weights are stored in panels
    as wide as the tile that is loaded at a time. code: what a compiler makes of it.
    """

    stage: Stage
    items: tuple[Loop | Hold, ...]
    dataflow: str = ""
    compute_multicast: bool = True
    compute_reduce: bool = True
    packed: bool = False
    code: Code = Code()
    kernel: Kernel | None = None

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        return tuple(item for item in self.items if isinstance(item, Loop))

    @cached_property
    def holds(self) -> tuple[Hold, ...]:
        return tuple(item for item in self.items if isinstance(item, Hold))

    def loops_above(self, hold: Hold | None) -> tuple[Loop, ...]:
        """The loops outside a level; every loop for None, the multipliers."""
        if hold is None:
            return self.loops
        return tuple(
            item for item in self.items[: self.items.index(hold)] if isinstance(item, Loop)
        )

    def chain(self, tensor: str) -> tuple[Hold | None, ...]:
        """The levels that hold a tensor, outermost first, and None for the multipliers."""
        return (*(hold for hold in self.holds if tensor in hold.tensors), None)

    def bound(self, loop: Loop) -> int:
        """The most chunks that a loop steps through (its first, whole pass)."""
        left = self.stage.extents[loop.dim]
        for other in self.loops:
            if other is loop:
                break
            if other.dim == loop.dim:
                left = min(left, other.tile)
        return -(-left // loop.tile)

    def instances(self, loops: tuple[Loop, ...]) -> int:
        """Copies of a level below these loops."""
        return prod(self.bound(loop) for loop in loops if loop.spatial is not None)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text())}</pre>"

    def text(self, notes: Mapping[tuple[str, str], str] | None = None) -> str:
        """The nest as indented loops, levels where they stand.

        notes: what to say beside a level's tensors.
        """
        return "\n".join(self._lines(notes or {}))

    def _lines(self, notes: Mapping[tuple[str, str], str]) -> Iterator[str]:
        depth = 0
        for item in self.items:
            if isinstance(item, Hold):
                yield f"{'  ' * depth}hold {item.level}: {' '.join(item.tensors)}"
                wide = max((len(name) for name in item.tensors), default=0)
                for name in item.tensors:
                    if (item.level, name) in notes:
                        yield f"{'  ' * depth}  | {name:<{wide}} {notes[item.level, name]}"
            elif self.bound(item) > 1:
                word = "for" if item.spatial is None else "par"
                where = f" on {item.spatial}" if item.spatial else ""
                yield f"{'  ' * depth}{word} {item.dim} x{self.bound(item)} step {item.tile}{where}"
                depth += 1
        yield f"{'  ' * depth}{self.stage.statement or self.stage.name}"
