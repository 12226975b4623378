"""Timeloop's architecture as levels from the outermost to the innermost.

subtree:  - name: System ...                       versions 0.2 and 0.3: names say how many,
            local: [{name: Buffer[0..15]}]         and trees multiply
nodes:    - !Container {name: PE, spatial: {meshX: 16}}      version 0.4: what stands behind a
                                                             node has so many of it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hwsim.foreign.timeloop.reading import TAG, File

COUNTED = re.compile(r"(.+?)\[(\d+)\.\.(\d+)\]")
COMPUTE = ("mac", "compute", "alu")
WORD_BITS = ("word_bits", "word_width", "datawidth")
DEPTHS = ("depth", "memory_depth", "data_storage_depth")
WIDTHS = ("width", "memory_width", "data_storage_width")
RATES = ("read_bandwidth", "write_bandwidth", "shared_bandwidth")
ATTRIBUTES = (*WORD_BITS, *DEPTHS, *WIDTHS, *RATES, "block_size", "entries", "sizeKB", "instances")
SPARSE = ("sparse_optimizations", "sparse-optimizations")


@dataclass(frozen=True)
class Level:
    """A level of the architecture.

    words: of one instance, None for any number. read, write: words a cycle of one instance, None
    for any number. passes: only neighbours fan out behind it, it keeps nothing.
    """

    name: str
    instances: int
    words: int | None = None
    read: float | None = None
    write: float | None = None
    passes: bool = False


def levels(file: File) -> list[Level]:
    """Memories from the outermost to the innermost.

    What multiplies comes last, and says how many there are.
    """
    root = file.get(file.values, "", "architecture", dict)
    if "nodes" in root:
        found = list(_nodes(file, root["nodes"], "architecture.nodes", [1]))
    elif "subtree" in root:
        found = list(_trees(file, root["subtree"], "architecture.subtree", 1))
    else:
        file.fail("architecture", "neither nodes nor subtree; expected one of them")
    if len(found) < 2:
        file.fail("architecture", f"{len(found)} components; expected memories and a multiplier")
    return found


def _trees(file: File, trees: Any, path: str, times: int) -> Iterator[Level]:
    if not isinstance(trees, list) or len(trees) != 1:
        file.fail(path, "expected a list of exactly one subtree")
    tree = trees[0]
    _, own = _counted(file.get(tree, f"{path}[0]", "name", str))
    times *= own
    local = tree.get("local") or []
    if not isinstance(local, list):
        file.fail(f"{path}[0].local", "expected a list of components")
    for number, part in enumerate(local):
        yield _level(file, part, f"{path}[0].local[{number}]", times)
    if tree.get("subtree"):
        yield from _trees(file, tree["subtree"], f"{path}[0].subtree", times)


def _nodes(file: File, nodes: Any, path: str, times: list[int]) -> Iterator[Level]:
    """times: instances so far, kept up as nodes fan out."""
    if not isinstance(nodes, list):
        file.fail(path, "expected a list of nodes")
    for number, node in enumerate(nodes):
        at = f"{path}[{number}]"
        if not isinstance(node, dict):
            file.fail(at, "expected a node such as !Component {name: ..., class: ...}")
        kind = node.get(TAG, "Component")
        if kind in ("Parallel", "Hierarchical", "Pipelined"):
            yield from _nodes(file, node.get("nodes", []), f"{at}.nodes", times)
            continue
        if kind not in ("Component", "Container"):
            file.fail(at, f"!{kind}; expected !Component, !Container, !Parallel or !Hierarchical")
        name = file.get(node, at, "name", str)
        mesh = file.part(node.get("spatial"), f"{at}.spatial")
        fan = file.whole(mesh.get("meshX", "1"), at) * file.whole(mesh.get("meshY", "1"), at)
        if fan != 1:
            yield Level(f"inter_{name}_spatial", times[0], passes=True)
            times[0] *= fan
        if kind == "Component":
            yield _level(file, node, at, times[0])


def _counted(name: str) -> tuple[str, int]:
    """PE[0..15]: the name alone, and 16."""
    match = COUNTED.fullmatch(name)
    return (match[1], int(match[3]) - int(match[2]) + 1) if match else (name, 1)


def _level(file: File, part: Any, path: str, times: int) -> Level:
    name, own = _counted(file.get(part, path, "name", str))
    for key in SPARSE:
        if key in part:
            file.fail(f"{path}.{key}", "is not read; expected a dense design")
    at = f"{path}.attributes"
    attributes = file.part(part.get("attributes"), at)
    file.refuse_misspelt(attributes, at, ATTRIBUTES)
    kind = file.get(part, path, "class", str).lower()
    if "instances" in attributes:
        instances = file.whole(attributes["instances"], f"{at}.instances")
    else:
        instances = times * own
    if any(word in kind for word in COMPUTE):
        return Level(name, instances)
    shared = _rate(file, attributes, at, "shared_bandwidth")
    return Level(
        name,
        instances,
        None if "dram" in kind else _words(file, attributes, at),
        _rate(file, attributes, at, "read_bandwidth") or shared,
        _rate(file, attributes, at, "write_bandwidth") or shared,
        passes="dummy" in kind,
    )


def _first(attributes: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if name in attributes), None)


def _words(file: File, attributes: dict[str, Any], path: str) -> int | None:
    """Of an instance: entries, or rows of a block of words, or kilobytes."""
    bits = file.whole(_first(attributes, WORD_BITS) or "16", path)
    width = _first(attributes, WIDTHS)
    block = attributes.get("block_size")
    if block is None:
        block = max(1, file.whole(width, path) // max(1, bits)) if width else 1
    else:
        block = file.whole(block, path)
    depth = _first(attributes, DEPTHS)
    if "entries" in attributes:
        return file.whole(attributes["entries"], path)
    if depth is not None:
        return file.whole(depth, path) * block
    if "sizeKB" in attributes:
        return file.whole(attributes["sizeKB"], path) * 8192 // bits
    return None


def _rate(file: File, attributes: dict[str, Any], path: str, name: str) -> float | None:
    """Words a cycle."""
    text = attributes.get(name)
    if text in (None, "None", "null"):
        return None
    try:
        rate = float(text)
    except (TypeError, ValueError):
        rate = 0.0
    if not 0 < rate < 1e12:
        file.fail(f"{path}.{name}", f"{text!r}; expected words a cycle")
    return rate
