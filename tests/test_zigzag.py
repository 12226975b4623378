"""ZigZag's workloads: layers by their equations, sizes by their relations, faults by layer."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.describe.layer import ConvLayer, ElementwiseLayer, GemmLayer, PoolLayer

NETWORK = """# three layers and a sum
- id: 0
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [1, 64, 3, 112, 112, 7, 7]
  pr_loop_dims: [IX, IY]
  padding: [[3, 2], [3, 2]]
  operand_precision: {W: 8, I: 8, O: 16, O_final: 8}
  operand_source: {I: 0, W: 0}
- id: 1
  operator_type: Pooling
  equation: O[b][g][oy][ox]+=W[fx][fy]*I[b][g][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, G, OY, OX, FX, FY]
  loop_sizes: [1, 64, 56, 56, 2, 2]
  operand_precision: {I: 8, W: 0, O: 16, O_final: 8}
  operand_source: {I: 0, W: 1}
- id: 2
  name: depthwise
  operator_type: Conv
  equation: O[b][g][oy][ox]+=W[g][fy][fx]*I[b][g][iy][ix]
  dimension_relations: [ix=1*ox+2*fx, iy=oy+fy]
  loop_dims: [B, G, OY, OX, FY, FX]
  loop_sizes: [1, 64, 54, 52, 3, 3]
  operand_precision: {W: 8, I: 8, O: 16, O_final: 8}
  operand_source: {I: 1, W: 2}
- id: 3
  operator_type: Add
  equation: O[b][g][oy][ox]=W[b][g][oy][ox]+I[b][g][oy][ox]
  dimension_relations: []
  loop_dims: [B, G, OY, OX]
  loop_sizes: [1, 64, 54, 52]
  operand_source: {I: 2, W: 1}
"""
PRODUCT = """
- id: 7
  operator_type: Gemm
  equation: O[b][m][n]+=I[b][m][k]*W[b][k][n]
  dimension_relations: []
  loop_dims: [B, M, N, K]
  loop_sizes: [2, 8, 16, 32]
  operand_source: {I: 7, W: 6}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "network.yaml"
    path.write_text(text)
    return path


def test_layers_are_what_their_equations_say(tmp_path: Path) -> None:
    network = hwsim.load_workload(written(tmp_path, NETWORK))
    conv, pool, depthwise, add = network.layers.values()
    assert isinstance(conv, ConvLayer) and (conv.h, conv.w, conv.k) == (224, 224, 64)
    assert (conv.p, conv.q, conv.macs) == (112, 112, 112 * 112 * 64 * 3 * 49)
    assert isinstance(pool, PoolLayer) and (pool.c, pool.p) == (64, 56)
    assert isinstance(depthwise, ConvLayer)
    assert (depthwise.groups, depthwise.p, depthwise.q) == (64, 54, 52)
    assert depthwise.dilation in ((1, 2), [1, 2])
    assert isinstance(add, ElementwiseLayer) and add.inputs == 2
    assert network.inputs["depthwise"] == ("layer1",)
    assert network.inputs["layer3"] == ("depthwise", "layer1")
    assert sum(layer.macs for layer in network.layers.values()) == network.macs


def test_a_product_of_data_has_its_own_matrices(tmp_path: Path) -> None:
    (layer,) = hwsim.load_workload(written(tmp_path, PRODUCT)).layers.values()
    assert isinstance(layer, GemmLayer)
    assert (layer.batch, layer.m, layer.n, layer.k, layer.operand) == (2, 8, 16, 32, "data")


def test_it_runs_and_is_imported(tmp_path: Path) -> None:
    path = written(tmp_path, PRODUCT.replace("W: 6", "W: 7").replace("[b][k][n]", "[k][n]"))
    assert hwsim.simulate(hwsim.load_workload(path), "tpu-v1").seconds > 0
    ran = CliRunner().invoke(main, ["import", str(path), "--out", str(tmp_path / "own.yaml")])
    assert ran.exit_code == 0, ran.output
    again = hwsim.load_workload(tmp_path / "own.yaml")
    assert again.layers == hwsim.load_workload(path).layers


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("loop_sizes: [2, 8, 16, 32]", "loop_sizes: [2, 8, 16]", "as many sizes as dims"),
        ("equation: O[b][m][n]+=", "equation: O[b][m][n]-", "expected O[..]+=W[..]*I[..]"),
        ("loop_dims: [B, M, N, K]", "loop_dims: [B, M, N, Z]", "loops over its operands' dims"),
        ("dimension_relations: []", "dimension_relations: [ix=ox]", "loops over"),
        ("- id: 7\n", "- name: x\n", "no id"),
        ("- id: 7\n", "- id: [7]\n", "numbers of layers"),
        ("operand_source: {I: 7, W: 6}", "operand_source: [7]", "expected a mapping"),
        ("operand_source: {", "padding: [[1, x]]\n  operand_source: {", "before and behind"),
    ],
)
def test_a_fault_names_its_layer(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in PRODUCT
    path = written(tmp_path, PRODUCT.replace(old, new))
    ran = CliRunner().invoke(main, ["run", "tpu-v1", str(path)])
    assert ran.exit_code == 2 and said in ran.output and "layer 0" in ran.output, ran.output
    assert "Traceback" not in ran.output


def test_a_relation_of_a_loop_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """It was left out, and another layer ran."""
    path = written(tmp_path, NETWORK.replace("ix=2*ox+1*fx", "ix=2*oz+1*fx", 1))
    ran = CliRunner().invoke(main, ["run", "tpu-v1", str(path)])
    assert ran.exit_code == 2 and "no loop oz; expected some of B, K" in ran.output, ran.output
