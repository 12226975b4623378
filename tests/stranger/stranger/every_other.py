"""A sampler of sweeps: every other point."""

from hwsim.sweeps.journal import chunks
from hwsim.sweeps.samplers import SAMPLERS


class EveryOther:
    summary = "every other point"
    needs_trials = False

    def blocks(self, sweep, trials, size, told):
        return chunks(list(sweep.numbers())[::2], size)


SAMPLERS.register("every-other")(EveryOther())
