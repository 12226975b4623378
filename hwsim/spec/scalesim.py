"""SCALE-Sim's input files: a .cfg of the array and its buffers, a .csv of convolutions or of products.

    [architecture_presets]                        Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width,
    ArrayHeight:    32                                        Channels, Num Filter, Strides,
    ArrayWidth:     32                            Conv1, 224, 224, 7, 7, 3, 64, 2,
    IfmapSramSzkB:  64     ...
    Dataflow : ws                                 Layer, M, N, K,
    Bandwidth : 10                                fc, 32, 1000, 4096,

A word is a byte. A convolution's padding is in its IFMAP; 'DP' in a name makes every channel a layer of its own.
"""

from __future__ import annotations

import configparser
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

from hwsim.config import Document, read, read_text
from hwsim.errors import ConfigError, Fault, HwsimError, nearest
from hwsim.spec.layer import ConvLayer, Density, GemmLayer, Layer
from hwsim.spec.machine import Machine
from hwsim.spec.workload import Workload

SECTION = "architecture_presets"
NUMBERS = {"arrayheight": "rows", "arraywidth": "columns", "ifmapsramszkb": "ifmap_kb", "filtersramszkb": "filter_kb",
           "ofmapsramszkb": "ofmap_kb"}
CONV = ("IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter", "Strides")
GEMM = ("M", "N", "K")
Stationary = Literal["ws", "os", "is"]


@dataclass(frozen=True)
class ScaleSimConfig:
    """What a .cfg says of the machine. bandwidth: words a cycle of each of the three interfaces (the first of a list); None: enough."""

    name: str
    rows: int
    columns: int
    ifmap_kb: int
    filter_kb: int
    ofmap_kb: int
    dataflow: Stationary
    bandwidth: float | None


@dataclass(frozen=True)
class ScaleSimLayer:
    """One row of a topology: the layer, and the product (m, n, k) that SCALE-Sim makes of it, done `times` times over."""

    name: str
    layer: Layer
    m: int
    n: int
    k: int
    times: int = 1


def load_config(path: str | Path) -> ScaleSimConfig:
    """Read a .cfg. Raises ConfigError with every fault, at its line."""
    text = read_text(Path(path))
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, str(path))
    except configparser.Error as error:
        raise HwsimError(f"{path}: not a SCALE-Sim config: {' '.join(str(error).split())}") from None
    faults: list[Fault] = []

    def fault(key: str, what: str) -> None:
        lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().lower().startswith(key)]
        faults.append(Fault(str(path), lines[0] if lines else 1, 1, key, what))

    if not parser.has_section(SECTION):
        raise ConfigError([Fault(str(path), 1, 1, SECTION, f"no section [{SECTION}]{nearest(SECTION, parser.sections())}; expected it")])
    values = dict(parser.items(SECTION))
    numbers = {}
    for key, field in NUMBERS.items():
        value = values.get(key)
        if value is None:
            fault(key, f"missing in [{SECTION}]{nearest(key, values)}; expected a whole number")
        elif not value.strip().isdecimal() or int(value) < 1:
            fault(key, f"{value!r}; expected a whole number of at least 1")
        else:
            numbers[field] = int(value)
    dataflow = values.get("dataflow", "").strip().lower()
    if dataflow not in ("ws", "os", "is"):
        fault("dataflow", f"{dataflow!r}; expected ws, os or is")
    mode = parser.get("run_presets", "interfacebandwidth", fallback="CALC").strip().upper()
    if mode not in ("CALC", "USER"):
        fault("interfacebandwidth", f"{mode!r}; expected CALC or USER")
    given = mode == "USER"
    bandwidth = values.get("bandwidth", "").split(",")[0].strip()
    if given and not _positive(bandwidth):
        fault("bandwidth", f"{bandwidth!r}; expected words a cycle, as InterfaceBandwidth is USER")
    if faults:
        raise ConfigError(faults)
    name = parser.get("general", "run_name", fallback=Path(path).stem).strip()
    return ScaleSimConfig(name, dataflow=dataflow, bandwidth=float(bandwidth) if given else None, **numbers)  # type: ignore[arg-type]


def scalesim_machine(config: ScaleSimConfig) -> Machine:
    """The array and its three double-buffered memories, each with an interface of its own; folds one after another, each whole."""
    words = "1000000" if config.bandwidth is None else f"{config.bandwidth:g}"
    enough = f"{4 * config.rows * config.columns} B/cycle"
    text = f"""
        name: {json.dumps(config.name)}
        description: {config.rows}x{config.columns} array of a SCALE-Sim config
        clock: 1 GHz
        dtype: int8
        assumptions: 1 GHz, a latency of one cycle (the config gives none); memories on the chip are as fast as the array
        parts:
          dram: {{type: dram, capacity: 1 TiB, bandwidth: {words} B/cycle, latency: 1 cycles, ports: separate}}
          ifmap_sram: {{type: scratchpad, capacity: {config.ifmap_kb} KiB, bandwidth: {enough}, roles: [activation]}}
          filter_sram: {{type: scratchpad, capacity: {config.filter_kb} KiB, bandwidth: {enough}, roles: [weight]}}
          ofmap_sram: {{type: scratchpad, capacity: {config.ofmap_kb} KiB, bandwidth: {enough}, roles: [output]}}
          array: {{type: systolic, rows: {config.rows}, cols: {config.columns}, rates: {{int8: 1}}, preload_hidden: false,
                  overlap_folds: false, drain: false, partial_folds: whole, accumulator_bytes: 1}}
        links: [dram -> ifmap_sram, dram -> filter_sram, ifmap_sram -> array, filter_sram -> array, array -> ofmap_sram,
                ofmap_sram <-> dram]
    """
    return read(Machine, Document(text, config.name))


def scalesim_workload(name: str, layers: Sequence[ScaleSimLayer]) -> Workload:
    """The layers as a workload. Raises HwsimError for a name given twice."""
    doubled = [layer for layer, times in Counter(layer.name for layer in layers).items() if times > 1]
    if doubled:
        raise HwsimError(f"{name}: layer {doubled[0]!r} stands there twice; expected a name of its own for each")
    return Workload(name, {layer.name: layer.layer for layer in layers})


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def load_topology(path: str | Path) -> list[ScaleSimLayer]:
    """Read a .csv of convolutions or products, with or without commas at the ends of lines. Raises ConfigError with every fault."""
    lines = [(number, [cell.strip() for cell in line.strip().rstrip(",").split(",")])
             for number, line in enumerate(read_text(Path(path)).splitlines(), 1) if line.strip().rstrip(",")]
    if len(lines) < 2:
        raise HwsimError(f"{path}: no layers; expected a line of column names and one line a layer")
    if len(lines[0][1]) > 1 and lines[0][1][1].isdecimal():
        raise ConfigError([Fault(str(path), lines[0][0], 1, lines[0][1][0], f"a layer; expected a line of names first: {', '.join(CONV)}")])
    products = len(lines[0][1]) <= 1 + len(GEMM) + 1 and [cell.upper() for cell in lines[0][1][1:4]] == list(GEMM)
    columns = GEMM if products else CONV
    faults: list[Fault] = []
    layers: list[ScaleSimLayer] = []
    for number, cells in lines[1:]:
        wrong = list(_row_faults(cells, columns))
        faults += [Fault(str(path), number, 1, column, what) for column, what in wrong]
        if not wrong:
            try:
                layers.append(_product(cells) if products else _convolution(cells))
            except HwsimError as error:
                faults.append(Fault(str(path), number, 1, cells[0], str(error)))
    if faults:
        raise ConfigError(faults)
    return layers


def _row_faults(cells: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(cells) < 1 + len(columns):
        yield columns[len(cells) - 1], f"missing: {len(cells)} columns; expected a name and {', '.join(columns)}"
    for column, cell in zip(columns, cells[1:], strict=False):
        if not cell.isdecimal() or int(cell) < 1:
            yield column, f"{cell!r}; expected a whole number of at least 1"


def _density(cells: Sequence[str]) -> Density:
    """Of the sparsity N:M that SCALE-Sim 3 lets follow."""
    ratio = next((cell for cell in cells if ":" in cell), "1:1")
    kept, of, *_ = (*ratio.split(":"), "1")
    if not (kept.isdecimal() and of.isdecimal()):
        raise HwsimError(f"{ratio!r}; expected a sparsity such as 2:4")
    return Density() if kept == of else Density(structure=f"{kept}:{of}")


def _product(cells: Sequence[str]) -> ScaleSimLayer:
    m, n, k = (int(cell) for cell in cells[1:4])
    return ScaleSimLayer(cells[0], GemmLayer(m, n, k, density=_density(cells[4:])), m, n, k)


def _convolution(cells: Sequence[str]) -> ScaleSimLayer:
    """The outputs are counted as SCALE-Sim counts them: (height - filter + stride) / stride, rounded up."""
    h, w, r, s, channels, filters, stride = (int(cell) for cell in cells[1:8])
    groups = channels if "DP" in cells[0] else 1
    layer = ConvLayer(1, channels, h, w, filters * groups, r, s, stride=stride, groups=groups, density=_density(cells[8:]))
    m = ceil((h - r + stride) / stride) * ceil((w - s + stride) / stride)
    return ScaleSimLayer(cells[0], layer, m, filters, r * s * (channels // groups), groups)
