"""ZigZag's workloads: a list of layers, each an equation with the sizes of its loops.

    - id: 0
      equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
      dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
      loop_dims: [B, K, C, OY, OX, FY, FX]
      loop_sizes: [1, 64, 3, 112, 112, 7, 7]

A layer with relations is a convolution or a pool, one that adds is elementwise, any other a
product. What an equation says counts, not its operator's name.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import yaml

from hwsim.describe.models import MODELS, ModelReader, Size
from hwsim.describe.network_file import FeatureMap, LayerText, WorkloadText
from hwsim.describe.reading import LOADER, read_text
from hwsim.errors import HwsimError, shortened

NEEDED = ("id", "equation", "loop_dims", "loop_sizes")
OPERAND = re.compile(r"([A-Z])((?:\[\w*\])+)")
EQUATION = re.compile(r"(O[^=+]*?)\+?=(.+?)([*+])(.+)")
RELATION = re.compile(r"(\w+)=(?:(\d+)\*)?(\w+)\+(?:(\d+)\*)?(\w+)")
ROWS, COLUMNS = ("IY", "OY", "FY"), ("IX", "OX", "FX")
NOTE = "ZigZag's precisions are not read: a run has one data type (--dtype)"


class ZigZag:
    """The YAML of ZigZag 3."""

    suffix = ".yaml"
    what = "a workload of ZigZag"
    sizes_itself = True

    def read(self, path: Path, size: Size | None) -> WorkloadText:
        """Raises HwsimError naming the file and the layer that it cannot read."""
        if size is not None:
            raise HwsimError(f"{path}: its layers state their own sizes; expected no --input")
        try:
            entries = yaml.load(read_text(path), Loader=LOADER)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise HwsimError(f"{path}: not valid YAML: {shortened(str(error), 200)}") from None
        if not isinstance(entries, list):
            raise HwsimError(f"{path}: no list; expected a list of ZigZag's layers")
        names: dict[Any, str] = {}
        layers = []
        for number, entry in enumerate(entries):
            try:
                layers.append(_layer(_Entry(entry), names))
            except HwsimError as error:
                raise HwsimError(f"{path}: layer {number}: {error}") from None
        return WorkloadText(path.stem, f"ZigZag: {path.name}", tuple(layers), notes=(NOTE,))


class _Entry:
    """One layer: its operands' dims, the dims' sizes, and how windows move."""

    def __init__(self, entry: Any) -> None:
        missing = [key for key in NEEDED if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise HwsimError(f"no {', '.join(missing)}; expected a layer of ZigZag's workload")
        self.entry = entry
        dims, sizes = entry["loop_dims"], entry["loop_sizes"]
        whole = isinstance(sizes, list) and all(isinstance(n, int) and n > 0 for n in sizes)
        if not whole or not isinstance(dims, list) or len(dims) != len(sizes):
            raise HwsimError("loop_dims and loop_sizes; expected as many sizes as dims")
        self.sizes = {str(dim).upper(): size for dim, size in zip(dims, sizes, strict=True)}
        self._check_rest()
        match = EQUATION.fullmatch(str(entry["equation"]).replace(" ", ""))
        operands = OPERAND.findall(str(entry["equation"])) if match else []
        if match is None or len(operands) != 3:
            raise HwsimError(f"{entry['equation']!r}; expected O[..]+=W[..]*I[..]")
        self.adds = match[3] == "+"
        self.dims = {name: frozenset(re.findall(r"\w+", axes.upper())) for name, axes in operands}

    def _check_rest(self) -> None:
        """Of what an entry may say beside its loops. Raises HwsimError."""
        kinds = {
            "operand_precision": dict,
            "operand_source": dict,
            "dimension_relations": list,
            "pr_loop_dims": list,
            "padding": list,
        }
        for key, kind in kinds.items():
            if not isinstance(self.entry.get(key) or kind(), kind):
                raise HwsimError(f"{key}: expected a {'mapping' if kind is dict else 'list'}")
        sources = (self.entry.get("operand_source") or {}).values()
        if not all(isinstance(one, (int, str)) for one in (self.entry["id"], *sources)):
            raise HwsimError("id and operand_source; expected numbers of layers")
        for sides in self.entry.get("padding") or []:
            pair = isinstance(sides, list) and len(sides) == 2
            if not pair or not all(isinstance(side, int) and side >= 0 for side in sides):
                raise HwsimError(f"padding {sides!r}; expected words before and behind")

    @property
    def name(self) -> str:
        return str(self.entry.get("name") or f"layer{self.entry['id']}")

    def has_weights(self) -> bool:
        """Are there any, where ZigZag gives a pool weights of no bits?"""
        precision = self.entry.get("operand_precision") or {}
        return bool(precision.get("W", 1))

    def sources(self, names: dict[Any, str]) -> tuple[str, ...]:
        """Layers before that it reads."""
        given = self.entry.get("operand_source") or {}
        ids = [given[name] for name in ("I", "W") if name in given]
        return tuple(names[one] for one in ids if one in names)

    def size(self, *dims: str) -> int:
        return prod(self.sizes.get(dim, 1) for dim in dims)

    def window(self, axis: tuple[str, str, str]) -> tuple[int, int, int, tuple[int, int]]:
        """(words that come in, stride, dilation, margins before and behind) along an axis."""
        outside, out, tap = axis
        step = gap = 1
        for text in self.entry.get("dimension_relations") or []:
            match = RELATION.fullmatch(str(text).replace(" ", ""))
            if match is None:
                raise HwsimError(f"relation {text!r}; expected ix=2*ox+1*fx")
            known = {*self.sizes, *ROWS, *COLUMNS}
            strange = [match[dim] for dim in (3, 5) if match[dim].upper() not in known]
            if strange:
                loops = ", ".join(self.sizes)
                raise HwsimError(
                    f"relation {text!r}: no loop {strange[0]}; expected some of {loops}"
                )
            if match[1].upper() != outside:
                continue
            steps = {match[3].upper(): match[2], match[5].upper(): match[4]}
            step, gap = (int(steps.get(dim) or 1) for dim in (out, tap))
        margins = dict(
            zip(
                (str(dim).upper() for dim in self.entry.get("pr_loop_dims") or []),
                self.entry.get("padding") or [],
                strict=False,
            )
        ).get(outside, (0, 0))
        reach = step * (self.size(out) - 1) + gap * (self.size(tap) - 1) + 1
        return reach - sum(margins), step, gap, (int(margins[0]), int(margins[1]))


def _layer(entry: _Entry, names: dict[Any, str]) -> LayerText:
    sources = entry.sources(names)
    names[entry.entry["id"]] = entry.name
    if entry.adds:
        rest = [dim for dim in entry.sizes if dim != "B"]
        shape = FeatureMap(entry.size(*rest), 1, 1)
        return LayerText(entry.name, "add", sources, inputs=2, images=entry.size("B"), in_=shape)
    if entry.entry.get("dimension_relations"):
        return _windows(entry, sources)
    return _product(entry, sources)


def _windows(entry: _Entry, sources: tuple[str, ...]) -> LayerText:
    known = {"B", "G", "K", "C", *ROWS, *COLUMNS}
    strange = sorted(set(entry.sizes) - known)
    if strange:
        raise HwsimError(f"loops over {', '.join(strange)}; expected B, G, K, C, OY, OX, FY, FX")
    (h, down, gap_down, top), (w, across, gap_across, left) = map(entry.window, (ROWS, COLUMNS))
    pads = (top[0], left[0], top[1], left[1])
    groups, channels, filters = (entry.size(dim) for dim in "GCK")
    stated: dict[str, Any] = {
        "r": entry.size("FY"),
        "s": entry.size("FX"),
        "stride": (down, across),
        "pad": pads if any(pads) else 0,
        "images": entry.size("B"),
    }
    if not entry.has_weights():
        stated["in_"] = FeatureMap(groups * max(channels, filters), h, w)
        return LayerText(entry.name, "maxpool", sources, **stated)
    return LayerText(
        entry.name,
        "conv",
        sources,
        k=groups * filters,
        groups=groups,
        dilation=(gap_down, gap_across),
        in_=FeatureMap(groups * channels, h, w),
        **stated,
    )


def _product(entry: _Entry, sources: tuple[str, ...]) -> LayerText:
    """A layer of products.

    Dims of both inputs and the output are products of their own, those of the inputs alone are
    summed over.
    """
    out, left, right = (entry.dims[name] for name in "OIW")
    if left | right != set(entry.sizes) or out - (left | right):
        raise HwsimError(f"{entry.entry['equation']!r}; expected loops over its operands' dims")
    each = out & left & right
    given = entry.entry.get("operand_source") or {}
    data = given.get("W", entry.entry["id"]) != entry.entry["id"]
    return LayerText(
        entry.name,
        "gemm",
        sources,
        m=entry.size(*(out & left - each)),
        n=entry.size(*(out & right - each)),
        k=entry.size(*((left | right) - out)),
        batch=entry.size(*each) if each else None,
        operand="data" if data else "weight",
    )


MODELS.register("zigzag")(_reader := ZigZag())
_checked: ModelReader = _reader
