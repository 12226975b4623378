"""The resource that a run names is the one whose speeding-up helps most: tried by speeding up each."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from hwsim import ConvLayer, GemmLayer, load_machine, simulate
from hwsim.algorithms import lower
from hwsim.describe.layer import Layer
from hwsim.describe.machine import Machine
from hwsim.describe.units import Bandwidth, Duration
from hwsim.errors import HwsimError
from hwsim.parts.cache import Cache
from hwsim.parts.scratchpad import Scratchpad
from hwsim.results.result import Cycles
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import applicable
from hwsim.timing import TIMINGS, Surroundings
from tests.test_caches import CPUS

ARRAYS = [
    "tpu-v1",
    "toy-systolic",
    "nvdla-large",
    str(CPUS.parent / "schedules" / "array32_b4.yaml"),
    "eyeriss-v1",
]


def with_bandwidth(machine: Machine, name: str, times: float) -> Machine:
    part: Any = machine.parts[name]
    faster = replace(
        part, bandwidth=Bandwidth(part.bandwidth.value * times, part.bandwidth.per_cycle)
    )
    if name == machine.dram_name:
        faster = replace(faster, timing=None)
    return replace(machine, parts={**machine.parts, name: faster})


def with_latency(machine: Machine, times: float) -> Machine:
    dram: Any = machine.parts[machine.dram_name]
    shorter = replace(dram, latency=Duration(dram.latency.value * times, dram.latency.in_cycles))
    return replace(machine, parts={**machine.parts, machine.dram_name: shorter})


def random_layer(rng: random.Random) -> Layer:
    if rng.random() < 0.5:
        return GemmLayer(
            rng.choice([1, 16, 100, 300]),
            rng.choice([32, 64, 200, 512]),
            rng.choice([32, 150, 256, 700]),
        )
    size = rng.choice([7, 14, 28])
    return ConvLayer(
        n=rng.choice([1, 2]),
        c=rng.choice([16, 32, 64]),
        h=size,
        w=size,
        k=rng.choice([16, 32, 64]),
        r=3,
        s=3,
        pad=1,
    )


def better(machine: Machine, times: float) -> dict[str, Machine]:
    """{resource: the machine with so many times a memory's bandwidth, or DRAM's latency so much shorter}."""
    memories = [
        name
        for name, part in machine.parts.items()
        if isinstance(part, (Cache, Scratchpad)) or name == machine.dram_name
    ]
    return {name: with_bandwidth(machine, name, times) for name in memories} | {
        f"{machine.dram_name} latency": with_latency(machine, 1 / times)
    }


def gains(machine: Machine, cycles: Any, times: float = 2) -> dict[str, float]:
    """Share of the cycles that each resource saves, so many times as good. cycles: of a machine."""
    whole = cycles(machine)
    return {name: (whole - cycles(other)) / whole for name, other in better(machine, times).items()}


def check(machine: Machine, taken: Cycles, cycles: Any) -> None:
    """What is named saves nearly as much as anything else; where nothing is named, nothing saves much."""
    found = gains(machine, cycles)
    lost = {
        resource.removesuffix(" port"): stall / taken.total
        for resource, stall in taken.by_resource.items()
    }
    named = max(lost, key=lambda name: lost[name], default="")
    best = max(found, key=lambda name: found[name])
    if named in found:
        assert found[named] >= found[best] - 0.05, (machine.name, lost, found)
        if lost[named] >= 0.1 and found[named] <= 0.3 * lost[named]:
            # another chain is nearly as long: then a tenth more must still save its share
            little = gains(machine, cycles, 1.1)[named]
            assert little > 0.6 * lost[named] * (1 - 1 / 1.1), (machine.name, lost, found, little)
    else:
        assert found[best] <= lost.get(named, 0.0) + 0.02, (machine.name, lost, found)


@pytest.mark.slow(keep=1)
@pytest.mark.parametrize("seed", range(60))
def test_arrays_name_what_helps_most(seed: int) -> None:
    rng = random.Random(seed)
    machine = load_machine(rng.choice(ARRAYS))
    machine = with_bandwidth(machine, machine.dram_name, rng.choice([0.1, 0.3, 1, 3, 10]))
    plan = lower(replace(random_layer(rng), dtype=machine.dtype), "direct")
    flows = [flow for flow in applicable(plan.stages[0], machine) if flow.name != "streaming"]
    nests = []
    for flow in flows:
        with suppress(HwsimError):  # a tile that does not fit
            nests.append(flow.schedule(plan.stages[0], machine, Placement()))
    nest = rng.choice(nests)

    def cycles(other: Machine) -> float:
        return (
            TIMINGS[other.compute.timing]
            .run(nest, other, machine.dtype, Surroundings())
            .cycles.total
        )

    check(
        machine,
        TIMINGS[machine.compute.timing].run(nest, machine, machine.dtype, Surroundings()).cycles,
        cycles,
    )


@pytest.mark.parametrize("seed", range(24))
def test_cpus_and_gpus_name_what_helps_most(seed: int) -> None:
    rng = random.Random(seed)
    machine = load_machine(rng.choice(["h200", str(CPUS / "zen3.yaml"), str(CPUS / "a53.yaml")]))
    machine = with_bandwidth(machine, machine.dram_name, rng.choice([0.1, 0.3, 1, 3]))
    layer = random_layer(rng)

    def cycles(other: Machine) -> float:
        return simulate(layer, other, "implicit-gemm").layers[0].cycles.total

    check(machine, simulate(layer, machine, "implicit-gemm").layers[0].cycles, cycles)


@pytest.mark.parametrize(
    ("machine", "layer"), [(ARRAYS[3], "resnet50:conv5_1b"), ("tpu-v1", "vgg16:conv4_2")]
)
def test_weights_from_dram_are_not_blamed_on_the_array(machine: str, layer: str) -> None:
    """Both used to wait for 'array: results on their way'; only more bandwidth removes that."""
    from hwsim import load_workload

    network, _, name = layer.partition(":")
    workload = load_workload(network)
    (result,) = simulate(workload.only((name,)), load_machine(machine), "implicit-gemm").layers
    found = result.cycles.by_resource
    assert max(found, key=lambda resource: found[resource]) == result.online[0].dram
