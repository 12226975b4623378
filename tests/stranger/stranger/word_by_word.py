"""A timing: every word that comes or goes takes its turn, and nothing overlaps."""

from math import ceil

from hwsim.count.closed_form import count
from hwsim.describe.machine import Machine
from hwsim.ir.nest import Nest
from hwsim.results.result import Cycles
from hwsim.timing import TIMINGS, Run, Surroundings
from hwsim.timing.explicit.accesses import accesses, footprints


class WordByWord:
    """Products over the lanes, then DRAM's bytes over its bandwidth."""

    def refuses(self, nest: Nest, machine: Machine) -> str | None:
        return None if nest.stage.view is not None else "a row unit runs matrix products alone"

    def run(self, nest: Nest, machine: Machine, dtype: str, around: Surroundings) -> Run:
        counts = count(nest)
        moved = accesses(machine, nest, counts, set(machine.memories), 0)
        dram = moved[machine.dram_name].values()
        rate = machine.memories[machine.dram_name].bandwidth
        assert rate is not None
        waiting = sum(row.read_bytes + row.write_bytes for row in dram) / rate.bytes_per_cycle(
            machine.clock_hz
        )
        computing = ceil(nest.stage.iterations / machine.compute.peak_macs_per_cycle(dtype))
        cycles = Cycles(computing, {machine.dram_name: waiting})
        return Run(
            nest, cycles, moved, footprints(machine, nest, counts, 0, {}), "words in turn", counts
        )


TIMINGS.register("word-by-word")(WordByWord())
