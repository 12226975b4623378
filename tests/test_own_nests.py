"""Nests of a user's own on caches: misses as an independent simulator and hand counts have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.results.result import StageResult
from hwsim.rewrite.arrays import read_arrays

CASES = Path(__file__).parent / "cases/cpu"


def write(folder: Path, order: str, step: int = 1, more: str = "") -> Path:
    """The product of 128^3 with one loop over each dim, in an order."""
    loops = "".join(f"      - {{for: {dim}, step: 1}}\n" for dim in order)
    path = folder / "nest.yaml"
    path.write_text(
        f"machine: {CASES / 'zen3.yaml'}\nalgorithm: direct\ndtype: fp32\nnests:\n"
        "  - layer: g\n    shape: {op: gemm, m: 128, n: 128, k: 128}\n    stage: gemm\n    nest:\n"
        f"      - {{hold: dram, tensors: [A, B, C]}}\n{more}{loops}"
        "      - {hold: registers, tensors: [A, B, C]}\n"
    )
    return path


def lines(path: Path, level: str) -> dict[str, int]:
    """Lines looked up at a level: what the one before it missed, and what it wrote back."""
    stage = hwsim.run_nests(path).layers[0].stages[0]
    return {name: access.reads for name, access in stage.accesses[level].items()}


def test_ijk_misses_as_an_independent_simulator_has_it() -> None:
    path = CASES / "nest_ijk_128.yaml"
    assert lines(path, "l2") == {"A": 17_424, "B": 2_097_152, "C": 16_384}
    assert lines(path, "l3") == {"A": 1_024, "B": 1_024, "C": 1_024}
    assert lines(path, "dram") == {"A": 1_024, "B": 1_024, "C": 1_024}


def test_ikj_walks_rows(tmp_path: Path) -> None:
    """128^3 / 16 lines of B: it is 64 KiB, and L1 32 KiB."""
    assert lines(write(tmp_path, "mkn"), "l2")["B"] == 131_072


def test_orders_are_told_apart_in_time(tmp_path: Path) -> None:
    """Measured on one core: ijk 2.83 ms, ikj 0.85 (tests/cases/README of the cases: gcc -O2)."""
    time = {order: hwsim.run_nests(write(tmp_path, order)).seconds for order in ("mnk", "mkn")}
    assert time["mkn"] == pytest.approx(0.85e-3, rel=0.15)
    assert 2.83 / 0.85 / 1.5 < time["mnk"] / time["mkn"] < 2.83 / 0.85 * 1.5


def test_the_first_cache_gives_words_and_not_whole_lines() -> None:
    """768^3 / 16 multiply-adds a cycle: nothing but they takes as long."""
    result = hwsim.simulate("gemm:768,768,768", CASES / "l1_whole_lines.yaml", "direct")
    assert result.layers[0].stages[0].cycles.total == pytest.approx(768**3 / 16, rel=0.01)


@pytest.mark.parametrize(("size", "ms"), [(512, 3.08), (768, 10.3), (1024, 28.8)])
def test_register_tiles_take_what_openblas_takes(size: int, ms: float) -> None:
    """One Zen 3 core, one thread (the cases' README)."""
    result = hwsim.simulate(f"gemm:{size},{size},{size}", CASES / "zen3.yaml", "direct")
    assert result.seconds * 1e3 == pytest.approx(ms, rel=0.15)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("      - {hold: l2, tensors: [A]}\n", "l2 is a cache, which keeps what was used last"),
        ("      - {par: m, step: 64, on: row}\n", "no axis 'row' of core; expected one of core"),
        ("      - {par: m, step: 64, on: core}\n", "2 neighbours on core, which has 1"),
    ],
)
def test_what_a_cpu_does_not_have_is_refused_at_its_line(
    more: str, expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path, "mnk", more=more)
    result = CliRunner().invoke(main, ["run", "--nest", str(path)])
    assert result.exit_code == 2
    assert expected in result.output.replace("\n", " ")
    assert "nest.yaml:10:" in result.output or "nest.yaml:9:" in result.output


@pytest.mark.parametrize(("order", "loops"), [("mnk", "ijk"), ("mkn", "ikj"), ("nkm", "jki")])
def test_loops_by_name_are_the_nest_of_a_file(order: str, loops: str, tmp_path: Path) -> None:
    written = hwsim.run_nests(write(tmp_path, order)).layers[0].stages[0]
    named = hwsim.simulate(
        "gemm:128,128,128", CASES / "zen3.yaml", "direct", dataflow=f"loops:order={loops}"
    )
    stage = named.layers[0].stages[0]
    assert stage.accesses == written.accesses
    assert stage.cycles == written.cycles


def test_cores_share_a_nests_chunks(tmp_path: Path) -> None:
    """64 cores of an EPYC, two rows each."""
    path = write(tmp_path, "mkn", more="      - {par: m, step: 2, on: core}\n")
    path.write_text(path.read_text().replace(str(CASES / "zen3.yaml"), "epyc-7763"))
    shared = hwsim.run_nests(path).seconds
    path = write(tmp_path, "mkn")
    path.write_text(path.read_text().replace(str(CASES / "zen3.yaml"), "epyc-7763"))
    assert hwsim.run_nests(path).seconds > 40 * shared


def test_a_kernel_of_ones_own_is_the_rules_on_a_gpu(tmp_path: Path) -> None:
    """The nest that shared-tiled takes, written out (docs/mapping.md)."""
    items = """
      - {hold: hbm, tensors: [A, B, C]}
      - {par: m, step: 32, on: block}
      - {par: n, step: 32, on: block}
      - {for: k, step: 16}
      - {hold: shared, tensors: [A, B], multicast: false}
      - {par: m, step: 2, on: thread}
      - {par: n, step: 2, on: thread}
      - {for: k, step: 1}
      - {hold: registers, tensors: [A, B, C], multicast: false}
      - {for: m, step: 1}
      - {for: n, step: 1}
"""
    path = tmp_path / "kernel.yaml"
    path.write_text(
        "machine: h200\nalgorithm: direct\ndtype: fp32\nnests:\n  - layer: g\n"
        "    shape: {op: gemm, m: 512, n: 512, k: 512}\n    stage: gemm\n    nest:" + items
    )
    own = hwsim.run_nests(path).layers[0].stages[0]
    named = hwsim.simulate(
        "gemm:512,512,512", "h200", "direct", dtype="fp32", dataflow="shared-tiled"
    )
    rule = named.layers[0].stages[0]
    assert own.nest == rule.nest
    assert own.cycles == rule.cycles
    assert own.accesses == rule.accesses
    text = path.read_text().replace("    stage:", "    code: {registers: 250}\n    stage:")
    path.write_text(text)
    assert hwsim.run_nests(path).layers[0].stages[0].fidelity.startswith("blocks in waves (1 a SM")
    path.write_text(text.replace("registers: 250", "vector: m"))
    with pytest.raises(hwsim.HwsimError, match="has no CPU cores"):
        hwsim.run_nests(path)


def test_tiles_that_fit_miss_less_and_vectors_take_less() -> None:
    """A 32 x 32 tile is 4 KiB; B as a whole is 256 KiB, and L1 32 KiB."""

    def stage(loops: str) -> StageResult:
        result = hwsim.simulate(
            "gemm:256,256,256", CASES / "zen3.yaml", "direct", dataflow=f"loops:order={loops}"
        )
        return result.layers[0].stages[0]

    plain, tiled, vectors = stage("ijk"), stage("ijk,tile=16x16x16"), stage("ikj,vector=j")
    assert tiled.accesses["l2"]["B"].reads < plain.accesses["l2"]["B"].reads / 4
    assert tiled.cycles.total < plain.cycles.total / 1.5
    assert vectors.cycles.total < stage("ikj").cycles.total / 4


@pytest.mark.parametrize(
    ("dataflow", "expected"),
    [
        ("loops:order=ikx", "no loop 'x' in gemm"),
        ("loops:order=iij", "names a loop twice"),
        ("loops:order=ijk,tile=4x4", "has 2 sizes"),
        ("loops:order=ijk,tile=0x4x4", "expected sizes such as"),
        ("loops:ordre=ijk", "did you mean 'order'"),
        ("loops:order=", "order has no value"),
        ("loops:order=ijk,vector=q", "no loop 'q'"),
        ("loops:order=ijk,fused=maybe", "expected yes or no"),
        ("loops:order=ijk,registers=4x4", "registers=4x4 has 2 sizes"),
        ("loops:order=ijk,entry=many", "entry=many; expected a number"),
    ],
)
def test_wrong_loops_are_named(dataflow: str, expected: str) -> None:
    words = ["run", str(CASES / "zen3.yaml"), "gemm:8,8,8", "-a", "direct", "--dataflow", dataflow]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert expected in result.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("arrays: {D: {ld: 200}}", "no array 'D' in direct"),
        ("arrays: {B: {order: [n, n]}}", "expected its axes k,n in any order"),
        ("arrays: {B: {ld: 200, block: 8}}", "expected ld or block"),
        ("code: {vector: q}", "no dim 'q' in gemm"),
        ("code: {registers: 64}", "has no GPU's threads"),
    ],
)
def test_wrong_arrays_and_code_are_found_at_their_line(
    line: str, expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path, "mnk")
    path.write_text(path.read_text().replace("    nest:\n", f"    {line}\n    nest:\n"))
    result = CliRunner().invoke(main, ["run", "--nest", str(path)])
    assert result.exit_code == 2
    assert expected in result.output.replace("\n", " ")
    assert "nest.yaml:8:" in result.output


def test_a_files_arrays_are_those_of_a_flag(tmp_path: Path) -> None:
    path = write(tmp_path, "mnk")
    path.write_text(
        path.read_text().replace("    nest:\n", "    arrays: {B: {order: [n, k]}}\n    nest:\n")
    )
    found = hwsim.run_nests(path).layers[0].stages[0]
    flag = hwsim.simulate(
        "gemm:128,128,128",
        CASES / "zen3.yaml",
        "direct",
        dataflow="loops:order=ijk",
        arrays=read_arrays(("B=n,k",)),
    )
    assert found.accesses == flag.layers[0].stages[0].accesses


def test_loops_that_would_take_hours_are_refused_at_once() -> None:
    words = ["run", str(CASES / "zen3.yaml"), "gemm:20000,20000,20000", "-a", "direct"]
    result = CliRunner().invoke(main, [*words, "--dataflow", "loops:order=ijk"])
    assert result.exit_code == 2
    assert "minutes; expected a smaller layer" in result.output.replace("\n", " ")


def test_what_no_name_stands_for_is_said_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    mapped = hwsim.map_layers("gemm:4,4,4", "toy-8x8").nest_file("toy-8x8").splitlines()
    for line, field in enumerate(("machine", "algorithm"), 1):
        assert mapped[line - 1].startswith(field)
        lines = [*mapped]
        lines[line - 1] = f"{field}: nobody"
        path.write_text("\n".join(lines))
        ran = CliRunner().invoke(main, ["run", "--nest", str(path)])
        assert ran.exit_code == 2 and f"own.yaml:{line}:" in ran.stderr and "nobody" in ran.stderr
