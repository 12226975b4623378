"""Weights packed in every run: a stage of its own, then the product that finds panels."""

from __future__ import annotations

import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.choose.packing import with_packing
from hwsim.describe.layer import ConvLayer, GemmLayer, Layer
from hwsim.parts.core import with_cores
from hwsim.results.result import LayerResult

LAYERS = [
    GemmLayer(96, 80, 72),
    ConvLayer(2, 24, 10, 10, 40, 3, 3, pad=1),
    ConvLayer(1, 16, 8, 8, 32, 3, 3, pad=1, groups=2),
]


def run(layer: Layer, packed: str, algorithm: str = "direct") -> LayerResult:
    machine = with_cores(hwsim.load_machine("xeon-8380"), 1)
    dataflow = f"register-tiled:packed={packed}"
    return hwsim.simulate(layer, machine, algorithm, dataflow=dataflow, dtype="fp32").layers[0]


@pytest.mark.parametrize("layer", LAYERS)
def test_packing_reads_and_writes_every_word_once(layer: Layer) -> None:
    pack, product = run(layer, "run").online
    name = pack.name.removeprefix("pack ")
    words = (
        (layer.k * layer.c // layer.groups * 9)
        if isinstance(layer, ConvLayer)
        else layer.n * layer.k
    )
    assert pack.accesses["registers"][name].reads == words
    assert pack.accesses["registers"][f"{name}.packed"].writes == words
    assert product.operations == run(layer, "yes").online[0].operations


@pytest.mark.parametrize("layer", LAYERS)
def test_the_product_reads_panels_as_if_they_had_been_packed_before(layer: Layer) -> None:
    (before,), (pack, product) = run(layer, "yes").online, run(layer, "run").online
    name = pack.name.removeprefix("pack ")
    for tensor in before.accesses["l1"]:
        own = f"{name}.packed" if tensor == name else tensor
        assert product.accesses["l1"][own].reads == before.accesses["l1"][tensor].reads
    assert product.cycles.total <= before.cycles.total  # the panels are still in a cache


def test_packing_costs_time_and_every_stage_of_products_has_its_own() -> None:
    layer = ConvLayer(1, 32, 14, 14, 32, 3, 3, pad=1)
    assert run(layer, "run").cycles.total > run(layer, "yes").cycles.total
    names = [stage.name for stage in run(layer, "run", "im2col").online]
    assert [name for name in names if name.startswith("pack ")] == ["pack filter"]


def test_only_a_schedule_that_asks_for_it_packs() -> None:
    machine = hwsim.load_machine("xeon-8380")
    plan = lower(GemmLayer(8, 8, 8), "direct").with_dtype("fp32")
    assert with_packing(plan, machine, None) is plan
    assert with_packing(plan, machine, "register-tiled:mr=4") is plan
    assert len(with_packing(plan, machine, "register-tiled:packed=run").stages) == 2
