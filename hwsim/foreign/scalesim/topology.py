"""SCALE-Sim's .csv: convolutions or products, one a row.

  Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
  Conv1, 224, 224, 7, 7, 3, 64, 2,

  Layer, M, N, K,
  fc, 32, 1000, 4096,

Columns are found by their names, in any order, between commas, semicolons or tabs. Beside the usual
ones there may be strides by axis, a batch, padding, dilation, and a sparsity N:M. 'DP' in a name
makes every channel a layer of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from hwsim.describe.layer import ConvLayer, Density, GemmLayer, Layer
from hwsim.describe.reading import read_text
from hwsim.describe.workload import Workload, numbered
from hwsim.errors import ConfigError, Fault, HwsimError, nearest, shortened
from hwsim.foreign.scalesim.config import ScaleSimConfig, whole

CONV = {
    "IFMAP Height": "h",
    "IFMAP Width": "w",
    "Filter Height": "r",
    "Filter Width": "s",
    "Channels": "channels",
    "Num Filter": "filters",
}
GEMM = {"M": "m", "N": "n", "K": "k"}
MORE = {
    "Strides": "stride",
    "Stride H": "stride_h",
    "Stride W": "stride_w",
    "Padding": "pad",
    "Padding H": "pad_h",
    "Padding W": "pad_w",
    "Dilation": "dilation",
    "Dilation H": "dilation_h",
    "Dilation W": "dilation_w",
    "Batch": "batch",
    "Sparsity": "sparsity",
}
ALSO = {
    "inputheight": "h",
    "inputwidth": "w",
    "ifmaph": "h",
    "ifmapw": "w",
    "filterh": "r",
    "filterw": "s",
    "kernelheight": "r",
    "kernelwidth": "s",
    "channel": "channels",
    "inputchannels": "channels",
    "numchannels": "channels",
    "numfilters": "filters",
    "filters": "filters",
    "numberoffilters": "filters",
    "outputchannels": "filters",
    "stride": "stride",
    "strideheight": "stride_h",
    "stridewidth": "stride_w",
    "pad": "pad",
    "padh": "pad_h",
    "padw": "pad_w",
    "paddingheight": "pad_h",
    "paddingwidth": "pad_w",
    "dilationheight": "dilation_h",
    "dilationwidth": "dilation_w",
    "batchsize": "batch",
    "sparsityratio": "sparsity",
    "nm": "sparsity",
    "sparsitynm": "sparsity",
}
LARGEST_LENGTH = 10**9


@dataclass(frozen=True)
class ScaleSimLayer:
    """One row of a topology: the layer, and the product (m, n, k) that SCALE-Sim makes of it.

    times: layers of their own that it stands for (a depthwise one's channels). batch: products with
    operands of their own, run as one layer. rounded: SCALE-Sim rounds a last, partial step of the
    window up to an output, which the layer does not have.
    """

    name: str
    layer: Layer
    m: int
    n: int
    k: int
    times: int = 1
    batch: int = 1
    rounded: bool = False

    @property
    def sparsity(self) -> tuple[int, int] | None:
        """(N, M) of N:M."""
        density: Density = getattr(self.layer, "density", Density())
        return density.of_group


def scalesim_workload(name: str, layers: Sequence[ScaleSimLayer]) -> Workload:
    """The layers as a workload; those of one name are numbered."""
    named: dict[str, Layer] = {}
    numbers: dict[str, int] = {}
    for layer in layers:
        named[numbered(layer.name, named, numbers)] = layer.layer
    return Workload(name, named)


def load_topology(path: str | Path) -> list[ScaleSimLayer]:
    """Read a .csv of convolutions or products, with or without separators at the ends of lines.

    Raises ConfigError with every fault.
    """
    text = read_text(Path(path))
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    lines = [
        (
            number,
            [cell.strip() for cell in line.strip(" \r\n").rstrip(separator + " ").split(separator)],
        )
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip(separator + " \t\r")
    ]
    if len(lines) < 2:
        raise HwsimError(f"{path}: no layers; expected a line of column names and one line a layer")
    columns = _columns(str(path), *lines[0])
    faults: list[Fault] = []
    layers: list[ScaleSimLayer] = []
    for number, cells in lines[1:]:
        row, wrong = _row(cells, columns)
        faults += [Fault(str(path), number, 1, column, what) for column, what in wrong]
        if not wrong:
            try:
                layers.append(_product(row) if "m" in row else _convolution(row))
            except HwsimError as error:
                faults.append(Fault(str(path), number, 1, shortened(cells[0]), str(error)))
        if len(faults) > MOST_FAULTS:
            break
    if faults:
        raise ConfigError(faults)
    return layers


MOST_FAULTS = 50


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


KNOWN = {
    **{_plain(name): field for table in (CONV, GEMM, MORE) for name, field in table.items()},
    **ALSO,
}
NAMES = {field: name for table in (CONV, GEMM, MORE) for name, field in table.items()}


def _columns(path: str, line: int, cells: Sequence[str]) -> list[str]:
    """The field of every column behind the first, from the line of names.

    Raises ConfigError for a name that is none, or missing.
    """
    if len(cells) > 1 and cells[1].isdecimal():
        names = ", ".join(CONV)
        raise ConfigError(
            [
                Fault(
                    path,
                    line,
                    1,
                    shortened(cells[0]),
                    f"a layer; expected a line of names first: {names}, Strides",
                )
            ]
        )
    found, faults = [], []
    for cell in cells[1:]:
        field = KNOWN.get(_plain(cell), "")
        if not field:
            near = nearest(cell, [*CONV, *GEMM, *MORE])
            faults.append(
                Fault(
                    path,
                    line,
                    1,
                    shortened(cell) or "column",
                    f"unknown column{near}; expected one of "
                    f"{', '.join([*CONV, *MORE])}, or {', '.join(GEMM)}",
                )
            )
        elif field in found:
            faults.append(
                Fault(path, line, 1, shortened(cell), f"{NAMES[field]} stands there twice")
            )
        found.append(field)
    needed = GEMM if "m" in found or "k" in found else CONV
    missing = [name for name, field in needed.items() if field not in found]
    if (
        "m" not in found
        and not {"stride"} & set(found)
        and not {"stride_h", "stride_w"} <= set(found)
    ):
        missing.append("Strides")
    if missing and not faults:
        faults.append(
            Fault(
                path,
                line,
                1,
                shortened(cells[0]),
                f"no column {', '.join(missing)}; expected {', '.join(needed)}",
            )
        )
    if faults:
        raise ConfigError(faults)
    return found


def _row(
    cells: Sequence[str], columns: Sequence[str]
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """(a layer's cells by field, what is wrong with them)."""
    row, wrong = {"name": cells[0]}, []
    if not cells[0]:
        wrong.append(("Layer name", "empty; expected a name"))
    for number, cell in enumerate(cells[1:]):
        field = columns[number] if number < len(columns) else "sparsity" if ":" in cell else ""
        if not field:
            wrong.append(
                (
                    "columns",
                    f"{shortened(repr(cell))} stands under no name; expected at most "
                    f"{1 + len(columns)} columns",
                )
            )
            continue
        if field in row:
            wrong.append((NAMES[field], "stands there twice"))
        row[field] = cell
        least = 0 if field.startswith("pad") else 1
        if field == "sparsity":
            wrong += [(NAMES[field], what) for what in _ratio_faults(cell)]
        elif whole(cell, LARGEST_LENGTH, least) is None:
            wrong.append(
                (
                    NAMES[field],
                    f"{shortened(repr(cell))}; expected a whole number from {least} to "
                    f"{LARGEST_LENGTH}",
                )
            )
    optional = {"sparsity", "batch"}
    for field in columns[len(cells) - 1 :]:
        if field not in optional:
            wrong.append(
                (NAMES[field], f"missing: {len(cells)} columns; expected {1 + len(columns)}")
            )
    return row, wrong


def _ratio_faults(cell: str) -> Iterator[str]:
    parts = [whole(part, 4096) for part in cell.split(":")]
    if len(parts) != 2 or None in parts or parts[0] > parts[1]:  # type: ignore[operator]
        yield f"{shortened(repr(cell))}; expected a sparsity such as 2:4"


def _density(row: Mapping[str, str]) -> Density:
    """Of the sparsity N:M that SCALE-Sim 3 lets follow."""
    kept, _, of = row.get("sparsity", "1:1").partition(":")
    return Density() if int(kept) == int(of) else Density(structure=f"{int(kept)}:{int(of)}")


def _product(row: Mapping[str, str]) -> ScaleSimLayer:
    """The layer of a row M, N, K.

    A batch of products is a convolution of 1 x 1 in groups: each product has both operands of its
    own.
    """
    m, n, k, batch = (int(row.get(name, "1")) for name in ("m", "n", "k", "batch"))
    density = _density(row)
    layer: Layer = GemmLayer(m, n, k, density=density)
    if batch > 1:
        layer = ConvLayer(1, k * batch, m, 1, n * batch, 1, 1, groups=batch, density=density)
    return ScaleSimLayer(row["name"], layer, m, n, k, batch=batch)


def _convolution(row: Mapping[str, str]) -> ScaleSimLayer:
    """The layer of a convolution's row, its outputs counted as SCALE-Sim counts them.

    They are (height - filter + stride) / stride, rounded up.
    """
    h, w, r, s, channels, filters, batch = (
        int(row.get(name, "1")) for name in ("h", "w", "r", "s", "channels", "filters", "batch")
    )

    def axes(name: str, otherwise: str) -> tuple[int, int]:
        both = row.get(name, otherwise)
        return int(row.get(f"{name}_h", both)), int(row.get(f"{name}_w", both))

    stride, pad, dilation = axes("stride", "1"), axes("pad", "0"), axes("dilation", "1")
    groups = channels if "DP" in row["name"] else 1
    layer = ConvLayer(
        batch,
        channels,
        h,
        w,
        filters * groups,
        r,
        s,
        stride,
        pad,
        dilation,
        groups,
        density=_density(row),
    )
    outputs = [
        ceil((size + 2 * margin - (apart * (taps - 1) + 1) + step) / step)
        for size, taps, step, margin, apart in zip(
            (h, w), (r, s), stride, pad, dilation, strict=True
        )
    ]
    return ScaleSimLayer(
        row["name"],
        layer,
        batch * outputs[0] * outputs[1],
        filters,
        r * s * (channels // groups),
        groups,
        rounded=outputs != [layer.p, layer.q],
    )


def topology_notes(config: ScaleSimConfig, layers: Sequence[ScaleSimLayer]) -> list[str]:
    """What SCALE-Sim does otherwise, or the files say and hwsim does not model.

    Each is said once.
    """
    notes = list(config.notes)
    rounded = [layer for layer in layers if layer.rounded]
    if rounded:
        of, first = getattr(rounded[0].layer, "n", 1), rounded[0]
        size = (
            f"{first.m // of} outputs in SCALE-Sim, "
            f"{first.layer.output[1] * first.layer.output[2]} simulated"
        )
        notes.append(
            f"SCALE-Sim rounds a window's last step up, hwsim's layers down: {first.name} has "
            f"{size}" + (f"; so has {len(rounded) - 1} more" if len(rounded) > 1 else "")
        )
    sparse = [layer.name for layer in layers if layer.sparsity is not None]
    if sparse and not config.sparse:
        notes.append(
            shortened(
                f"sparsity is not counted, as [sparsity] SparsitySupport is not true: "
                f"{', '.join(sparse)}",
                300,
            )
        )
    return notes
