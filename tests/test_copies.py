"""Copies that a CPU's products run on where operands lie badly: same results, and worth it."""

from __future__ import annotations

import numpy as np
import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.choose.copies import on_better_copies
from hwsim.choose.layer import run_nest
from hwsim.describe.layer import AttentionLayer, ConvLayer, Layer
from hwsim.ir.evaluate import evaluate, operands
from hwsim.ir.stage import Plan
from hwsim.ir.tensor import Array
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS
from hwsim.timing import Surroundings
from hwsim.timing.layer_caches import implicit_chain
from tests.layers import by_loops, data
from tests.test_config import CPUS

CROWDED = "conv:512,32,32,512,1,1,1,0"
SMALL = ConvLayer(1, 160, 16, 64, 4, 3, 3, pad=1)


def stages(layer: str | Layer, machine: str, **asked: object) -> list[str]:
    result = hwsim.simulate(layer, machine, "implicit-gemm", **asked)  # type: ignore[arg-type]
    return [stage.name for stage in result.layers[0].online]


def copied(layer: Layer, algorithm: str) -> Plan:
    """The plan on copies, as if every product had lost enough time."""
    machine = hwsim.load_machine("cortex-a53")
    plan = lower(layer, algorithm).with_dtype("fp32")
    ran = hwsim.simulate(layer, machine, algorithm, dataflow="loops").layers[0]
    found = on_better_copies(plan, machine, ran)
    assert found is not None
    return found


def test_a_product_on_copies_computes_the_same() -> None:
    x, w = data(SMALL, 1)
    plan = copied(SMALL, "implicit-gemm")
    assert [stage.name for stage in plan.stages] == [
        "ifmap to nhwc",
        "convolution",
        "ofmap to nchw",
    ]
    values = evaluate(plan, operands(SMALL, x, w))
    assert np.allclose(values["ofmap"].reshape(-1), by_loops(SMALL, x, w).reshape(-1))


def test_maps_that_crowd_sets_are_copied_where_that_is_faster() -> None:
    """1.7 times as long without: 512 channels of 4 KiB lie in 16 sets of a second cache."""
    assert stages(CROWDED, "epyc-7763") == ["ifmap to nhwc", "convolution", "ofmap to nchw"]
    named = hwsim.simulate(CROWDED, "epyc-7763", "implicit-gemm", dataflow="register-tiled")
    found = hwsim.simulate(CROWDED, "epyc-7763", "implicit-gemm")
    assert named.cycles > 1.5 * found.cycles
    assert any("channels last" in note for note in found.notes)


@pytest.mark.parametrize(
    ("layer", "machine", "asked"),
    [
        (CROWDED, "graviton3", {}),  # nothing is lost
        ("conv:256,28,28,256,3,3,1,1", "epyc-7763", {}),  # channels lie in sets of their own
        (CROWDED, "epyc-7763", {"arrays": {"ifmap": Array(ld=32)}}),  # somebody stated how
    ],
)
def test_others_are_not(layer: str, machine: str, asked: dict[str, object]) -> None:
    assert stages(layer, machine, **asked) == ["convolution"]


def test_maps_of_several_products_stay() -> None:
    """Each of a transposed convolution's products would copy the whole map."""
    found = stages("convtranspose:512,32,32,64,2,2,2,0", "epyc-7763")
    assert found == [f"convolution-{number}" for number in (1, 2, 3, 4)]


def test_keys_are_transposed_once() -> None:
    """Neighbours along the keys lie a row apart: each was a load of its own."""
    layer = AttentionLayer(n=1, heads=12, q=197, kv=197, d=64)
    found = hwsim.simulate(layer, "xeon-8380", "attention").layers[0]
    assert [stage.name for stage in found.online][:2] == ["K to columns", "scores"]
    turned = found.online[0].accesses["registers"]
    words = 12 * 197 * 64
    assert turned["K"].reads == turned["K.transposed"].writes == words
    plain = hwsim.simulate(layer, "xeon-8380", "attention", dataflow="register-tiled").layers[0]
    copied, product = (stage.cycles.total for stage in found.online[:2])
    assert plain.online[0].cycles.total > 3 * product
    assert plain.online[0].cycles.total > 2 * (copied + product)
    assert plain.macs == found.macs


@pytest.mark.parametrize("name", CPUS)
def test_copies_go_in_squares_of_lines(name: str) -> None:
    """A line comes once or twice, though rows lie 8 KiB apart in few sets (was: 8.5 times)."""
    machine = hwsim.load_machine(name)
    layer = AttentionLayer(n=1, heads=1, q=64, kv=2048, d=512)
    plan = copied(layer, "attention")
    pass_over = plan.stages[0]
    assert pass_over.name == "K to columns"
    nest = DATAFLOWS["streaming"].schedule(pass_over, machine, Placement())
    around = Surroundings(implicit_chain(machine, [pass_over]), True, False)
    misses = run_nest(nest, machine, "fp32", around).lines["l1"].values()
    assert sum(lines.misses for lines in misses) <= 1.6 * 2 * 2048 * 512 * 4 / 64
