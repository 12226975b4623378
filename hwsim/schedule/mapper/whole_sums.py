"""Where sums come back to a memory unfinished, and are then as wide as an accumulator there.

    for k in tiles          k outside of m: every sum leaves the array once for each tile of k,
      for m in tiles        and comes back; of the memories outside it takes an accumulator's word
        hold registers: C

    for m in tiles          sums are finished before they leave: they take a result's word
      for k in tiles
        hold registers: C

Whether a loop runs is for the tiles to say, so one skeleton has mappings of both kinds. They are
told apart: beside each skeleton stand its own whose loops are kept still so that sums are whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hwsim.ir.nest import Hold
from hwsim.ir.stage import Stage
from hwsim.schedule.mapper.space import CELL, OUTER, Skeleton, Slot, Space

Still = frozenset[tuple[str, str]]


def told_apart(space: Space) -> Space:
    """The space with the skeletons whose sums are whole beside those that do not say so."""
    stage, machine = space.stage, space.machine
    if not stage.reduction or machine.compute.accumulator_bytes <= stage.output.width:
        return space
    found: dict[object, Skeleton] = {}
    for skeleton in space.skeletons:
        for still in _all_still(space, skeleton):
            own = replace(skeleton, still=still)
            found.setdefault((without(own, still), own.running, bool(still)), own)
    return replace(space, skeletons=tuple(found.values()))


def without(skeleton: Skeleton, still: Still) -> tuple[Slot | Hold, ...]:
    """What a skeleton's nests are made of where some loops do not run."""
    return tuple(item for item in skeleton.items if not _is_still(item, still))


def come_back(space: Space, skeleton: Skeleton, hold: Hold) -> bool:
    """May sums come back to a level unfinished, as far as the skeleton says which loops run?"""
    slots = _running_above(space, skeleton, hold)
    sums = [number for number, slot in enumerate(slots) if slot.dim in space.stage.reduction]
    if _inside(skeleton, hold, space.stage) is None:
        return bool(sums)
    moving = [number for number, slot in enumerate(slots) if _moves(slot, space.stage)]
    return bool(sums and moving and sums[0] < moving[-1])


def _all_still(space: Space, skeleton: Skeleton) -> Iterator[Still]:
    """Loops to keep still so that the sums of some level are whole; first none."""
    yield frozenset()
    wanted: list[Still] = []
    for hold in skeleton.holds:
        own = space.machine.memories.get(hold.level)
        if (
            space.stage.output.name in hold.tensors
            and own is not None
            and not own.word_bytes
            and come_back(space, skeleton, hold)
        ):
            wanted += _least_still(space, skeleton, hold)
    for still in dict.fromkeys(wanted):
        if not _contradicts(skeleton, still):
            yield still


def _least_still(space: Space, skeleton: Skeleton, hold: Hold) -> list[Still]:
    """Up to some loop sums' dims are still, from there on results'; no set with another in it."""
    slots, stage = _running_above(space, skeleton, hold), space.stage
    if _inside(skeleton, hold, stage) is None:
        return [frozenset((slot.dim, slot.tile) for slot in slots if slot.dim in stage.reduction)]
    found = []
    for place in range(len(slots) + 1):
        outside = [slot for slot in slots[:place] if slot.dim in stage.reduction]
        inside = [slot for slot in slots[place:] if _moves(slot, stage)]
        found.append(frozenset((slot.dim, slot.tile) for slot in (*outside, *inside)))
    return [still for still in dict.fromkeys(found) if not any(other < still for other in found)]


def _running_above(space: Space, skeleton: Skeleton, hold: Hold) -> list[Slot]:
    """Loops in time between a level and the next one inside that holds the output."""
    extents = space.stage.extents
    return [
        slot
        for slot in skeleton.slots_above(_inside(skeleton, hold, space.stage))
        if slot.tile != CELL
        and extents[slot.dim] > 1
        and (slot.tile != OUTER or len(space.outer[slot.dim]) > 1)
        and (slot.dim, slot.tile) not in skeleton.still
    ]


def _inside(skeleton: Skeleton, hold: Hold, stage: Stage) -> Hold | None:
    """The next level inside that holds the output; None for the multipliers."""
    chain = [other for other in skeleton.holds if stage.output.name in other.tensors]
    return chain[chain.index(hold) + 1] if hold is not chain[-1] else None


def _moves(slot: Slot, stage: Stage) -> bool:
    return slot.dim in stage.output.dims


def _is_still(item: Slot | Hold, still: Still) -> bool:
    return isinstance(item, Slot) and (item.dim, item.tile) in still


def _contradicts(skeleton: Skeleton, still: Still) -> bool:
    """Does the skeleton say of one of these loops that it runs?"""
    outer, inner, following = skeleton.running
    return any(
        (dim == outer) if tile == OUTER else dim in (inner, following) for dim, tile in still
    )
