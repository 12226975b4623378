"""How far a machine's times are off beside measurements: reference/errors.yaml, which
benchmarks/trust.py writes from `hwsim validate`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from hwsim.describe.catalog import data_folder
from hwsim.describe.machine import Machine

PRODUCTS, CONVOLUTIONS = "products", "convolutions"


@dataclass(frozen=True)
class StatedError:
    """Relative errors of modelled times: their mean and the worst, over so many measurements.

    machine: the one that was measured, which may be another of the same family. fitted: constants
    of the model were fitted to these measurements.
    """

    machine: str
    work: str
    check: str
    rows: int
    mean: float
    worst: float
    fitted: bool

    def text(self, about: str) -> str:
        """A sentence on the times of a machine."""
        fitted = ", to which its constants were fitted" if self.fitted else ""
        off = f"{self.mean:.0%} off on average over {self.rows} measured {self.work}"
        name = f"hwsim validate {self.check}"
        if self.machine == about:
            return f"{about}: times are {off}{fitted} ({name})."
        return (
            f"{about}: nobody's measurements of it are here. Of machines with such memory "
            f"{self.machine} is furthest off: {off} ({name})."
        )


def stated_error(machine: Machine, work: str) -> StatedError:
    """Of a machine for a kind of work. One that was not measured has the worst of its family's."""
    own = [error for error in _all() if error.machine == machine.name]
    if own:
        return next((error for error in own if error.work == work), own[0])
    family = [error for error in _all() if error_family(error.machine) == machine.management]
    return max(family or _all(), key=lambda error: error.mean)


@cache
def _content() -> dict[str, Any]:
    text = (data_folder("reference") / "errors.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@cache
def _all() -> list[StatedError]:
    return [
        StatedError(machine, work, **row)
        for machine, entry in _content()["machines"].items()
        for work, row in entry["errors"].items()
    ]


def error_family(machine: str) -> str:
    """Who manages the memory of a measured machine."""
    return str(_content()["machines"][machine]["memory"])
