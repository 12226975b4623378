"""The compiled pipeline gives what the SimPy one gives, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from hwsim.timing.explicit.pipeline import Port, Stream, Work, run_compiled, run_events


@st.composite
def streams(draw: st.DrawFn, name: str, steps: int) -> Stream:
    """Tiles that begin at some steps, each until the next begins, with and without bytes to move."""
    first = sorted({0, *draw(st.lists(st.integers(0, steps - 1), max_size=6))})
    last = [*(step - 1 for step in first[1:]), steps - 1]
    sizes = st.one_of(st.just(0), st.integers(1, 40))
    moved = [np.array([draw(sizes) for _ in first]) for _ in range(2)]
    return Stream(
        name,
        draw(st.integers(1, 3)),
        np.array(first),
        np.array(last),
        *moved,
        draw(st.sampled_from([None, np.full(len(first), 4.0), np.arange(len(first)) * 11.0])),
    )


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    data=st.data(),
    steps=st.integers(1, 14),
    rate=st.sampled_from([1.0, 3.0, 0.7]),
    latency=st.sampled_from([0.0, 1.0, 5.0, 100.0]),
    separate=st.booleans(),
    results=st.sampled_from([0.0, 3.0]),
)
def test_compiled_events_are_simpys(
    data: st.DataObject, steps: int, rate: float, latency: float, separate: bool, results: float
) -> None:
    lanes = [data.draw(streams(name, steps)) for name in "abcd"[: data.draw(st.integers(1, 4))]]
    cycles = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 1.0, 7.0, 20.0]), min_size=steps, max_size=steps))
    )
    port = Port("dram", rate, latency, separate, data.draw(st.sampled_from([1, 8])))
    gaps = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 0.0, 9.0]), min_size=steps, max_size=steps))
    )
    work = Work(lanes, cycles, gaps, port, results)
    slow, fast = run_events(work), run_compiled(work)
    assert fast.cycles == slow.cycles
    for made, again in (
        (slow.timeline.loads, fast.timeline.loads),
        (slow.timeline.stores, fast.timeline.stores),
    ):
        assert all(np.array_equal(made[name], again[name]) for name in made)
    assert np.array_equal(slow.timeline.steps, fast.timeline.steps)


def test_a_step_waits_exactly_until_its_tile_has_arrived() -> None:
    """Transfers of 32 cycles and 5 of latency, two slots, steps of 30.

    Tile 0 arrives at 37, step 0 runs to 67. Tile 1 at 69, to 99. Tile 2 moves once step 0 has freed its slot: 67 + 32 + 5 =
    104, to 134. Tile 3 once step 1 has: 99 + 32 + 5 = 136. Waits: 37, 2, 5, 2. Critical, from the end: tile 3's latency and transfer, step 1,
    tile 1's latency and transfer, tile 0's transfer.
    """
    tiles = np.arange(4)
    stream = Stream("a", 2, tiles, tiles, np.full(4, 32), np.zeros(4, np.int64))
    for run in (run_events, run_compiled):
        result = run(Work([stream], np.full(4, 30.0), np.zeros(4), Port("dram", 1.0, 5.0)))
        assert result.cycles.stall == pytest.approx({"dram: a": 37 + 5, "dram latency": 2 + 2})
        assert result.timeline.loads["a"].tolist() == [[0, 32], [32, 64], [67, 99], [99, 131]]
        assert result.timeline.steps.tolist() == [[37, 67], [69, 99], [104, 134], [136, 166]]


def test_a_wait_is_what_was_critical() -> None:
    """Transfers of 32, steps of 10, one slot: step 1 waits from 32 + 6 + 10 = 48 on; tile 1 moves 48 to 80, settles to 86."""
    tiles = np.arange(2)
    stream = Stream(
        "a", 1, tiles, tiles, np.full(2, 32), np.zeros(2, np.int64), settle=np.full(2, 6.0)
    )
    for run in (run_events, run_compiled):
        result = run(Work([stream], np.full(2, 10.0), np.zeros(2), Port("dram", 1.0, 0.0), 3.0))
        assert result.cycles.stall == {"array: tiles shifting": 6 + 6, "dram: a": 32 + 32}


def test_a_slow_bus_behind_a_slower_port_is_not_blamed() -> None:
    """Steps of 20, half of it on a bus; transfers of 32 each: the port is critical throughout but for the last step."""
    tiles = np.arange(4)
    stream = Stream("a", 2, tiles, tiles, np.full(4, 32), np.zeros(4, np.int64))
    for run in (run_events, run_compiled):
        result = run(
            Work(
                [stream],
                np.full(4, 20.0),
                np.zeros(4),
                Port("dram", 1.0, 0.0),
                idle={"bus": np.full(4, 10.0)},
            )
        )
        assert result.cycles.total == 4 * 32 + 20
        assert result.cycles.compute == 4 * 10
        assert result.cycles.stall == pytest.approx({"dram: a": 4 * 32 - 3 * 10, "bus": 10})


def test_latency_is_blamed_for_no_more_than_would_be_saved_without_it() -> None:
    """Transfers of 30, steps of 10, two slots: a slot comes again after 30 + 21 + 10, the port after 60.

    So either without the other would take 60 for two tiles, and only both better are quicker.
    """
    tiles = np.arange(8)
    stream = Stream("a", 2, tiles, tiles, np.full(8, 30), np.zeros(8, np.int64))
    for run in (run_events, run_compiled):
        late, soon = (
            run(Work([stream], np.full(8, 10.0), np.zeros(8), Port("dram", 1.0, latency))).cycles
            for latency in (21.0, 0.0)
        )
        moving = 8 * 30
        assert soon.total == moving + 10
        assert late.stall["dram latency"] == pytest.approx(late.total - moving)
        assert late.stall["dram latency and transfers together"] > 20
        assert late.by_resource["dram latency"] < late.by_resource["dram"]


def test_separate_ports_do_not_wait_for_each_other() -> None:
    """Two tensors of 32 bytes each: one shared port delivers the second at 64, ports of their own both at 32."""
    tiles = np.arange(1)
    lanes = [Stream(name, 1, tiles, tiles, np.full(1, 32), np.zeros(1, np.int64)) for name in "ab"]
    for run in (run_events, run_compiled):
        for separate, waits in ((False, {"dram: a": 32, "dram: b": 32}), (True, {"dram: a": 32})):
            assert (
                run(
                    Work(lanes, np.full(1, 1.0), np.zeros(1), Port("dram", 1.0, 0.0, separate))
                ).cycles.stall
                == waits
            )
