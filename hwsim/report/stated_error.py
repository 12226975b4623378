"""How far a machine's times are off beside measurements: reference/errors.yaml.

benchmarks/trust.py writes it from `hwsim validate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import yaml

from hwsim.algorithms import family_of
from hwsim.describe.catalog import data_folder
from hwsim.describe.machine import Machine

PRODUCTS, CONVOLUTIONS = "products", "convolutions"


@dataclass(frozen=True)
class StatedError:
    """Relative errors of modelled times: their mean and the worst, over so many measurements.

    machine: the one that was measured. work: products or convolutions. fitted: constants of the
    model were fitted to these measurements. algorithm, dtype: of all of them, '' for any.
    """

    machine: str
    work: str
    check: str
    rows: int
    mean: float
    worst: float
    fitted: bool
    algorithm: str = ""
    dtype: str = ""

    def text(self, about: str, dtype: str = "") -> str:
        """A sentence on the times of a machine; dtype: of the run, which may not be among them."""
        fitted = ", to which its constants were fitted" if self.fitted else ""
        words = " ".join(filter(None, (self.algorithm, self.dtype, self.work)))
        off = (
            f"{self.mean:.0%} off on average, {self.worst:.0%} at most, over {self.rows} measured "
            f"{words}"
        )
        name = f"hwsim validate {self.check}"
        if self.machine == about:
            types = {error.dtype for error in stated_errors(about)} - {""}
            none = f", none of them in {dtype}" if types and dtype not in types else ""
            return f"{about}: times are {off}{none}{fitted} ({name})."
        return (
            f"{about}: no measured times of it are here. Of machines with such memory "
            f"{self.machine} is furthest off: {off} ({name})."
        )


def stated_error(machine: Machine, work: str, algorithm: str = "", dtype: str = "") -> StatedError:
    """The error of a machine for a kind of work.

    It is of an algorithm and data type where these were measured. A machine that was not measured
    has the worst of its family's.
    """
    own = stated_errors(machine.name)
    if own:
        measured = {(error.work, error.algorithm, error.dtype): error for error in own}
        closest = ((work, family_of(algorithm), dtype), (work, "", dtype), (work, "", ""))
        return next((measured[fits] for fits in closest if fits in measured), own[0])
    wholes = [error for error in stated_errors() if not error.dtype]
    family = [error for error in wholes if _memory_of(error.machine) == machine.management]
    return max(family or wholes, key=lambda error: error.mean)


def stated_errors(machine: str | None = None) -> list[StatedError]:
    """Of one machine, or all; those of a kind of work before those of its algorithms."""
    return [error for error in _all() if machine in (None, error.machine)]


@cache
def _all() -> tuple[StatedError, ...]:
    found = []
    for machine, entry in _content()["machines"].items():
        for work, row in entry["errors"].items():
            parts = dict(row)
            algorithms = parts.pop("algorithms", {})
            whole = StatedError(machine, work, **parts)
            found.append(whole)
            for name, scored in algorithms.items():
                algorithm, dtype = name.split()
                algorithm = algorithm.replace("any", "")
                found.append(replace(whole, algorithm=algorithm, dtype=dtype, **scored))
    return tuple(found)


@cache
def _content() -> dict[str, Any]:
    text = (data_folder("reference") / "errors.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _memory_of(machine: str) -> str:
    """Who manages the memory of a measured machine."""
    return str(_content()["machines"][machine]["memory"])
