"""What is said of runs that were simulated in part."""

from __future__ import annotations

from hwsim.results.result import Result, longer_at_most


def fidelity_word(result: Result) -> str:
    """exact, or how much of what was sampled was walked: the least of all stages."""
    stages = [stage for layer in result.layers for stage in layer.online]
    shares = [stage.sampling.share for stage in stages if stage.sampling is not None]
    return f"sampled {min(shares):.1%}" if shares else "exact"


def sampled_lines(result: Result) -> list[str]:
    """How far lines and time may be off where sets of caches were sampled, if they were."""
    stages = [stage for layer in result.layers for stage in layer.online]
    samples = [stage.sampling for stage in stages if stage.sampling is not None]
    of_sets = [sample for sample in samples if sample.of == "sets"]
    if not of_sets:
        return []
    off = max(sample.error for sample in of_sets)
    besides = max(sample.lines for sample in of_sets)
    return [
        f"sampled: {len(of_sets)} of {len(stages)} stages; time within "
        f"{_within(longer_at_most(stages))}, lines of a stage within {_within(off)} of all that a "
        f"cache or DRAM is asked for and given, and {besides} lines besides"
    ]


def _within(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or share == 0.0 else "0.1%"
