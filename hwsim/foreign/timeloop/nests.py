"""A problem and a mapping in Timeloop's words as a nest.

A row has `shape` (dims, dataspaces with their projections), `dims`, `coefficients`,
`levels_outer_to_inner`, `mapping` (blocks of loops of a level, outermost first) and `bypass`.
"""

from __future__ import annotations

from typing import Any

from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Loop, Nest
from hwsim.ir.stage import Operations, Stage
from hwsim.ir.tensor import Axis, Tensor
from hwsim.ir.transform import drop_idle
from hwsim.ir.verify import verify_nest, verify_stage


def nest_of(row: Any) -> Nest:
    """The nest that a row's mapping describes. Raises HwsimError for one that covers no problem."""
    stage = _stage(row)
    extents = dict(stage.bounds)
    factors = {
        level["name"]: [block for block in row["mapping"] if block["level"] == level["name"]]
        for level in row["levels_outer_to_inner"]
    }
    names = [tensor.name for tensor in stage.tensors]
    ordered = [
        (dim, bound[0] if isinstance(bound, list) else bound)
        for blocks in factors.values()
        for block in blocks
        for dim, bound in block["loops"]
    ]
    tiles = _tiles(ordered, extents)
    items: list[Hold | Loop] = []
    position = 0
    for name, blocks in factors.items():
        bypassed = row["bypass"].get(name, [])
        held = tuple(tensor for tensor in names if tensor not in bypassed)
        if held or not items:
            items.append(Hold(name, held))
        for block in blocks:
            for number, (dim, _) in enumerate(block["loops"]):
                axis = None
                if block["type"] == "spatial":
                    axis = "column" if number < block.get("split", len(block["loops"])) else "row"
                items.append(Loop(dim, tiles[position], axis))
                position += 1
    return verify_nest(Nest(verify_stage(stage), drop_idle(stage, items), "timeloop mapping"))


def _tiles(ordered: list[tuple[str, int]], extents: dict[str, int]) -> list[int]:
    """Bounds to tiles: a loop's tile is what the loops of its dim inside it cover.

    Raises HwsimError when a dim's loops cover less than it has.
    """
    tiles, inside = [0] * len(ordered), dict.fromkeys(extents, 1)
    for number in reversed(range(len(ordered))):
        dim, bound = ordered[number]
        tiles[number] = inside[dim]
        inside[dim] *= bound
    short = [
        f"{dim} by {reached} of {extents[dim]}"
        for dim, reached in inside.items()
        if reached < extents[dim]
    ]
    if short:
        raise HwsimError(f"the mapping's loops do not cover {', '.join(short)}")
    return tiles


def _stage(row: Any) -> Stage:
    sizes = {dim: row["dims"][dim] for dim in row["shape"]["dims"]}
    tensors = []
    inputs = [space for space in row["shape"]["dataspaces"] if not space["read_write"]]
    for space in row["shape"]["dataspaces"]:
        axes = tuple(_axis(terms, sizes, row["coefficients"]) for terms in space["projection"])
        role = (
            "output" if space["read_write"] else ("activation" if space is inputs[0] else "weight")
        )
        tensors.append(Tensor(space["name"], role, axes, 1))  # type: ignore[arg-type]
    return Stage(
        row["shape"]["name"],
        tuple(sizes.items()),
        tuple(tensors),
        Operations(multiplies=1, additions=1),
    )


def _axis(terms: list[list[str]], sizes: dict[str, int], coefficients: dict[str, int]) -> Axis:
    weights = tuple(
        (term[0], coefficients.get(term[1], 1) if len(term) > 1 else 1) for term in terms
    )
    return Axis(weights, 1 + sum(weight * (sizes[dim] - 1) for dim, weight in weights))
