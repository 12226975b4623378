"""Timeloop's files: problems, architectures of three versions, mappings; counts beside those that Timeloop printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwsim.cli import main
from hwsim.foreign.timeloop.design import Design, load_design

CONV1D = """
problem:
  shape:
    name: Conv1D
    dimensions: [R, P]
    data-spaces:
      - {name: Weights, projection: [[[R]]]}
      - {name: Inputs, projection: [[[R], [P]]]}
      - {name: Outputs, projection: [[[P]]], read-write: True}
  instance: {R: 3, P: 16}
"""
CONV1D_CHANNELS = """
problem:
  shape:
    name: Conv1D_OC
    dimensions: [C, K, R, P]
    data_spaces:
      - {name: Weights, projection: [[[C]], [[K]], [[R]]]}
      - {name: Inputs, projection: [[[C]], [[R], [P]]]}
      - {name: Outputs, projection: [[[K]], [[P]]], read_write: True}
  instance: {C: 32, K: 32, R: 3, P: 16}
"""
TWO_LEVELS = """
architecture:
  version: 0.2
  subtree:
    - name: System
      local:
        - {name: MainMemory, class: SRAM, attributes: {depth: 32768, width: 64, block-size: 8, word-bits: 8}}
      subtree:
        - name: PE
          local:
            - {name: Buffer, class: regfile, attributes: {depth: 64, width: 8, word-bits: 8, block-size: 1}}
            - {name: MACC, class: intmac, attributes: {datawidth: 8}}
"""
SIXTEEN_PES = """
architecture:
  version: 0.3
  subtree:
    - name: System
      local:
        - {name: MainMemory, class: DRAM, attributes: {width: 256, word-bits: 8}}
      subtree:
        - name: Chip
          local:
            - {name: GlobalBuffer, class: SRAM, attributes: {depth: 8192, width: 256, block-size: 32, word-bits: 8}}
          subtree:
            - name: PE[0..15]
              local:
                - {name: RegisterFile, class: regfile, attributes: {depth: 64, width: 8, block-size: 1, word-bits: 8}}
                - {name: MACC, class: intmac, attributes: {datawidth: 8}}
"""
NODES = """
architecture:
  version: 0.4
  nodes:
    - !Container
      name: System
    - !Component
      name: MainMemory
      class: DRAM
      attributes: {width: 256, datawidth: 8}
    - !Container
      name: PE
      spatial: {meshX: 16}
    - !Component
      name: GlobalBuffer
      class: SRAM
      attributes: {depth: 32768, width: 64, datawidth: 8}
    - !Component
      name: RegisterFile
      class: regfile
      attributes: {depth: 64, width: 8, datawidth: 8}
    - !Component
      name: MACC
      class: intmac
"""


def design(folder: Path, *texts: str) -> Design:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.yaml")
        paths[-1].write_text(text)
    return load_design(paths)


def counts(found: Design) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    return {
        key: (own.tile_size, own.reads, own.fills, own.updates) for key, own in found.theirs.items()
    }


def test_weights_that_stay(tmp_path: Path) -> None:
    """Timeloop's exercise 01, ws: 48 cycles; the tutorial's stats of 2020, but for the first fill of sums, which newer versions do not count."""
    mapping = """
mapping:
  - {target: MainMemory, type: temporal, factors: R=3 P=1, permutation: RP}
  - {target: Buffer, type: temporal, factors: R=1 P=16, permutation: PR}
"""
    found = design(tmp_path, CONV1D, TWO_LEVELS, mapping)
    assert found.cycles == 48 and found.utilization == 1.0
    assert counts(found) == {
        ("MainMemory", "Weights"): (3, 3, 0, 0),
        ("MainMemory", "Inputs"): (18, 18, 0, 0),
        ("MainMemory", "Outputs"): (16, 0, 0, 16),
        ("Buffer", "Weights"): (1, 48, 3, 0),
        ("Buffer", "Inputs"): (16, 48, 18, 0),
        ("Buffer", "Outputs"): (16, 32, 0, 48),
    }


@pytest.mark.parametrize("factors", ["R=1 P=16", "R1 P16", "R=1,P=16", "R=1, P=0"])
def test_factors_may_be_written_as_timeloop_takes_them(factors: str, tmp_path: Path) -> None:
    """0 is the whole bound."""
    mapping = f"""
mapping:
  - {{target: Buffer, type: temporal, factors: "{factors}", permutation: PR}}
  - {{target: MainMemory, type: temporal, factors: [R=3], permutation: [R, P]}}
"""
    assert design(tmp_path, CONV1D, TWO_LEVELS, mapping).cycles == 48


def test_neighbours_in_a_tree_and_behind_a_node(tmp_path: Path) -> None:
    """Exercise 04: output channels over 16 PEs (0.2's stats of 2020), input channels over 16 (0.4's stats)."""
    by_outputs = """
mapping:
  - {target: MainMemory, type: temporal, factors: "", permutation: PRKC}
  - {target: GlobalBuffer, type: temporal, factors: R=3 P=1 K=2 C=32, permutation: PRKC}
  - {target: GlobalBuffer, type: spatial, factors: K=16, permutation: PRKC}
  - {target: RegisterFile, type: temporal, factors: P=16, permutation: RPKC}
"""
    found = design(tmp_path, CONV1D_CHANNELS, SIXTEEN_PES, by_outputs)
    assert found.cycles == 3072 and found.utilization == 1.0
    numbers = counts(found)
    assert numbers["GlobalBuffer", "Inputs"] == (576, 1152, 576, 0)
    assert numbers["GlobalBuffer", "Weights"] == (3072, 3072, 3072, 0)
    assert numbers["GlobalBuffer", "Outputs"][3] == 16384
    assert numbers["RegisterFile", "Inputs"] == (16, 3072, 1152, 0)
    by_inputs = """
mapping:
  - {target: inter_PE_spatial, type: spatial, factors: C=16, permutation: PRKC}
  - {target: GlobalBuffer, type: temporal, factors: R=3 K=32 C=2, permutation: PRKC}
  - {target: RegisterFile, type: temporal, factors: P=16, permutation: RPKC}
"""
    found = design(tmp_path, CONV1D_CHANNELS, NODES, by_inputs)
    assert found.cycles == 3072
    assert counts(found) == {
        ("MainMemory", "Weights"): (3072, 3072, 0, 0),
        ("MainMemory", "Inputs"): (576, 576, 0, 0),
        ("MainMemory", "Outputs"): (512, 0, 0, 512),
        ("GlobalBuffer", "Weights"): (192, 192, 192, 0),
        ("GlobalBuffer", "Inputs"): (36, 1152, 36, 0),
        ("GlobalBuffer", "Outputs"): (512, 512, 0, 1024),
        ("RegisterFile", "Weights"): (1, 3072, 192, 0),
        ("RegisterFile", "Inputs"): (16, 3072, 1152, 0),
        ("RegisterFile", "Outputs"): (16, 2560, 512, 3072),
    }


def test_what_is_bypassed_is_not_kept(tmp_path: Path) -> None:
    mapping = """
mapping:
  - {target: MainMemory, type: temporal, factors: R=3, permutation: RP}
  - {target: Buffer, type: temporal, factors: P=16, permutation: PR}
  - {target: Buffer, type: bypass, keep: [Outputs], bypass: [Weights, Inputs]}
"""
    found = design(tmp_path, CONV1D, TWO_LEVELS, mapping)
    assert set(counts(found)) == {
        ("MainMemory", "Weights"),
        ("MainMemory", "Inputs"),
        ("MainMemory", "Outputs"),
        ("Buffer", "Outputs"),
    }


def test_a_last_iteration_that_is_shorter(tmp_path: Path) -> None:
    """17 outputs as six of three, the last of two: P=6 outside, P=3,2 inside."""
    mapping = """
mapping:
  - {target: MainMemory, type: temporal, factors: "R=3 P=6", permutation: RP}
  - {target: Buffer, type: temporal, factors: "P=3,2", permutation: PR}
"""
    found = design(tmp_path, CONV1D.replace("P: 16", "P: 17"), TWO_LEVELS, mapping)
    assert found.nest.stage.iterations == 51
    assert found.exact.of("MainMemory", "Outputs").updates == 17


def test_the_built_in_shapes(tmp_path: Path) -> None:
    """A strided layer: inputs reach 2 (P - 1) + R."""
    problem = """
problem:
  shape: cnn-layer
  instance: {R: 3, S: 3, P: 4, Q: 4, C: 2, K: 2, N: 1, Wstride: 2, Hstride: 2}
"""
    mapping = """
mapping:
  - {target: MainMemory, type: temporal, factors: R=3 S=3 P=4 Q=4 C=2 K=2, permutation: RSPQCK}
"""
    found = design(tmp_path, problem, TWO_LEVELS, mapping)
    assert found.theirs["MainMemory", "Inputs"].tile_size == 2 * 9 * 9
    gemm = "problem:\n  shape: gemm_ABZ\n  instance: {M: 4, N: 5, K: 6}\n"
    mapping = "mapping:\n  - {target: MainMemory, type: temporal, factors: M=4 N=5 K=6}\n"
    assert design(tmp_path, gemm, TWO_LEVELS, mapping).nest.stage.iterations == 120


def test_bandwidth_holds_back_a_level(tmp_path: Path) -> None:
    """Words a cycle of an instance: 21 words are read from the main memory, one in four cycles."""
    mapping = """
mapping:
  - {target: MainMemory, type: temporal, factors: R=3, permutation: RP}
  - {target: Buffer, type: temporal, factors: P=16, permutation: PR}
"""
    slow = TWO_LEVELS.replace("depth: 32768", "read_bandwidth: 0.25, depth: 32768")
    assert design(tmp_path, CONV1D, slow, mapping).cycles == 84


FINE = """
mapping:
  - {target: MainMemory, type: temporal, factors: R=3 P=1, permutation: RP}
  - {target: Buffer, type: temporal, factors: R=1 P=16, permutation: PR}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("target: Buffer", "target: Bufer", "expected one of Buffer, MainMemory"),
        ("R=1 P=16", "R=1 P=8", "P's factors come to 8 of 16"),
        ("R=1 P=16", "R=1 X=16", "expected a dim and its bound"),
        ("factors: R=1 P=16", "factors: R=1 P=16, permuation: PR", "did you mean 'permutation'"),
        ("permutation: PR", "permutation: ZR", "no dim Z"),
        ("permutation: PR", "permutation: PP", "named twice"),
        ("depth: 64", "dpeth: 64", "did you mean 'depth'"),
        ("instance: {R: 3, P: 16}", "instance: {R: 3, P: 16, Z: 3}", "no such dimension"),
        ("type: temporal, factors: R=3", "type: skew, factors: R=3", "skew"),
        ("depth: 64", "depth: 32", "Buffer would hold 33 words; it has 32, 1 too few"),
        ("class: regfile", "sparse-optimizations: {}, class: regfile", "sparse_optimizations"),
        ("instance: {R: 3, P: 16}", "instance: {R: 3}", "no bound of P"),
        ("read-write: True", "read-write: False", "0 are read_write"),
        ("mapping:", "mappings:", "mappings: is not read"),
        (
            "factors: R=1 P=16",
            "factors: R=1 P=16, no_temporal_reuse: [Inputs]",
            "no_temporal_reuse",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    text = CONV1D + TWO_LEVELS + FINE
    assert old in text
    path = tmp_path / "design.yaml"
    path.write_text(text.replace(old, new))
    ran = CliRunner().invoke(main, ["timeloop", str(path)])
    assert ran.exit_code == 2, ran.output
    assert said in ran.output and "design.yaml:" in ran.output
    assert "Traceback" not in ran.output


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "design.yaml"
    path.write_text(CONV1D + TWO_LEVELS + FINE + "mapper: {algorithm: random}\n")
    ran = CliRunner().invoke(main, ["timeloop", str(path)])
    assert ran.exit_code == 0 and "48 cycles" in ran.stdout and "mapper" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
    document = json.loads(CliRunner().invoke(main, ["timeloop", str(path), "--json"]).stdout)
    assert document["cycles"] == 48 and len(document["levels"]) == 6
    missing = CliRunner().invoke(main, ["timeloop", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 2
