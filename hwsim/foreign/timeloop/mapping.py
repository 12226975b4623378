"""Timeloop's mapping: what every level keeps, and its loops.

- {target: Buffer, type: temporal, factors: R=3 P=16, permutation: PR}     innermost first
- {target: Buffer, type: spatial, factors: K=16, split: 1}                 first one along x
- {target: Buffer, type: bypass, keep: [Weights], bypass: [Inputs]}        or datatype, dataspace
"""

from __future__ import annotations

import re
from typing import Any

from hwsim.foreign.timeloop.architecture import Level
from hwsim.foreign.timeloop.reading import File

FACTOR = re.compile(r"\s*,?\s*([A-Za-z])\s*=?\s*(\d+)(?:\s*,\s*(\d+))?")
KEYS = ("target", "type", "factors", "permutation", "split", "keep", "bypass", "name")
KEEPING = ("bypass", "datatype", "dataspace")
REFUSED = (
    "skew",
    "passthrough",
    "no_temporal_reuse",
    "rmw_on_first_writeback",
    "no_link_transfer",
    "no_multicast_no_reduction",
)


def mapping(
    file: File, memories: list[Level], dims: dict[str, int], spaces: list[str]
) -> dict[str, Any]:
    """`mapping` and `bypass` of a row (hwsim.foreign.timeloop.nests)."""
    entries = file.get(file.values, "", "mapping", list)
    known = {level.name for level in memories}
    loops: dict[tuple[str, str], Any] = {}
    bypass: dict[str, set[str]] = {
        level.name: set(spaces) if level.passes else set() for level in memories
    }
    for number, entry in enumerate(entries):
        path = f"mapping[{number}]"
        target, kind = (file.get(entry, path, key, str) for key in ("target", "type"))
        if target not in known:
            file.fail(f"{path}.target", f"{target!r}; expected one of {', '.join(sorted(known))}")
        file.refuse_misspelt(entry, path, (*KEYS, *REFUSED))
        for key in REFUSED:
            if key in entry or kind == key:
                file.fail(path, f"{key} is not read, as it changes the counts")
        if kind in KEEPING:
            _keep(file, entry, path, bypass[target], spaces)
        elif kind in ("temporal", "spatial"):
            loops[target, kind] = _block(file, entry, path, dims)
        else:
            file.fail(f"{path}.type", f"{kind!r}; expected temporal, spatial or bypass")
    blocks = [
        {"level": level.name, "type": kind, **loops[level.name, kind]}
        for level in memories
        for kind in ("temporal", "spatial")
        if (level.name, kind) in loops
    ]
    _check_cover(file, blocks, dims)
    return {"mapping": blocks, "bypass": {name: sorted(held) for name, held in bypass.items()}}


def _keep(file: File, entry: Any, path: str, bypassed: set[str], spaces: list[str]) -> None:
    for key in ("keep", "bypass"):
        for name in file.words(entry.get(key), f"{path}.{key}"):
            if name not in spaces:
                file.fail(f"{path}.{key}", f"{name!r}; expected one of {', '.join(spaces)}")
            (bypassed.discard if key == "keep" else bypassed.add)(name)


def _block(file: File, entry: Any, path: str, dims: dict[str, int]) -> dict[str, Any]:
    """Loops with their bounds, outermost first."""
    factors = _factors(file, entry, path, dims)
    stated = entry.get("permutation", "")
    if not isinstance(stated, str):
        stated = "".join(file.words(stated, f"{path}.permutation"))
    order = [name for name in stated if name not in " ,"]
    if strange := sorted(set(order) - set(dims)):
        file.fail(
            f"{path}.permutation", f"no dim {', '.join(strange)}; expected some of {''.join(dims)}"
        )
    if len(set(order)) < len(order):
        file.fail(f"{path}.permutation", f"{stated!r}: a dim is named twice; expected each once")
    order += [dim for dim in dims if dim not in order]
    inner_first = [(dim, factors.get(dim, 1)) for dim in order]
    if entry["type"] == "temporal":
        return {"loops": [(dim, bound) for dim, bound in reversed(inner_first) if bound > 1]}
    split = file.whole(entry.get("split", str(len(order))), f"{path}.split")
    along_x = [(dim, bound) for dim, bound in inner_first[:split] if bound > 1]
    along_y = [(dim, bound) for dim, bound in inner_first[split:] if bound > 1]
    return {"loops": [*along_x[::-1], *along_y[::-1]], "split": len(along_x)}


def _factors(file: File, entry: Any, path: str, dims: dict[str, int]) -> dict[str, int]:
    stated = entry.get("factors", "")
    text = stated if isinstance(stated, str) else " ".join(file.words(stated, f"{path}.factors"))
    text = text.partition("#")[0]
    found, position = {}, 0
    while text[position:].strip(" ,"):
        match = FACTOR.match(text, position)
        if not match or match[1] not in dims:
            rest = text[position : position + 20].strip()
            file.fail(f"{path}.factors", f"{rest!r}; expected a dim and its bound, as in R=3")
        bound = int(match[2])
        found[match[1]] = dims[match[1]] if bound == 0 else bound
        position = match.end()
    return found


def _check_cover(file: File, blocks: list[dict[str, Any]], dims: dict[str, int]) -> None:
    """Every dim's loops must come to its bound: a last, shorter iteration is what is left of it."""
    reached = dict.fromkeys(dims, 1)
    for block in blocks:
        for dim, bound in block["loops"]:
            reached[dim] *= bound
    for dim, bound in dims.items():
        if reached[dim] < bound:
            file.fail("mapping", f"{dim}'s factors come to {reached[dim]} of {bound}")
