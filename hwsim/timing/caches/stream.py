"""A nest's loads and stores, sent through the implicit memories below it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.compiled import about_to_run
from hwsim.errors import HwsimError
from hwsim.ir.nest import Hold, Nest
from hwsim.timing.caches.batches import Batches, Walkers
from hwsim.timing.caches.chain import ImplicitChain
from hwsim.timing.caches.look_ups import Ints
from hwsim.timing.caches.nest_arrays import schedule_of, stretches_of, tensors_of, vector_of
from hwsim.timing.caches.remembered import once
from hwsim.timing.caches.repeating import repeating, with_events
from hwsim.timing.caches.state import log2_of
from hwsim.timing.caches.steps import (
    chunk_sizes,
    cut_long,
    entries_of,
    trips_of,
    unit_steps,
    units_of,
    vector_iterations,
)
from hwsim.timing.caches.tables import IS_OUTPUT
from hwsim.timing.caches.traffic import StreamResult
from hwsim.timing.caches.walk import LOADS, STORES, Turns, places, walk

ALL_AT_ONCE = 1 << 60  # steps a turn of a unit that runs alone


def run_stream(
    nest: Nest, boundary: Hold, unit_axes: frozenset[str], chain: ImplicitChain, walkers: Walkers
) -> StreamResult:
    """Send a nest's loads and stores through the caches; sampled when its steps exceed the budget.

    boundary: the explicit level whose fills the caches serve. unit_axes: the spatial axes that make
    units.
    """
    outside = list(nest.loops_above(boundary))
    loops = [loop for loop in outside if loop.spatial not in unit_axes]
    temporal = cut_long(loops)
    if any(loop.spatial is not None for loop in temporal):
        raise HwsimError(
            f"{nest.stage.name}: a spatial loop outside {boundary.level} that no unit takes"
        )
    units = units_of(nest, [loop for loop in outside if loop.spatial in unit_axes])
    schedule = schedule_of(nest, temporal, units)
    chunks = chunk_sizes(nest, temporal, units)
    vector_dim, lanes = vector_of(nest, chunks, walkers.vector_bytes)
    tensors = tensors_of(nest, temporal, chain.space, vector_dim, chunks if nest.packed else None)
    if chain.clean:
        tensors.tensors[:, IS_OUTPUT] = 0
    steps = unit_steps(nest, temporal, units)
    kept, picked = stretches_of(nest, temporal, units, tensors, chain.sample is not None)
    plan = Batches(steps, walkers)
    parallel = min(walkers.parallel, len(steps))
    turns = Turns(
        parallel,
        walkers.quantum if parallel > 1 else ALL_AT_ONCE,
        log2_of(walkers.vector_bytes if lanes > 1 else int(nest.stage.output.width)),
        vector_dim,
        log2_of(lanes),
        plan.batches,
    )
    stats = chain.no_counts(plan.count)
    counted, work = np.zeros(plan.count, np.int64), np.zeros((len(steps), 3), np.int64)
    at = places(turns.parallel, len(temporal), len(chain.space.names), tensors.axes.shape[1])
    owners = [chain.space.index(chain.space.buffers[name]) for name in chain.space.names]
    trips = trips_of(nest, temporal, units)
    loops_of = (temporal, trips, kept.first)
    again, depth = repeating(
        nest, loops_of, (tensors.tensors, tensors.axes), owners, chain.state, parallel, stats.shape
    )
    state = with_events(chain.state, depth) if again.on else chain.state
    about_to_run(walk)
    once(
        walk,
        (state, schedule, tensors, turns, at, kept, picked, again, stats, counted, work),
        (state.tags, state.crowds, stats, counted, work),
    )
    chain.state.tags[:] = state.tags[: len(chain.state.tags)]
    vectors = int(vector_iterations(nest, temporal, units, vector_dim, lanes).max())
    found = _of_sets(chain, stats, work) or plan.result(chain, stats, counted, work, vectors)
    return replace(
        found,
        steps=int(steps.max()),
        entries=entries_of(trips_of(nest, loops, units)),
        even_units=_even_units(work),
        crowds=chain.crowds(),
    )


def _even_units(work: Ints) -> float:
    """Units that all loads and stores would need, if each had as many as the busiest.

    work: [unit, kind], as `walk` leaves it.
    """
    asked = work[:, LOADS] + work[:, STORES]
    return float(asked.sum() / asked.max()) if asked.any() else 1.0


def _of_sets(chain: ImplicitChain, stats: Ints, work: Ints) -> StreamResult | None:
    """What a sample of the sets gives, None where all were walked."""
    if chain.sample is None:
        return None
    lines, off = chain.sample.estimated(stats)
    return replace(chain.result(lines, work.max(axis=0)), off=tuple(off))
