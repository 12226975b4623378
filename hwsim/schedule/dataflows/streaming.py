"""Streaming: for stages that no matrix unit runs. Outputs in order, each window read as it comes.

par outer dims:                  cores, blocks, or none
  for tiles of the output:       as much as the memory nearest to the vector unit holds
    for window: out = f(in)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from hwsim.describe.machine import Machine
from hwsim.describe.units import size_text
from hwsim.errors import HwsimError
from hwsim.ir.attention import is_fused_attention
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Stage
from hwsim.ir.transform import drop_idle, points, split_group, tiles, whole_rows
from hwsim.parts.cache import Cache, caches_of
from hwsim.parts.core import Core
from hwsim.parts.scratchpad import Scratchpad
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS, Dataflow, tile_bytes

THREADS = 256
THREAD_BYTES = 512  # of registers for a thread's operands
PIECES = 16
TURNED = 32  # words of a row and of a column: a line of each, and a block's most threads
LEAST_TILE = 32 * 1024


class Streaming:
    """One pass over the output, window dims innermost."""

    name = "streaming"
    summary = "one pass over the output, for transforms, pooling and elementwise stages"
    default = True

    def refuses(self, stage: Stage, machine: Machine) -> str | None:
        if is_fused_attention(stage) and isinstance(machine.compute, StreamingMultiprocessor):
            return "every query would read all keys and values"
        return None if stage.view is None else "a matrix product reuses what this would stream"

    def schedule(self, stage: Stage, machine: Machine, placement: Placement) -> Nest:
        outer = _neighbours_last(stage)
        window = tuple(dim for dim, _ in stage.bounds if dim not in stage.output.dims)
        if isinstance(machine.compute, Core):
            items = _on_cores(stage, machine, machine.compute, outer, window)
        elif isinstance(machine.compute, StreamingMultiprocessor):
            items = _on_blocks(stage, machine, outer, window)
        else:
            items = _through_buffer(stage, machine, placement, outer, window)
        return Nest(
            stage, drop_idle(stage, [*placement.backing(stage, machine), *items]), self.name
        )


def _neighbours_last(stage: Stage) -> list[str]:
    """The output's dims, outermost first.

    Vectors go along the last one: where that does not move, along the one whose words lie side by
    side, in what is read as in what is written.
    """
    extents = stage.extents
    outer = [dim for dim, _ in stage.bounds if dim in stage.output.dims]
    fastest = [tensor.fastest for tensor in stage.tensors]
    near = set(fastest[-1].dims).intersection(*(axis.dims for axis in fastest))
    moving = [dim for dim in near if extents[dim] > 1]
    if extents[outer[-1]] > 1 or len(moving) != 1 or any(axis.extent > 1 for axis in fastest):
        return outer
    return [*(dim for dim in outer if dim != moving[0]), moving[0]]


def _names(stage: Stage) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in stage.tensors)


def _on_cores(
    stage: Stage, machine: Machine, core: Core, outer: list[str], window: tuple[str, ...]
) -> list[Loop | Hold]:
    """Cores share the outer dims, the longest first; a vector of the innermost dim at a time.

    Where neighbours in the output are none in the input, a core takes a square of a line's words
    along either, or fewer, so that their lines stay in its first cache.
    """
    extents = dict(stage.bounds)
    first = caches_of(machine)[0][1]
    square = {dim: _uncrowded(stage, dim, first) for dim in _turned(stage, outer)}
    lanes = max(1, stage.output.words_in(core.vector))
    vector = {outer[-1]: min(lanes, extents[outer[-1]])}
    whole = {dim: extents[dim] for dim in window}
    registers = core.vector * core.vector_registers
    while vector[outer[-1]] > 1 and _bytes(stage, {**whole, **vector}) > registers:
        vector[outer[-1]] //= 2
    pieces = -(-_bytes(stage, {**whole, **vector}) // registers)
    return [
        *_core_shares(extents, outer, {outer[-1]: lanes, **square}, core.cores),
        *tiles({**dict.fromkeys(outer, 1), outer[-1]: extents[outer[-1]], **square}, outer),
        *points(outer[:-1]),
        *tiles(vector, outer[-1:]),
        Hold(machine.only("registers"), _names(stage), halo="refetch", pieces=pieces),
        *points((*outer[-1:], *window)),
    ]


def _core_shares(
    extents: Mapping[str, int], dims: Sequence[str], units: Mapping[str, int], cores: int
) -> Iterator[Loop]:
    """Loops over cores, the longest dims first, those last that go in units of several words."""
    for dim in sorted(dims, key=lambda dim: (dim in units, -extents[dim])):
        unit = units.get(dim, 1)
        ways = min(cores, -(-extents[dim] // unit))
        if ways > 1:
            yield Loop(dim, -(-extents[dim] // (ways * unit)) * unit, "core")
            cores //= ways


def _uncrowded(stage: Stage, dim: str, cache: Cache) -> int:
    """Words along a dim: a line's, or so many that rows which lie so fill half a set at most."""
    words = stage.output.words_in(cache.line)
    apart = max(tensor.bytes_apart(dim) for tensor in stage.tensors)
    most = max(1, cache.ways // 2)
    while words > 1 and cache.most_in_a_set(row * apart for row in range(words)) > most:
        words //= 2
    return words


def _bytes(stage: Stage, sizes: dict[str, int]) -> int:
    return sum(tile_bytes(tensor, sizes) for tensor in stage.tensors)


def _on_blocks(
    stage: Stage, machine: Machine, outer: list[str], window: tuple[str, ...]
) -> list[Loop | Hold]:
    """Blocks of THREADS threads for neighbouring outputs.

    The SM's L1 lets them share what their windows share.

    A transform of more than THREAD_BYTES is shared by several threads; one of more than shared
    memory holds, or all threads' registers, is taken part by part. Where neighbours in the output
    are none in the input, a block takes a square, TURNED of each, through shared memory.
    """
    sm = machine.compute
    assert isinstance(sm, StreamingMultiprocessor)
    room = min(sm.shared_per_block, THREADS * THREAD_BYTES)
    parts = _window_that_fits(stage, window, room)
    pieces = -(-_bytes(stage, parts) // THREAD_BYTES)
    turned, most = _turned(stage, outer), max(1, THREADS // pieces)
    sizes = (
        _square(stage, outer, turned)
        if turned
        else _side_by_side(stage, outer, most, _line(machine))
    )
    while most > 1 and _bytes(stage, {**parts, **sizes}) > room:
        most //= 2
        sizes = _side_by_side(stage, outer, most, _line(machine))
    return [
        *tiles(sizes, outer, "block"),
        *tiles(parts, window),
        Hold(machine.only("scratchpad", "sm"), _names(stage), multicast=False),
        *points(outer, "thread"),
        Hold(machine.only("registers"), _names(stage), multicast=False, pieces=pieces),
        *points(window),
    ]


def _window_that_fits(stage: Stage, window: tuple[str, ...], room: int) -> dict[str, int]:
    """The largest part of a window that fits so many bytes, whole along its innermost dims."""
    extents = stage.extents
    parts = {dim: extents[dim] for dim in window}
    for dim in window:
        while parts[dim] > 1 and _bytes(stage, parts) > room:
            parts[dim] = -(-parts[dim] // 2)
    return parts


def _square(stage: Stage, outer: list[str], turned: tuple[str, ...]) -> dict[str, int]:
    """TURNED words along either dim, more of the others where these are short."""
    extents = dict(stage.bounds)
    sizes = {dim: min(TURNED, extents[dim]) for dim in turned}
    others = tuple(dim for dim in outer if dim not in turned)
    return sizes | split_group(others, extents, TURNED * TURNED // prod(sizes.values()))


def _line(machine: Machine) -> int:
    """Bytes that come at a time from outside an SM."""
    return caches_of(machine)[0][1].line


def _side_by_side(stage: Stage, outer: list[str], most: int, line: int) -> dict[str, int]:
    """At most so many outputs that lie side by side, and as many as a line of an input has."""
    output, extents = stage.output, stage.called_extents
    near = dict.fromkeys(dim for number in output.order for dim in output.axes[number].dims)
    innermost = next(reversed(near), None)
    lined: dict[str, int] = {}
    for tensor in stage.inputs:
        words = tensor.words_in(line)
        for dim in tensor.fastest.dims if tensor.fastest.extent == 1 else ():
            if dim in outer and dim != innermost and words <= most // prod(lined.values()):
                lined[dim] = min(extents[dim], words)
                most -= most % words  # whole lines where the dim has less than one
    far = tuple(dim for dim in outer if dim not in near)
    rest = tuple(dim for dim in (*far, *near) if dim not in lined)
    return lined | whole_rows(rest, extents, most // prod(lined.values()))


def _turned(stage: Stage, outer: list[str]) -> tuple[str, ...]:
    """The dims along which an input's words and the output's lie side by side.

    They count where they are two, a word at a time; there are none where they agree, or windows
    overlap.
    """
    axes = [tensor.fastest for tensor in (*stage.inputs[:1], stage.output)]
    last = [axis.dims for axis in axes]
    if len(stage.inputs) > 1 or any(len(dims) != 1 for dims in last) or last[0] == last[1]:
        return ()
    if any(axis.extent > 1 for axis in axes):
        return ()
    found = tuple(dim for dims in last for dim in dims)
    moves = all(dim in outer and stage.extents[dim] > 1 for dim in found)
    return found if moves else ()


def _through_buffer(
    stage: Stage, machine: Machine, placement: Placement, outer: list[str], window: tuple[str, ...]
) -> list[Loop | Hold]:
    """A tile grown from the innermost dim: what fits the buffer.

    It is at most a PIECES-th of all, so that loads overlap.
    """
    level = machine.chain("activation")[1]
    part: Scratchpad = machine.part(level, Scratchpad)
    names = placement.moving(stage, machine, level, part.roles)
    moving = [tensor for tensor in stage.tensors if tensor.name in names]
    room, extents = placement.room(machine, level), dict(stage.bounds)
    sizes = {**dict.fromkeys(outer, 1), **{dim: extents[dim] for dim in window}}

    def needs(tile: dict[str, int]) -> int:
        return sum(tile_bytes(tensor, tile) for tensor in moving) * part.buffers

    if needs(sizes) > room:
        raise HwsimError(
            f"{machine.name}: {stage.name}: one output's window needs {size_text(needs(sizes))} "
            f"of {level}, "
            f"which has {size_text(room)}"
        )
    room = min(room, max(needs(extents) // PIECES, LEAST_TILE, needs(sizes)))
    for dim in reversed(outer):
        low, high = 1, extents[dim]
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if needs({**sizes, dim: middle}) <= room else (low, middle - 1)
            )
        sizes[dim] = low
        if low < extents[dim]:
            break
    hold = [Hold(level, names, buffers=part.buffers)] if names else []
    return [*tiles(sizes, outer), *hold, *points((*outer, *window))]


DATAFLOWS.register("streaming")(_flow := Streaming())
_checked: Dataflow = _flow
