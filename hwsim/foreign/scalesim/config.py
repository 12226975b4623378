"""SCALE-Sim's .cfg: an array, its three buffers and their interfaces.

[architecture_presets]
ArrayHeight:    32
ArrayWidth:     32
IfmapSramSzkB:  64     ...
Dataflow : ws
Bandwidth : 10
"""

from __future__ import annotations

import configparser
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hwsim.describe.machine import Machine
from hwsim.describe.reading import Document, read, read_text
from hwsim.describe.units import DTYPE_BYTES
from hwsim.errors import ConfigError, Fault, HwsimError, nearest, shortened

SECTION = "architecture_presets"
NUMBERS = {
    "arrayheight": "rows",
    "arraywidth": "columns",
    "ifmapsramszkb": "ifmap_kb",
    "filtersramszkb": "filter_kb",
    "ofmapsramszkb": "ofmap_kb",
}
LARGEST = {
    "rows": 1 << 16,
    "columns": 1 << 16,
    "ifmap_kb": 1 << 30,
    "filter_kb": 1 << 30,
    "ofmap_kb": 1 << 30,
}
MOST_WORDS = 1e9  # a cycle
WITHOUT_EFFECT = {  # keys of SCALE-Sim's own configs that change none of the counts here
    "general": ("run_name",),
    SECTION: (
        "ifmapoffset",
        "filteroffset",
        "ofmapoffset",
        "dataflow",
        "bandwidth",
        "memorybanks",
        "readrequestbuffer",
        "writerequestbuffer",
        *NUMBERS,
    ),
    "layout": None,
    "sparsity": (
        "sparsitysupport",
        "sparserep",
        "optimizedmapping",
        "blocksize",
        "randomnumbergeneratorseed",
    ),
    "run_presets": ("interfacebandwidth", "useramulatortrace"),
    "network_presets": None,
    "energy": None,
    "power": None,
}
UNMODELLED = {
    ("layout", "ifmapcustomlayout"): "the IFMAP's layout",
    ("layout", "filtercustomlayout"): "the filters' layout",
    ("sparsity", "optimizedmapping"): "a sparsity of each row's own",
    ("run_presets", "useramulatortrace"): "Ramulator's DRAM",
}

Stationary = Literal["ws", "os", "is"]


@dataclass(frozen=True)
class ScaleSimConfig:
    """What a .cfg says of the machine.

    bandwidth: words a cycle of each of the three interfaces (the first of a list); None: enough.

    sparse: rows with a sparsity N:M are computed with so much of K. notes: what it says and hwsim
    does not model.
    """

    name: str
    rows: int
    columns: int
    ifmap_kb: int
    filter_kb: int
    ofmap_kb: int
    dataflow: Stationary
    bandwidth: float | None
    sparse: bool = False
    notes: tuple[str, ...] = ()


def load_config(path: str | Path) -> ScaleSimConfig:
    """Read a .cfg. Raises ConfigError with every fault, at its line."""
    return _Reader(path).config()


class _Reader:
    """A .cfg being read, and the faults found so far."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.text = read_text(self.path)
        self.faults: list[Fault] = []
        self.parser = configparser.ConfigParser(interpolation=None)
        try:
            self.parser.read_string(self.text, str(path))
        except configparser.Error as error:
            raise HwsimError(
                f"{path}: not a SCALE-Sim config: {shortened(' '.join(str(error).split()), 300)}"
            ) from None
        if not self.parser.has_section(SECTION):
            others = nearest(SECTION, self.parser.sections())
            self.fault(SECTION, f"no section [{SECTION}]{others}; expected it")
            raise ConfigError(self.faults)
        self.values = dict(self.parser.items(SECTION))

    def fault(self, key: str, what: str) -> None:
        """Note a fault at the key's first line."""
        lines = enumerate(self.text.splitlines(), 1)
        own = (number for number, line in lines if line.strip().lower().startswith(key))
        self.faults.append(Fault(str(self.path), next(own, 1), 1, key, what))

    def config(self) -> ScaleSimConfig:
        numbers, dataflow, bandwidth = self._numbers(), self._dataflow(), self._bandwidth()
        name = self.parser.get("general", "run_name", fallback=self.path.stem).strip()
        if not name:
            self.fault("run_name", "empty; expected a name, or no such line")
        if self.faults:
            raise ConfigError(self.faults)
        return ScaleSimConfig(
            name,
            dataflow=dataflow,
            bandwidth=bandwidth,
            sparse=_is_on(self.parser, "sparsity", "sparsitysupport"),
            notes=tuple(_config_notes(self.parser)),
            **numbers,
        )

    def _numbers(self) -> dict[str, int]:
        found = {}
        for key, field in NUMBERS.items():
            value = self.values.get(key)
            expected = f"expected a whole number from 1 to {LARGEST[field]}"
            if value is None:
                missing = f"missing in [{SECTION}]{nearest(key, self.values)}"
                self.fault(key, f"{missing}; expected a whole number")
            elif whole(value, LARGEST[field]) is None:
                self.fault(key, f"{shortened(repr(value))}; {expected}")
            else:
                found[field] = int(value)
        return found

    def _dataflow(self) -> Stationary:
        given = self.values.get("dataflow", "").strip().lower()
        for known in get_args(Stationary):
            if given == known:
                return known  # type: ignore[no-any-return]
        self.fault("dataflow", f"{shortened(repr(given))}; expected ws, os or is")
        return "ws"

    def _bandwidth(self) -> float | None:
        """Words a cycle, where the config gives them."""
        mode = self.parser.get("run_presets", "interfacebandwidth", fallback="CALC").strip().upper()
        if mode not in ("CALC", "USER"):
            self.fault("interfacebandwidth", f"{shortened(repr(mode))}; expected CALC or USER")
        if mode != "USER":
            return None
        given = self.values.get("bandwidth", "").split(",")[0].strip()
        if _positive(given):
            return float(given)
        self.fault(
            "bandwidth",
            f"{shortened(repr(given))}; expected words a cycle, up to {MOST_WORDS:g}, as "
            f"InterfaceBandwidth is USER",
        )
        return None


def _is_on(parser: configparser.ConfigParser, section: str, key: str) -> bool:
    return parser.get(section, key, fallback="false").strip().lower() in ("true", "yes", "on", "1")


def _config_notes(parser: configparser.ConfigParser) -> Iterator[str]:
    """What the config asks for that is not modelled, and keys that nobody reads."""
    for (section, key), what in UNMODELLED.items():
        if _is_on(parser, section, key):
            yield f"not modelled: {what} ([{section}] {key})"
    unread = []
    for section in parser.sections():
        known = WITHOUT_EFFECT.get(section, ())
        unread += [
            f"[{section}] {key}"
            for key in dict(parser.items(section))
            if known is not None and key not in known
        ]
    if unread:
        yield shortened(f"not read: {', '.join(unread)}", 300)


def whole(text: str, most: int, least: int = 1) -> int | None:
    """The whole number a cell says, None where it says none in range."""
    text = text.strip()
    return (
        int(text)
        if text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most
        else None
    )


def scalesim_machine(config: ScaleSimConfig, dtype: str = "int8") -> Machine:
    """The array and its three double-buffered memories, each with an interface of its own.

    Folds run one after another, each whole.

    dtype: of the words. Raises HwsimError for one that is none.
    """
    if dtype not in DTYPE_BYTES:
        known = ", ".join(DTYPE_BYTES)
        raise HwsimError(
            f"unknown data type {shortened(repr(dtype))}{nearest(dtype, DTYPE_BYTES)}; expected "
            f"one of {known}"
        )
    width = DTYPE_BYTES[dtype]
    words = f"{1000000 * width}" if config.bandwidth is None else f"{config.bandwidth * width:.17g}"
    enough = f"{4 * width * config.rows * config.columns} B/cycle"
    text = f"""
        name: {json.dumps(config.name)}
        description: {config.rows}x{config.columns} array of a SCALE-Sim config
        clock: 1 GHz
        dtype: {dtype}
        assumptions: 1 GHz, a latency of one cycle (the config gives none); memories on the chip are
          as fast as the array
        parts:
          dram:
            {{type: dram, capacity: 1 TiB, bandwidth: {words} B/cycle, latency: 1 cycles,
             ports: separate}}
          ifmap_sram:
            {{type: scratchpad, capacity: {config.ifmap_kb} KiB, bandwidth: {enough},
             roles: [activation]}}
          filter_sram:
            {{type: scratchpad, capacity: {config.filter_kb} KiB, bandwidth: {enough},
             roles: [weight]}}
          ofmap_sram:
            {{type: scratchpad, capacity: {config.ofmap_kb} KiB, bandwidth: {enough},
             roles: [output]}}
          array:
            {{type: systolic, rows: {config.rows}, cols: {config.columns}, rates: {{{dtype}: 1}},
             preload_hidden: false, overlap_folds: false, drain: false, partial_folds: whole,
             diagonal: false, accumulator_bytes: {width}}}
        links:
          [dram -> ifmap_sram, dram -> filter_sram, ifmap_sram -> array, filter_sram -> array,
           array -> ofmap_sram, ofmap_sram <-> dram]
    """
    return read(Machine, Document(text, config.name))


def _positive(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and 0 < float(text) <= MOST_WORDS
    except ValueError:
        return False
