"""How far a machine's times are off beside measurements: reference/errors.yaml, which
benchmarks/trust.py writes from `hwsim validate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import yaml

from hwsim.describe.catalog import data_folder
from hwsim.describe.machine import Machine

PRODUCTS, CONVOLUTIONS = "products", "convolutions"


@dataclass(frozen=True)
class StatedError:
    """Relative errors of modelled times: their mean and the worst, over so many measurements.

    machine: the one that was measured, which may be another of the same family. work: products or
    convolutions, or an algorithm and data type. fitted: constants of the model were fitted to these
    measurements.
    """

    machine: str
    work: str
    check: str
    rows: int
    mean: float
    worst: float
    fitted: bool

    def text(self, about: str, dtype: str = "") -> str:
        """A sentence on the times of a machine; dtype: of the run, which may not be among them."""
        fitted = ", to which its constants were fitted" if self.fitted else ""
        work = self.work.removeprefix("any ")
        off = (
            f"{self.mean:.0%} off on average, {self.worst:.0%} at most, over {self.rows} measured "
            f"{work}"
        )
        name = f"hwsim validate {self.check}"
        if self.machine == about:
            types = _types(self.machine)
            none = f", none of them in {dtype}" if dtype and types and dtype not in types else ""
            return f"{about}: times are {off}{none}{fitted} ({name})."
        return (
            f"{about}: nobody's measurements of it are here. Of machines with such memory "
            f"{self.machine} is furthest off: {off} ({name})."
        )


def stated_error(machine: Machine, work: str, algorithm: str = "", dtype: str = "") -> StatedError:
    """Of a machine for a kind of work, and of an algorithm and data type where these were measured.
    A machine that was not measured has the worst of its family's."""
    own = [error for error in _all() if error.machine == machine.name]
    if own:
        wholes = [error for error in own if error.work in (PRODUCTS, CONVOLUTIONS)]
        whole = next((error for error in wholes if error.work == work), wholes[0])
        family_name = "winograd" if algorithm.startswith("winograd") else algorithm
        for name in (family_name, "any"):
            exact = f"{name} {dtype} {work}"
            found = next((error for error in own if error.work == exact), None)
            if found is not None:
                return found
        return whole
    family = [error for error in _all() if error_family(error.machine) == machine.management]
    family = [error for error in family if error.work in (PRODUCTS, CONVOLUTIONS)]
    return max(family or _all(), key=lambda error: error.mean)


def _types(machine: str) -> set[str]:
    """Data types of a machine's measurements, where they are known."""
    entries = _content()["machines"][machine]["errors"].values()
    return {name.split()[1] for row in entries for name in row.get("algorithms", ())}


@cache
def _content() -> dict[str, Any]:
    text = (data_folder("reference") / "errors.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@cache
def _all() -> list[StatedError]:
    found = []
    for machine, entry in _content()["machines"].items():
        for work, row in entry["errors"].items():
            parts = dict(row)
            algorithms = parts.pop("algorithms", {})
            whole = StatedError(machine, work, **parts)
            found.append(whole)
            found += [
                replace(whole, work=f"{name} {work}", **scored)
                for name, scored in algorithms.items()
            ]
    return found


def error_family(machine: str) -> str:
    """Who manages the memory of a measured machine."""
    return str(_content()["machines"][machine]["memory"])
