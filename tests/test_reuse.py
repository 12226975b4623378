"""Reuse by hand, its causes multiplying to the total, and the named array dataflows against the executed loops."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.count.closed_form import count
from hwsim.describe.layer import ConvLayer, GemmLayer
from hwsim.describe.machine import Machine, load_machine
from hwsim.ir.convolution import conv_stages, gemm_stage
from hwsim.ir.nest import Nest
from hwsim.ir.verify import verify_nest
from hwsim.oracle.interpreter import execute
from hwsim.rewrite.placement import Placement
from hwsim.schedule.dataflows import DATAFLOWS


def _reuse(machine: str, layer: object, **choices: str) -> dict[str, object]:
    return hwsim.simulate(layer, machine, "direct", **choices).to_dict()["layers"][0]["stages"][0][
        "reuse"
    ]  # type: ignore[arg-type]


def test_the_example_of_the_docs_by_hand() -> None:
    # 4 x 4 image, two filters of 2 x 2: 72 products over 16, 8 and 18 words
    reuse = _reuse("toy-8x8", ConvLayer(n=1, c=1, h=4, w=4, k=2, r=2, s=2))
    assert reuse["ifmap"]["ideal"] == {"total": 4.5, "convolutional": 2.25, "fmap": 2.0}  # type: ignore[index]
    assert reuse["filter"]["ideal"] == {"total": 9.0, "convolutional": 9.0, "filter": 1.0}  # type: ignore[index]
    assert reuse["ofmap"]["ideal"] == {"total": 4.0, "accumulation": 4.0}  # type: ignore[index]


@pytest.mark.parametrize("machine", ["toy-8x8", "tpu-v1", "eyeriss-v1", "h200", "xeon-8380"])
def test_causes_multiply_to_the_total_and_nothing_beats_the_ideal(machine: str) -> None:
    reuse = _reuse(machine, ConvLayer(n=3, c=8, h=9, w=9, k=10, r=3, s=3, pad=1))
    for tensor in reuse.values():
        for level, factors in {"ideal": tensor["ideal"], **tensor["achieved"]}.items():  # type: ignore[index]
            causes = [value for name, value in factors.items() if name != "total"]
            assert not causes or prod(causes) == pytest.approx(factors["total"]), level
            assert factors["total"] <= tensor["ideal"]["total"] * (1 + 1e-9), level  # type: ignore[index]


def test_reuse_in_80_columns() -> None:
    result = CliRunner().invoke(
        main, ["run", "eyeriss-v1", "conv:16,14,14,16,3,3,1,1", "-a", "direct", "--reuse"]
    )
    assert result.exit_code == 0
    assert "fmap" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


STAGES = {
    "gemm": gemm_stage(GemmLayer(7, 10, 5, dtype="int8")),
    "conv": conv_stages(ConvLayer(n=1, c=3, h=5, w=5, k=5, r=2, s=2, pad=1, dtype="int8"), ("c",))[
        0
    ],
    "grouped": conv_stages(
        ConvLayer(n=2, c=4, h=4, w=4, k=4, r=2, s=2, groups=2, dtype="int8"), ("c",)
    )[0],
}


def _small(name: str) -> Machine:
    """The machine with an array of 4 x 3."""
    machine = load_machine(name)
    array = replace(machine.compute, rows=4, cols=3)  # type: ignore[call-arg]
    return replace(machine, parts={**machine.parts, machine.compute_name: array})


@pytest.mark.slow(keep=2)
@pytest.mark.parametrize("kind", STAGES)
@pytest.mark.parametrize(
    "flow",
    [
        "weight-stationary",
        "output-stationary",
        "input-stationary",
        "no-local-reuse",
        "row-stationary",
    ],
)
@pytest.mark.parametrize("machine", ["tpu-v1", "eyeriss-v1", "toy-8x8"])
def test_array_dataflows_closed_form_is_what_the_loops_do(
    machine: str, flow: str, kind: str
) -> None:
    small, stage = _small(machine), STAGES[kind]
    if DATAFLOWS[flow].refuses(stage, small) is not None:
        assert (machine, flow) in {
            ("tpu-v1", "no-local-reuse"),
            ("tpu-v1", "row-stationary"),
        } or flow == "row-stationary"
        return
    nest: Nest = verify_nest(DATAFLOWS[flow].schedule(stage, small, Placement()))
    assert count(nest).traffic == execute(nest).traffic


def test_what_stands_still_comes_in_once() -> None:
    """One fold of each: the standing operand enters the cells once, whatever streams past."""
    machine = _small("tpu-v1")
    stage = gemm_stage(GemmLayer(3, 3, 4, dtype="int8"))
    ins = count(DATAFLOWS["input-stationary"].schedule(stage, machine, Placement()))
    assert ins.of("array", "A").fills == 12
    outs = count(DATAFLOWS["output-stationary"].schedule(stage, machine, Placement()))
    assert outs.of("array", "C").drains == 9
    assert outs.of("accumulators", "C").updates == 9


@pytest.mark.parametrize(
    "flow", ["output-stationary", "input-stationary", "no-local-reuse", "weight-stationary"]
)
@pytest.mark.parametrize("machine", ["tpu-v1", "eyeriss-v1", "toy-8x8"])
def test_named_dataflows_run(machine: str, flow: str) -> None:
    result = hwsim.simulate(
        ConvLayer(n=2, c=8, h=10, w=10, k=12, r=3, s=3, pad=1), machine, "direct", dataflow=flow
    )
    stage = result.layers[0].stages[0]
    assert stage.dataflow == flow or (machine, flow) == ("tpu-v1", "no-local-reuse")
    assert stage.operations.multiplies == 2 * 8 * 12 * 9 * 100


def test_energy_by_tensor_adds_up_to_the_part() -> None:
    result = hwsim.simulate("toy-4x4", "tpu-v1", "direct").to_dict()
    stage = result["layers"][0]["stages"][0]
    for part, tensors in stage["energy_by_tensor_pj"].items():
        assert sum(tensors.values()) == pytest.approx(stage["energy_pj"][part])
    assert result["edp_js"] == pytest.approx(
        sum(result["energy_pj"].values()) * 1e-12 * result["seconds"]
    )


def test_a_row_stationary_layer_spends_what_isca_2016_shows() -> None:
    # figure 10, CONV5 at batch 16, in 1e9 products: ALU 1.20, scratchpads 4.78 (reference/eyeriss.yaml)
    layer = next(
        layer
        for name, layer in hwsim.load_workload("alexnet", 16).layers.items()
        if name == "conv5"
    )
    spent = hwsim.map_layers(layer, "eyeriss-isca16", "energy").stages[0].simulated.energy_pj
    assert spent["pes"] / 1e9 == pytest.approx(1.20, rel=0.01)
    assert sum(
        spent[name] for name in ("ifmap_spad", "filter_spad", "psum_spad")
    ) / 1e9 == pytest.approx(4.78, rel=0.05)
