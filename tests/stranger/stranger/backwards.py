"""An engine of sweeps: all blocks in this process, the last one first."""

from hwsim.sweeps.engines import ENGINES, rows_of


class Backwards:
    summary = "the last block first"

    def run(self, sweep, blocks, crew):
        for block in reversed(list(blocks)):
            yield block, rows_of(sweep, block)


ENGINES.register("backwards")(Backwards())
