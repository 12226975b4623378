"""Two documents of results side by side: what moved, and by how much."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.errors import HwsimError, shortened
from hwsim.results.document import COMPARISON, SCHEMA
from hwsim.results.schemas import DiffDocument, MovedDocument

MOST_BYTES = 512 << 20
KEY = ("machine", "workload", "algorithm", "dataflow", "dtype", "batch")
WHOLE = ""  # in place of a layer's name


@dataclass(frozen=True)
class Moved:
    """One number of one run, of a layer or (layer '') of the whole. share: of the number before."""

    run: str
    layer: str
    what: str
    before: float
    after: float

    @property
    def share(self) -> float:
        if self.before == self.after:
            return 0.0
        return (self.after - self.before) / self.before if self.before else float("inf")


@dataclass(frozen=True)
class Difference:
    """runs: that both have. moved: by more than the tolerance. alone: what only one of them has."""

    runs: tuple[str, ...]
    moved: tuple[Moved, ...]
    alone: tuple[str, ...]

    @property
    def is_none(self) -> bool:
        return not self.moved and not self.alone

    def to_dict(self) -> DiffDocument:
        """The JSON schema's document."""
        moved: list[MovedDocument] = [
            {
                "run": each.run,
                "layer": each.layer or None,
                "what": each.what,
                "before": each.before,
                "after": each.after,
                "share": each.share if each.before else None,
            }
            for each in self.moved
        ]
        return {
            "schema": "hwsim.diff/1",
            "runs": list(self.runs),
            "moved": moved,
            "alone": list(self.alone),
        }


def difference(before: Path, after: Path, tolerance: float = 0.0) -> Difference:
    """What moved from one file to the other by more than a share `tolerance` of what it was.

    The files are of `--json`: of run or of compare. Runs are matched by machine, workload,
    algorithm, dataflow, data type and batch; where each file has one, those two. Raises HwsimError
    for a file that is none of these.
    """
    one, two = read_runs(before), read_runs(after)
    if len(one) == len(two) == 1:
        (old_key, old), (new_key, new) = next(iter(one.items())), next(iter(two.items()))
        name = old_key if old_key == new_key else f"{old_key} -> {new_key}"
        one, two = {name: old}, {name: new}
    both = [name for name in one if name in two]
    numbers = [each for name in both for each in _numbers(name, one[name], two[name])]
    moved = [each for each in numbers if abs(each.share) > tolerance]
    alone = [f"{name}: only in {before}" for name in one if name not in two]
    alone += [f"{name}: only in {after}" for name in two if name not in one]
    for name in both:
        alone += _layers_alone(name, one[name], two[name], before, after)
    return Difference(tuple(both), tuple(moved), tuple(alone))


def read_runs(path: Path) -> dict[str, dict[str, Any]]:
    """{name: result} of a file. Raises HwsimError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise HwsimError(f"{path}: larger than {MOST_BYTES >> 20} MiB; expected results")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise HwsimError(f"{path}: cannot be read: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise HwsimError(f"{path}: not valid JSON: {shortened(str(error))}") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema not in (SCHEMA, COMPARISON):
        raise HwsimError(
            f"{path}: schema is {shortened(repr(schema))}; expected {SCHEMA!r} or {COMPARISON!r}, "
            f"as run and compare write with --json"
        )
    results = content.get("results") if schema == COMPARISON else [content]
    try:
        found = {_name(result): result for result in results}
        for result in found.values():
            if not all(
                isinstance(each.before, int | float) for each in _numbers("", result, result)
            ):
                raise TypeError
    except KeyError as error:
        raise HwsimError(f"{path}: a result has no {error}; expected {SCHEMA!r} whole") from None
    except (TypeError, AttributeError, ValueError):
        raise HwsimError(f"{path}: not as its schema {schema!r} says") from None
    return found


def _name(result: Mapping[str, Any]) -> str:
    words = [result["workload"], "on", result["machine"], result["algorithm"], result["dtype"]]
    words += [result["dataflow"]] if result.get("dataflow") else []
    words += [f"batch {result['batch']}"] if result.get("batch", 1) > 1 else []
    return " ".join(map(str, words))


def _numbers(name: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Moved]:
    """Every number of the whole, then of each layer that both have."""
    yield from _of(name, WHOLE, one, two)
    layers = {layer["name"]: layer for layer in two["layers"]}
    for layer in one["layers"]:
        if layer["name"] in layers:
            yield from _of(name, layer["name"], layer, layers[layer["name"]])


def _of(run: str, layer: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Moved]:
    before, after = _measures(one), _measures(two)
    for what in [*before, *(key for key in after if key not in before)]:
        yield Moved(run, layer, what, before.get(what, 0.0), after.get(what, 0.0))


def _measures(entry: Mapping[str, Any]) -> dict[str, float]:
    """{what: number}: seconds, joules, bytes and counts."""
    found = {
        "time": entry["seconds"],
        "energy": sum(entry["energy_pj"].values()) * 1e-12,
        "DRAM": entry["dram"]["read_bytes"] + entry["dram"]["write_bytes"],
    }
    found |= {name.replace("_", " "): count for name, count in entry["counts"].items()}
    found |= {f"footprint {part}": size for part, size in entry["footprint_bytes"].items()}
    return found


def _layers_alone(
    name: str, one: Mapping[str, Any], two: Mapping[str, Any], before: Path, after: Path
) -> list[str]:
    old = [layer["name"] for layer in one["layers"]]
    new = [layer["name"] for layer in two["layers"]]
    return [f"{name}, {layer}: only in {before}" for layer in old if layer not in new] + [
        f"{name}, {layer}: only in {after}" for layer in new if layer not in old
    ]
