"""Points that Optuna proposes (extra `optuna`), for spaces too large to go through.

Its tree-structured Parzen estimator tells by what is known of points where to look next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.errors import HwsimError
from hwsim.sweeps.rows import Row, value
from hwsim.sweeps.samplers import SAMPLERS, Blocks, Sampler
from hwsim.sweeps.spec import OBJECTIVES, Sweep

SEED = 0
TRIES = 50  # proposals for each point that is wanted: those of points known are free


class Optuna:
    summary = "points that Optuna proposes, by the objectives"
    needs_trials = True

    def blocks(
        self, sweep: Sweep, trials: int, size: int, told: Callable[[int], Row | None]
    ) -> Blocks:
        """A block's points are proposed together; the next block's when their rows are known."""
        try:
            import optuna
        except ImportError:
            raise HwsimError(
                "--sampler optuna needs a package: pip install 'hwsim[optuna]'"
            ) from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            directions=["minimize"] * len(sweep.objectives),
            sampler=optuna.samplers.TPESampler(seed=SEED, constant_liar=True),
        )
        seen: set[int] = set()
        pending: list[tuple[Any, int]] = []  # trials whose rows are not known yet
        for _ in range(trials * TRIES // size + 1):
            asked = [(trial := study.ask(), _number(sweep, trial)) for _ in range(size)]
            fresh = {
                number
                for _, number in asked
                if number not in seen and (not sweep.where or sweep.allowed(number))
            }
            block = sorted(fresh)[: trials - len(seen)]
            if block:
                yield block
            seen.update(block)
            pending = [
                (trial, number)
                for trial, number in (*pending, *asked)
                if not _tell(study, trial, told(number), sweep, number in seen)
            ]
            if len(seen) >= min(trials, sweep.size):
                return


def _number(sweep: Sweep, trial: Any) -> int:
    """The point that a trial's places on the axes make."""
    number = 0
    for axis in sweep.axes:
        number = number * len(axis.values) + trial.suggest_int(axis.title, 0, len(axis.values) - 1)
    return number


def _tell(study: Any, trial: Any, row: Row | None, sweep: Sweep, is_run: bool) -> bool:
    """Tell the study what a trial came to; False where its row is to come.

    It is a failure where it was not allowed or did not run.
    """
    import optuna

    if row is None and is_run:
        return False
    found = [value(row, OBJECTIVES[name]) for name in sweep.objectives] if row else []
    if found and None not in found:
        study.tell(trial, found)
    else:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return True


SAMPLERS.register("optuna")(_optuna := Optuna())
_checked: Sampler = _optuna
