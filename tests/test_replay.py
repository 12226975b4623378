"""The compiled pipeline gives what the SimPy one gives, to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from hwsim.sim.engine import Port, Stream, run_compiled, run_events


@st.composite
def streams(draw: st.DrawFn, name: str, steps: int) -> Stream:
    """Tiles that begin at some steps, each until the next begins, with and without bytes to move."""
    first = sorted({0, *draw(st.lists(st.integers(0, steps - 1), max_size=6))})
    last = [*(step - 1 for step in first[1:]), steps - 1]
    sizes = st.one_of(st.just(0), st.integers(1, 40))
    moved = [np.array([draw(sizes) for _ in first]) for _ in range(2)]
    return Stream(name, draw(st.integers(1, 3)), np.array(first), np.array(last), *moved)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), steps=st.integers(1, 14), rate=st.sampled_from([1.0, 3.0, 0.7]), latency=st.sampled_from([0.0, 1.0, 5.0, 100.0]))
def test_compiled_events_are_simpys(data: st.DataObject, steps: int, rate: float, latency: float) -> None:
    lanes = [data.draw(streams(name, steps)) for name in "abcd"[: data.draw(st.integers(1, 4))]]
    cycles = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, 7.0, 20.0]), min_size=steps, max_size=steps)))
    port = Port("dram", rate, latency)
    assert run_compiled(lanes, cycles, port) == run_events(lanes, cycles, port)


def test_a_step_waits_exactly_until_its_tile_has_arrived() -> None:
    """Transfers of 32 cycles and 5 of latency, two slots, steps of 30.

    Tile 0 arrives at 37, step 0 runs to 67. Tile 1 at 69, to 99. Tile 2 moves once step 0 has freed its slot: 67 + 32 + 5 =
    104, to 134. Tile 3 once step 1 has: 99 + 32 + 5 = 136. Waits: 37, 2, 5, 2.
    """
    tiles = np.arange(4)
    stream = Stream("a", 2, tiles, tiles, np.full(4, 32), np.zeros(4, np.int64))
    for run in (run_events, run_compiled):
        result = run([stream], np.full(4, 30.0), Port("dram", 1.0, 5.0))
        assert result.stall == {"dram: a": 37 + 2 + 5 + 2}
