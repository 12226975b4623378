"""Convolution by tiles in a transformed domain: what Winograd's and Fourier's methods share.

    for every patch of the input:   V[:][c][patch] = forward(patch)                 input transform
    for every point e:              M[e][k][patch] += V[e][c][patch] * U[e][k][c]   products
    for every tile of the output:   tile = inverse(M[:][k][patch])                  output transform

The products are one matrix product per point. Strided, dilated and transposed layers are split into
plain ones first (hwsim.ir.phases): phases of the taps are further channels to sum over (strided) or
further filters (transposed), residues of the outputs are further images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from hwsim.ir.convolution import Convolution, batch_dims, grouped, width
from hwsim.ir.kernel import Kernel
from hwsim.ir.note import Note
from hwsim.ir.phases import Line, Phases
from hwsim.ir.stage import GemmView, Operations, Stage
from hwsim.ir.tensor import Axis, Tensor, along

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
# for every point the rows and columns of the patch behind it
Supports = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
Bounds = tuple[tuple[str, int], ...]

TRANSFORMED_BEFORE = Note("filter transform offline, not timed")


@dataclass(frozen=True)
class Method:
    """A transformed domain for outputs of rows x columns at a time and taps of `filter_shape`.

    points: values of a transformed tile. parts: 2 where a point is complex and its product an
    ordinary one of twice the depth and twice the filters, else 1. forward, filter: kernels from a
    patch and from the taps. *_support: which inputs each point depends on.
    """

    tile: tuple[int, int]
    patch: tuple[int, int]
    points: int
    forward: Kernel
    filter: Kernel
    input_support: Supports
    filter_support: Supports
    parts: int = 1


@dataclass(frozen=True)
class Side:
    """One axis of a tiled layer: its phases, and tiles of m outputs; the names of its dims."""

    phases: Phases
    m: int
    taps: int
    image: int
    outputs: int
    names: tuple[str, str, str]

    @property
    def tiles(self) -> int:
        """Tiles of each residue, the last whole."""
        return -(-self.phases.places // self.m)

    @property
    def places(self) -> Bounds:
        """Residue and tile dims; a residue dim of one is left out."""
        tile, residue, _ = self.names
        return (
            *(((residue, self.phases.residues),) if self.phases.residues > 1 else ()),
            (tile, self.tiles),
        )

    @property
    def phase(self) -> Bounds:
        return ((self.names[2], self.phases.phases),) if self.phases.phases > 1 else ()

    def _axis(self, line: Line, size: int, extent: int) -> Axis:
        tile, residue, phase = self.names
        terms = [(tile, self.m * line.step)]
        terms += [(residue, line.residue)] if self.phases.residues > 1 else []
        terms += [(phase, line.phase)] if self.phases.phases > 1 and line.phase else []
        return Axis(tuple(terms), size, line.offset, extent, line.step)

    def patch(self, extent: int) -> Axis:
        """The input coordinates behind a tile."""
        return self._axis(self.phases.input, self.image, extent)

    def tile(self) -> Axis:
        """The output coordinates of a tile."""
        return self._axis(self.phases.output, self.outputs, self.m)

    def filter(self, phase: int | None, extent: int) -> Axis:
        """Taps of one phase, or with None of every phase, whose dim then moves the axis."""
        line = self.phases.filter
        if phase is not None:
            return Axis((), self.taps, line.offset + line.phase * phase, extent, line.step)
        return Axis(
            ((self.names[2], line.phase),) if self.phases.phases > 1 else (),
            self.taps,
            line.offset,
            extent,
            line.step,
        )

    def inside(self, positions: Sequence[int]) -> Ints:
        """[phase, residue and tile]: how many of these positions of the patch are not padding."""
        import numpy as np

        line = self.phases.input
        phases = self.phases.phases if self.phases.summed else 1
        starts = (
            line.offset
            + line.phase * np.arange(phases)[:, None, None]
            + line.residue * np.arange(self.phases.residues)[:, None]
            + line.step * self.m * np.arange(self.tiles)
        )
        return _within(starts.reshape(phases, -1), line.step, positions, self.image)

    def taps_inside(self, positions: Sequence[int]) -> Ints:
        """[phase, 1]: how many of these taps each has."""
        import numpy as np

        line = self.phases.filter
        return _within(
            line.offset + line.phase * np.arange(self.phases.phases)[:, None],
            line.step,
            positions,
            self.taps,
        )


def _within(starts: Ints, step: int, positions: Sequence[int], size: int) -> Ints:
    import numpy as np

    places = starts[..., None] + step * np.array(positions, np.int64)
    return np.asarray(((places >= 0) & (places < size)).sum(axis=-1), np.int64)


def sides(
    layer: Convolution, rows: Phases, columns: Phases, tile: tuple[int, int]
) -> tuple[Side, Side]:
    return (
        Side(rows, tile[0], layer.r, layer.h, layer.p, ("y", "i", "u")),
        Side(columns, tile[1], layer.s, layer.w, layer.q, ("x", "j", "v")),
    )


@dataclass(frozen=True)
class TiledPart:
    """The stages of one pair of phases up to M; `mark` tells its tensors from other pairs'."""

    layer: Convolution
    rows: Side
    columns: Side
    method: Method
    mark: str = ""

    @property
    def _k(self) -> int:
        return self.layer.k // self.layer.groups

    @property
    def _c(self) -> int:
        return self.layer.c // self.layer.groups

    @property
    def _summed(self) -> bool:
        return self.rows.phases.summed

    @property
    def phase_dims(self) -> Bounds:
        return (*self.rows.phase, *self.columns.phase)

    @property
    def places(self) -> Bounds:
        """Dims of the tiles: images, and the residues and tiles of both axes."""
        return (("n", self.layer.n), *self.rows.places, *self.columns.places)

    def _points(self, whole: bool) -> Axis:
        return (
            Axis((), self.method.points, 0, self.method.points)
            if whole
            else along("e", self.method.points)
        )

    def _part(self, dim: str, whole: bool) -> tuple[Axis, ...]:
        parts = self.method.parts
        return () if parts == 1 else (Axis((), parts, 0, parts) if whole else along(dim, parts),)

    def _summed_dims(self) -> Bounds:
        """Dims that V and U share besides channels."""
        return self.phase_dims if self._summed else ()

    def _filter_dims(self) -> Bounds:
        return () if self._summed else self.phase_dims

    def v(self, whole: bool, role: str = "activation") -> Tensor:
        """V[e][z][g][c][u, v][n][i, y][j, x]"""
        axes = (
            self._points(whole),
            *self._part("z", whole),
            *grouped(self.layer, along("c", self._c)),
            *(along(dim, bound) for dim, bound in (*self._summed_dims(), *self.places)),
        )
        return Tensor(
            f"V{self.mark}",
            "output" if role == "output" else "activation",
            axes,
            width(self.layer.dtype),
        )

    def m(self, whole: bool, role: str = "output") -> Tensor:
        """M[e][o][g][k][u, v][n][i, y][j, x]"""
        axes = (
            self._points(whole),
            *self._part("o", whole),
            *grouped(self.layer, along("k", self._k)),
            *(along(dim, bound) for dim, bound in (*self._filter_dims(), *self.places)),
        )
        return Tensor(
            f"M{self.mark}",
            "output" if role == "output" else "activation",
            axes,
            width(self.layer.dtype),
        )

    def _u_axes(self, whole: bool, phases: tuple[int | None, int | None]) -> tuple[Axis, ...]:
        fixed = []
        for side, phase in zip((self.rows, self.columns), phases, strict=True):
            for dim, bound in side.phase:
                fixed.append(along(dim, bound) if phase is None else Axis((), bound, phase))
        return (
            self._points(whole),
            *self._part("z", whole),
            *self._part("o", whole),
            *grouped(self.layer, along("k", self._k), along("c", self._c)),
            *fixed,
        )

    def filter_transforms(self) -> list[Stage]:
        """The stages that transform the filters, one for each choice of fixed phases.

        for g, k, c, u, v:
            U[:][g][k][c][u][v] = transform(filter[g][k][c][taps of u][taps of v])
        """
        down, across = self.rows.phases.filter.phase, self.columns.phases.filter.phase
        choices = [
            [None] if direction >= 0 or not side.phase else list(range(side.phases.phases))
            for direction, side in ((down, self.rows), (across, self.columns))
        ]
        return [
            self._filter_transform((row, column), number)
            for number, (row, column) in enumerate(product(*choices))
        ]

    def _filter_transform(self, phases: tuple[int | None, int | None], number: int) -> Stage:
        layer = self.layer
        taps = (
            self.rows.filter(phases[0], self.rows.phases.taps),
            self.columns.filter(phases[1], self.columns.phases.taps),
        )
        kernel = Tensor(
            "filter",
            "activation",
            grouped(layer, along("k", self._k), along("c", self._c), *taps),
            width(layer.dtype),
        )
        u = Tensor(f"U{self.mark}", "output", self._u_axes(True, phases), width(layer.dtype))
        moving = [
            bound
            for side, phase in zip((self.rows, self.columns), phases, strict=True)
            if phase is None
            for bound in side.phase
        ]
        bounds = (*batch_dims(layer), ("k", self._k), ("c", self._c), *moving)
        name = f"filter-transform{self.mark}" + (f"-{number + 1}" if number else "")
        return Stage(
            name,
            bounds,
            (kernel, u),
            self.method.filter.operations,
            offline=True,
            statement=f"U{self.mark} = transform(filter)",
            kernel=self.method.filter,
        )

    def input_transform(self) -> Stage:
        """for n, g, c, tiles:  V[:][g][c][tile] = transform(ifmap[n][g][c][patch of the tile])"""
        layer = self.layer
        rows, columns = (
            side.patch(extent)
            for side, extent in zip((self.rows, self.columns), self.method.patch, strict=True)
        )
        image = Tensor(
            "ifmap",
            "activation",
            (along("n", layer.n), *grouped(layer, along("c", self._c)), rows, columns),
            width(layer.dtype),
        )
        bounds = (
            ("n", layer.n),
            *batch_dims(layer),
            ("c", self._c),
            *self._summed_dims(),
            *self.places[1:],
        )
        return Stage(
            f"input-transform{self.mark}",
            bounds,
            (image, self.v(True, "output")),
            self.method.forward.operations,
            statement=f"V{self.mark} = transform(ifmap)",
            kernel=self.method.forward,
        )

    def products(self) -> Stage:
        """for e, g, k, c, tiles:  M[e][g][k][tile] += V[e][g][c][tile] * U[e][g][k][c]"""
        layer = self.layer
        axes = self._u_axes(False, (None, None))
        k = next(number for number, axis in enumerate(axes) if axis.dims == ("k",))
        layout = (*(number for number in range(len(axes)) if number != k), k)
        u = Tensor(f"U{self.mark}", "weight", axes, width(layer.dtype), layout)
        deep: Bounds = (("z", 2),) if self.method.parts == 2 else ()
        wide: Bounds = (("o", 2),) if self.method.parts == 2 else ()
        outputs: Bounds = (("k", self._k), *self._filter_dims(), *wide)
        sums: Bounds = (("c", self._c), *self._summed_dims(), *deep)
        batch: Bounds = (("e", self.method.points), *batch_dims(layer))
        view = GemmView(
            *(tuple(dim for dim, _ in dims) for dims in (self.places, outputs, sums, batch))
        )
        tensors = (self.v(False), u, self.m(False))
        return Stage(
            f"products{self.mark}",
            (*batch, *self.places, *outputs, *sums),
            tensors,
            Operations(multiplies=1, additions=1),
            self._effectual(),
            view,
            statement=f"M{self.mark} += V{self.mark} * U{self.mark}",
        )

    def output(self) -> Tensor:
        axes = (
            along("n", self.layer.n),
            *grouped(self.layer, along("k", self._k)),
            self.rows.tile(),
            self.columns.tile(),
        )
        return Tensor("ofmap", "output", axes, width(self.layer.dtype))

    def _effectual(self) -> int:
        """Products of two numbers that are not zero, in expectation.

        A transformed value is zero when all behind it are.
        """
        density = self.layer.density
        taps_density, kept = (
            (1.0, density.weights) if density.spares_taps else (density.weights, 1.0)
        )
        layer, both = self.layer, (self.rows, self.columns)
        images = [
            {
                support: side.inside(support)
                for support in {points[axis] for points in self.method.input_support}
            }
            for axis, side in enumerate(both)
        ]
        taps = [
            {
                support: side.taps_inside(support)
                for support in {points[axis] for points in self.method.filter_support}
            }
            for axis, side in enumerate(both)
        ]
        total = 0.0
        for (image, filter_), times in Counter(
            zip(self.method.input_support, self.method.filter_support, strict=True)
        ).items():
            v = _nonzero(images[0][image[0]], images[1][image[1]], density.activations)
            u = _nonzero(taps[0][filter_[0]], taps[1][filter_[1]], taps_density)
            total += times * float((v * u).sum())
        return round(kept * total * layer.n * layer.k * self._c * self.method.parts**2)


def _nonzero(rows: Ints, columns: Ints, density: float) -> npt.NDArray[np.float64]:
    """Expected numbers of values that are not zero, [row phases, column phases].

    Each value has rows x columns numbers behind it.
    """
    import numpy as np

    result = np.zeros((len(rows), len(columns)))
    for place in np.ndindex(result.shape):
        down, down_times = np.unique(rows[place[0]], return_counts=True)
        across, across_times = np.unique(columns[place[1]], return_counts=True)
        behind = down[:, None] * across[None, :]
        share = (behind > 0) if density == 1.0 else 1.0 - (1.0 - density) ** behind
        result[place] = (share * down_times[:, None] * across_times[None, :]).sum()
    return result


def output_transform(
    parts: Sequence[TiledPart], kernel: Kernel, name: str = "output-transform"
) -> Stage:
    """The stage that makes outputs of the products, the parts' added up.

    for n, g, k, tiles:  ofmap[n][g][k][tile] = transform(M[:][g][k][tile])
    """
    first = parts[0]
    bounds = (
        ("n", first.layer.n),
        *batch_dims(first.layer),
        ("k", first._k),
        *first._filter_dims(),
        *first.places[1:],
    )
    inputs = tuple(part.m(True, "activation") for part in parts)
    return Stage(
        name,
        bounds,
        (*inputs, first.output()),
        kernel.operations,
        statement=f"ofmap = {' + '.join(f'transform(M{part.mark})' for part in parts)}",
        kernel=kernel,
    )
