"""The answer of a comparison, in sentences: what is fastest, by how much, why, and what would help.

Every sentence is computed from the results. A lead that is smaller than the error stated for the
machines is called too close to call.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.describe.layer import ConvLayer, ConvTransposeLayer, GemmLayer
from hwsim.describe.machine import Machine
from hwsim.describe.settings import said
from hwsim.describe.units import seconds_text
from hwsim.report.rows import memory_share
from hwsim.report.stated_error import CONVOLUTIONS, PRODUCTS, StatedError, stated_error
from hwsim.report.tables import energy_text, narrow_notes
from hwsim.results.comparison import Comparison, WhatIf
from hwsim.results.result import Result

TIE = 1.005  # times that differ by less are equal
WORTH = 1.02  # a doubled resource that gains less helps nobody
NOTHING = "none of those tried alone"


@dataclass(frozen=True)
class Standing:
    """The best of one machine.

    compute, memory: shares of the machine's peak multiplications and of its DRAM's bandwidth that
    are reached. tied: other variants in the same time.
    """

    machine: Machine
    best: Result
    tied: tuple[str, ...]
    compute: float
    memory: float
    most_time: str
    helps: WhatIf | None
    error: StatedError

    @property
    def seconds(self) -> float:
        """For one image."""
        return self.best.seconds_an_image

    @property
    def is_measured(self) -> bool:
        """Is the error its own, and not another machine's?"""
        return self.error.machine == self.machine.name

    @property
    def variants(self) -> str:
        """The best, and those as fast."""
        return " = ".join([self.best.variant, *self.tied])

    @property
    def time_text(self) -> str:
        return seconds_text(self.seconds)

    @property
    def energy_text(self) -> str:
        return energy_text(self.best.pj_an_image)

    @property
    def rate_text(self) -> str:
        rate = self.best.images_per_second
        return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"

    @property
    def helps_text(self) -> str:
        """What helps most, and how much."""
        if self.helps is None:
            return "not simulated"
        if self.helps.gain < WORTH:
            return f"{NOTHING} (at most {self.helps.gain:.3f} times as fast)"
        return f"{self.helps.change}: {self.helps.gain:.2f} times as fast"


@dataclass(frozen=True)
class Answer:
    """What a comparison comes to, in sentences.

    headline: the winner. because: why, and by how much. standings: each machine's best, the fastest
    first. care: what to keep in mind before it is believed.
    """

    headline: str
    because: tuple[str, ...]
    standings: tuple[Standing, ...]
    care: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        return (self.headline, *self.because, *self.care)


def answer(comparison: Comparison) -> Answer:
    """Everything that the report opens with."""
    standings = sorted(
        (_standing(comparison, machine) for machine in comparison.machines),
        key=lambda standing: standing.seconds,
    )
    return Answer(
        _headline(comparison, standings),
        tuple(_because(comparison, standings)),
        tuple(standings),
        tuple(_care(comparison, standings)),
    )


def _standing(comparison: Comparison, machine: Machine) -> Standing:
    best = comparison.fastest(machine.name)
    own = [result for result in comparison.results if result.machine == machine.name]
    least = TIE * best.seconds_an_image
    tied = [each.variant for each in own if each is not best and each.seconds_an_image < least]
    changes = [each for each in comparison.what_if if each.machine == machine.name]
    return Standing(
        machine,
        best,
        tuple(tied),
        best.utilization * best.cycles / best.clock_hz / best.seconds if best.seconds else 0.0,
        memory_share(best),
        most_time(best),
        max(changes, key=lambda change: change.gain, default=None),
        error_of(comparison, machine, best),
    )


def error_of(comparison: Comparison, machine: Machine, result: Result) -> StatedError:
    """The error stated for a run's times."""
    return stated_error(machine, kind_of_work(comparison), result.algorithm, result.dtype)


def kind_of_work(comparison: Comparison) -> str:
    """Convolutions or products, whichever has more multiplications."""
    layers = comparison.workload.layers.values()
    convolved = sum(
        layer.macs for layer in layers if isinstance(layer, (ConvLayer, ConvTransposeLayer))
    )
    return CONVOLUTIONS if 2 * convolved > comparison.workload.macs else PRODUCTS


def most_time(result: Result) -> str:
    """What most of the time goes to, with its share."""
    causes = result.time_by_cause
    if not causes:
        return "-"
    cause = max(causes, key=causes.__getitem__)
    share = causes[cause] / sum(causes.values())
    return f"{cause}, {share:.0%}"


def _headline(comparison: Comparison, standings: list[Standing]) -> str:
    first = standings[0]
    best = first.best
    with_it = " or ".join([best.variant, *first.tied])
    if len(standings) == 1:
        return (
            f"On {best.machine}, {with_it} {_is_fastest(first, comparison)} "
            f"{first.time_text}{_each(comparison)}."
        )
    second = standings[1]
    if second.seconds < TIE * first.seconds:
        return (
            f"{best.machine} and {second.best.machine} tie: {first.time_text}{_each(comparison)}."
        )
    return (
        f"{best.machine} with {with_it} is fastest: {first.time_text}{_each(comparison)}, "
        f"{_times(second.seconds / first.seconds)} as fast as the next machine, "
        f"{second.best.machine} with {second.best.variant}."
    )


def _is_fastest(standing: Standing, comparison: Comparison) -> str:
    several = sum(result.machine == standing.best.machine for result in comparison.results) > 1
    return "is fastest:" if several else "takes"


def _each(comparison: Comparison) -> str:
    """What times are of: one image, where the workload has images."""
    layers = comparison.workload.layers.values()
    return "" if all(isinstance(layer, GemmLayer) for layer in layers) else " an image"


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 100 else f"{factor:.3g} times"


def _because(comparison: Comparison, standings: list[Standing]) -> list[str]:
    first = standings[0]
    lines = []
    if len(standings) > 1:
        lines += _is_sure_of_machine(first, standings[1])
    lines += _among_variants(comparison, first)
    causes = first.best.time_by_cause
    total = sum(causes.values()) or 1.0
    largest = sorted(causes.items(), key=lambda item: -item[1])[:3]
    spent = "; ".join(
        f"{cause} {share / total:.0%}" for cause, share in largest if share > 0.01 * total
    )
    lines.append(f"Its time goes to: {spent}.")
    lines += _build_next(comparison, first)
    cheapest = min(comparison.results, key=lambda result: result.pj_an_image)
    if cheapest is not first.best:
        energy = energy_text(cheapest.pj_an_image)
        lines.append(
            f"Least energy: {cheapest.machine} with {cheapest.variant}, {energy}{_each(comparison)}"
            f" ({first.energy_text} for the fastest)."
        )
    return lines


def _is_sure_of_machine(first: Standing, second: Standing) -> list[str]:
    """Does the lead stand when both times are as far off as their machines' are on average?"""
    slow, fast = 1 + first.error.mean, 1 - min(second.error.mean, 1.0)
    if second.seconds < TIE * first.seconds:
        return []
    errors = f"{first.error.mean:.0%} and {second.error.mean:.0%}"
    borrowed = [one.best.machine for one in (first, second) if not one.is_measured]
    if borrowed:
        errors += f"; that of {' and of '.join(borrowed)} is another machine's"
    if first.seconds * slow < second.seconds * fast:
        return [f"That lead is larger than the error stated for the two ({errors})."]
    return [
        f"Too close to call: the error stated for {first.best.machine} and "
        f"{second.best.machine} is as large ({errors})."
    ]


def _among_variants(comparison: Comparison, first: Standing) -> list[str]:
    """The winner beside the next on its own machine."""
    best = first.best
    others = [
        result
        for result in comparison.results
        if result.machine == best.machine
        and result is not best
        and result.variant not in first.tied
    ]
    if not others:
        return []
    second = min(others, key=lambda result: result.seconds_an_image)
    lead = second.seconds_an_image / first.seconds
    error = max(first.error.mean, error_of(comparison, first.machine, second).mean)
    sure = "." if lead > 1 + error else f": too close to call with an error of {error:.0%}."
    return [f"On {best.machine}, {second.variant} takes {lead:.3g} times as long{sure}"]


def _build_next(comparison: Comparison, first: Standing) -> list[str]:
    if first.helps is None:
        return []
    own = [each for each in comparison.what_if if each.machine == first.best.machine]
    own.sort(key=lambda each: -each.gain)
    if own[0].gain < WORTH:
        tried = ", ".join(each.change for each in own)
        return [
            f"Build next: nothing of this alone makes it 2% faster: {tried} "
            f"(at most {own[0].gain:.3f} times as fast)."
        ]
    after = f"; after it comes {own[1].change}, {own[1].gain:.2f} times" if own[1:] else ""
    return [f"Build next: {own[0].change} would make it {own[0].gain:.2f} times as fast{after}."]


def _care(comparison: Comparison, standings: list[Standing]) -> list[str]:
    lines = []
    dtypes = {standing.best.dtype for standing in standings}
    if len(dtypes) > 1:
        types = ", ".join(f"{s.best.machine} {s.best.dtype}" for s in standings)
        lines.append(
            f"The machines compute different data types ({types}): their results differ in "
            f"precision."
        )
    batches = {standing.best.batch for standing in standings}
    if len(batches) > 1:
        lines.append("The fastest runs differ in batch: times are of one image of a full batch.")
    lines += narrow_notes(comparison.results)
    changed = [standing.machine for standing in standings if standing.machine.settings]
    lines += [f"{machine.name} is changed: {said(machine.settings)}." for machine in changed]
    lines += dict.fromkeys(s.error.text(s.best.machine, s.best.dtype) for s in standings)
    return lines
