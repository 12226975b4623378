"""Models beside data that nobody here made: one file a check, named as its reference file.

A check turns the rows of a data file into pairs of expected and modelled numbers; this module
scores them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, Protocol, cast

from hwsim.describe.catalog import data_folder
from hwsim.describe.reading import read_text
from hwsim.errors import HwsimError, shortened
from hwsim.registry import Registry
from hwsim.results.schemas import CheckDocument, ScoreDocument
from hwsim.validate.shape import check_like

WORST = 5
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Pair:
    """One number of one row: what the data says and what the model says.

    groups: labels to score by.

    scale: what the error is relative to where the data is zero.
    """

    row: str
    metric: str
    expected: float
    modelled: float
    groups: dict[str, str] = field(default_factory=dict)
    scale: float = 0.0

    @property
    def error(self) -> float:
        """Relative to the data, or to the scale where the data is zero.

        Without a scale it is infinite unless the model is zero too.
        """
        if self.expected == self.modelled:
            return 0.0
        against = abs(self.expected) or self.scale
        return abs(self.modelled - self.expected) / against if against else float("inf")

    @property
    def exact(self) -> bool:
        return self.expected == self.modelled


class Check(Protocol):
    """A comparison with a reference file's data.

    file: the reference file's name, '' where the data is not shipped. pairs: one data file's rows
    as pairs; ValueError, KeyError or TypeError where a row lacks what the format asks for.
    """

    file: str
    summary: str

    # A check may also have `remarks(data)`: a line a row on what the numbers do not say.
    def pairs(self, data: Any) -> Iterator[Pair]: ...


CHECKS: Registry[Check] = Registry("reference", "hwsim.validate")


@dataclass(frozen=True)
class Score:
    """How far a set of pairs is off."""

    n: int
    exact: int
    mean_abs_rel_err: float
    median_abs_rel_err: float
    max_abs_rel_err: float


def _scores(scores: dict[str, Score]) -> dict[str, ScoreDocument]:
    return {metric: cast(ScoreDocument, vars(score)) for metric, score in scores.items()}


@dataclass(frozen=True)
class Report:
    """A check's scores: by metric, by metric within groups, and the rows that are furthest off."""

    name: str
    rows: int
    metrics: dict[str, Score]
    groups: dict[str, dict[str, dict[str, Score]]]
    worst: tuple[Pair, ...]
    remarks: tuple[str, ...] = ()

    def grouped(self) -> Iterator[tuple[str, str, Score]]:
        """(metric, group, score) of every group."""
        for kind, members in self.groups.items():
            for value, scores in members.items():
                for metric, score in scores.items():
                    yield metric, f"{kind} {value}", score

    def to_dict(self) -> CheckDocument:
        found: CheckDocument = {
            "name": self.name,
            "rows": self.rows,
            "metrics": _scores(self.metrics),
            "groups": {
                kind: {value: _scores(scores) for value, scores in members.items()}
                for kind, members in self.groups.items()
            },
            "worst": [
                {
                    "row": pair.row,
                    "metric": pair.metric,
                    "expected": pair.expected,
                    "modelled": pair.modelled,
                    "abs_rel_err": pair.error,
                }
                for pair in self.worst
            ],
        }
        if self.remarks:
            found["remarks"] = list(self.remarks)
        return found


def run_check(
    name: str, data: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Score one check on its reference file, or on other rows in the same format.

    progress(pairs so far, 0) is called as rows are modelled.

    Raises UnknownName, or HwsimError for a file that cannot be read or lacks what its format asks
    for.
    """
    check = CHECKS[name]
    if data is None and not check.file:
        raise HwsimError(f"{name} has no data of its own here; expected --data FILE")
    pairs: list[Pair] = []
    path = data or data_folder("reference") / check.file
    expected = f"expected the format of reference/{check.file}" if check.file else check.summary
    content = _load(path)
    try:
        if data is not None and check.file:
            check_like(content, _load(data_folder("reference") / check.file))
        for pair in check.pairs(content):
            if isinstance(pair.expected, bool) or not isinstance(pair.expected, (int, float)):
                raise HwsimError(
                    f"{pair.row}: {pair.metric} is {pair.expected!r}; expected a number"
                )
            pairs.append(pair)
            if progress is not None:
                progress(len(pairs), 0)
    except HwsimError as error:
        raise HwsimError(f"{path}: {error}") from None
    except KeyError as error:
        raise HwsimError(f"{path}: a row has no {error}; {expected}") from None
    except (
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        ArithmeticError,
        MemoryError,
    ) as error:
        what = f"after {len(pairs)} numbers: {shortened(str(error))}"
        raise HwsimError(f"{path}: {what}; {expected}") from None
    if not pairs:
        raise HwsimError(f"{path}: no rows; {expected}")
    remarks = getattr(check, "remarks", None)
    return replace(score(name, pairs), remarks=tuple(remarks(content)) if remarks else ())


def _load(path: Path) -> Any:
    text = read_text(path, MOST_BYTES)
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HwsimError(f"{path}: not valid JSON: {error}") from None
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise HwsimError(
            f"{path}: not valid YAML: {' '.join(shortened(str(error), 300).split())}"
        ) from None


def score(name: str, pairs: list[Pair]) -> Report:
    """All scores of a check's pairs."""
    kinds = dict.fromkeys(kind for pair in pairs for kind in pair.groups)
    groups = {
        kind: {
            value: _by_metric(pair for pair in pairs if pair.groups.get(kind) == value)
            for value in dict.fromkeys(pair.groups[kind] for pair in pairs if kind in pair.groups)
        }
        for kind in kinds
    }
    off = sorted((pair for pair in pairs if not pair.exact), key=lambda pair: -pair.error)
    return Report(
        name, len({pair.row for pair in pairs}), _by_metric(pairs), groups, tuple(off[:WORST])
    )


def _by_metric(pairs: Iterable[Pair]) -> dict[str, Score]:
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(pair.metric, []).append(pair)
    return {metric: _score(members) for metric, members in found.items()}


def _score(pairs: list[Pair]) -> Score:
    errors = [pair.error for pair in pairs]
    return Score(
        len(pairs), sum(pair.exact for pair in pairs), fmean(errors), median(errors), max(errors)
    )
