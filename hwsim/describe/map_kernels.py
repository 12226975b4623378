"""Kernels on feature maps, as data: elementwise operators and pooling.

par block of a tile of the output:       as many at a time as an SM holds
  for step of threads through the tile:
    for tap of the window:               one, of an elementwise operator
      read, and compute
    write
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import ceil, prod
from pathlib import Path

from hwsim.describe.catalog import locate
from hwsim.describe.reading import Document, count, quantity, read, read_text, required
from hwsim.describe.units import DTYPE_BYTES, Duration

AXES = {  # what a tile may be cut along, and the dims of a map that lie in it
    "n": ("n",),
    "c": ("c",),
    "rows": ("rows",),
    "columns": ("columns",),
    "plane": ("rows", "columns"),
    "pixels": ("n", "rows", "columns"),
    "words": ("n", "c", "rows", "columns"),
}
LAYOUTS = ("nchw", "nhwc")
NONE = Duration(0.0, True)


@dataclass(frozen=True)
class MapFamily:
    """Kernels on maps that are one piece of code.

    operators: that it computes. dtypes, layouts: of its maps (none: any). tile: outputs of a block
    along these axes of a map (AXES), all of those that are not named. most: blocks along one of
    them, at most; a block then takes more. threads: of a block. registers: of a thread. start: of
    the whole call beyond the gaps between kernels. step: of each step of its threads, as long again
    by `tap` for every tap of a window. block: what a step takes of an SM whose other blocks fill
    its gaps. calls: of small kernels that prepare what this one needs, and of itself. most_taps: of
    a window, at most (0: any).
    """

    operators: tuple[str, ...] = required()
    tile: dict[str, float] = required()
    threads: int = count()
    registers: int = count()
    step: Duration = quantity("duration")
    block: Duration = quantity("duration", default=NONE)
    start: Duration = quantity("duration", default=NONE)
    tap: float = 0.0
    most: dict[str, float] = field(default_factory=dict)
    dtypes: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    calls: int = count(default=1)
    most_taps: int = count(default=0, least=0)

    def faults(self) -> Iterator[tuple[str, str]]:
        cut: list[str] = []
        for name, size in (*self.tile.items(), *self.most.items()):
            if name not in AXES:
                yield f"tile.{name}", f"no axis of a map; expected one of {', '.join(AXES)}"
            elif size < 1 or size != int(size):
                yield f"tile.{name}", f"{size:g}; expected a whole number of at least 1"
        for name in self.tile:
            cut += AXES.get(name, ())
        if len(cut) != len(set(cut)):
            yield "tile", "cuts an axis twice; expected axes apart from each other"
        for name in self.most:
            if name not in self.tile:
                yield f"most.{name}", "the tile is not cut along it; expected an axis of tile"
        for dtype in self.dtypes:
            if dtype not in DTYPE_BYTES:
                yield "dtypes", f"{dtype!r}; expected one of {', '.join(DTYPE_BYTES)}"
        for layout in self.layouts:
            if layout not in LAYOUTS:
                yield "layouts", f"{layout!r}; expected one of {', '.join(LAYOUTS)}"

    def takes(self, operator: str, dtype: str, layout: str, taps: int) -> bool:
        """Does it run an operator on windows of maps of this type that lie so?"""
        return (
            operator in self.operators
            and (not self.most_taps or taps <= self.most_taps)
            and (not self.dtypes or dtype in self.dtypes)
            and (not self.layouts or layout in self.layouts)
        )

    def grid(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """(blocks, steps of the threads of one) over outputs of {"n", "c", "rows", "columns"}."""
        blocks, outputs, whole = 1, 1, dict(sizes)
        for name, size in self.tile.items():
            there = prod(whole.pop(axis) for axis in AXES[name])
            parts = ceil(there / size)
            if name in self.most:
                parts = min(parts, int(self.most[name]))
            blocks *= parts
            outputs *= ceil(there / parts)
        return blocks, ceil(outputs * prod(whole.values()) / self.threads)


@dataclass(frozen=True, eq=False)
class MapLibrary:
    """Map kernels by name; the first that takes an operator runs it."""

    name: str
    description: str
    families: dict[str, MapFamily] = required()
    source: str = ""
    calibration: str = ""

    def kernel_for(
        self, operator: str, dtype: str, layout: str, taps: int
    ) -> tuple[str, MapFamily] | None:
        """Name and family of what runs an operator on windows of maps of this type that lie so."""
        for name, family in self.families.items():
            if family.takes(operator, dtype, layout, taps):
                return name, family
        return None


@cache
def load_map_library(name_or_path: str | Path) -> MapLibrary:
    """A shipped library of map kernels by name, or one of your own by path.

    Raises ConfigError with every fault of the file, UnknownName for a name that is not shipped.
    """
    path = locate("library of map kernels", "kernels", name_or_path)
    return read(MapLibrary, Document(read_text(path), str(path)))
