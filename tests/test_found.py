"""Bugs that were found once, each as the smallest case that showed it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hwsim
from hwsim.describe.catalog import shipped
from hwsim.describe.layer import ConvLayer, GemmLayer, LinearLayer
from hwsim.errors import ConfigError, HwsimError
from hwsim.report.files import write_folder


def edited(tmp_path: Path, name: str, *edits: tuple[str, str]) -> str:
    """A copy of a shipped machine with some text replaced."""
    text = shipped("configs")[name].read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_weights_are_read_once_as_they_shift_into_the_cells() -> None:
    stage = (
        hwsim.simulate(ConvLayer(1, 64, 28, 28, 64, 3, 3, pad=1), "tpu-v1", "direct")
        .layers[0]
        .stages[0]
    )
    weights = stage.accesses["weight_fifo"]["filter"]
    assert weights.reads == weights.writes == 64 * 64 * 9


def test_two_machines_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    fast = edited(tmp_path, "tpu-v1", ("100 ns", "10 ns"))
    with pytest.raises(HwsimError, match="two different machines are named 'tpu-v1'"):
        hwsim.compare(GemmLayer(64, 64, 64), ["tpu-v1", fast], ["direct"])


def test_caches_are_ordered_by_links_not_by_the_file(tmp_path: Path) -> None:
    text = shipped("configs")["xeon-8380"].read_text()
    start, end = text.index("  l3:"), text.index("  l2:")
    moved = text[:start] + text[end:].replace(
        "  registers:\n", text[start:end] + "  registers:\n", 1
    )
    path = tmp_path / "moved.yaml"
    path.write_text(moved)
    layer = ConvLayer(1, 16, 28, 28, 32, 3, 3, pad=1)
    here, there = (
        hwsim.simulate(layer, machine, "direct").layers[0].accesses
        for machine in ("xeon-8380", str(path))
    )
    assert here["l1"] == there["l1"]
    assert here["l3"] == there["l3"]


def test_an_outer_cache_still_fetches_what_an_inner_one_asked_for(tmp_path: Path) -> None:
    """L3 alone does not fetch on writes: the L2's read of a line that a store missed goes to DRAM all the same."""
    path = edited(
        tmp_path,
        "xeon-8380",
        (
            "    latency: 70 cycles     # assumption\n",
            "    latency: 70 cycles     # assumption\n    write_fetch: false\n",
        ),
    )
    layer = ConvLayer(1, 16, 28, 28, 32, 3, 3, pad=1)
    plain, changed = (
        hwsim.simulate(layer, machine, "direct").layers[0].accesses["dram"]["ofmap"]
        for machine in ("xeon-8380", path)
    )
    assert plain.reads == changed.reads > 0


@pytest.mark.parametrize(
    "layer",
    [
        ConvLayer(1, 8, 30, 30, 16, 3, 3),
        ConvLayer(1, 8, 60, 60, 31, 1, 1),
        LinearLayer(30, 512, 16),
    ],
)
@pytest.mark.parametrize("dtype", ["fp32", "fp64", "int8"])
def test_register_tiles_fit_whatever_the_filters(
    layer: hwsim.ConvLayer | LinearLayer, dtype: str
) -> None:
    result = hwsim.simulate(layer, "xeon-8380", "direct", dtype=dtype)
    assert result.footprint_bytes["registers"] <= 2048


def test_sums_of_int8_take_four_bytes_in_registers() -> None:
    stage = (
        hwsim.simulate(GemmLayer(512, 512, 512), "xeon-8380", "direct", dtype="int8")
        .layers[0]
        .stages[0]
    )
    assert stage.footprint_bytes["registers"]["C"] == 14 * 32 * 4
    assert stage.utilization <= 1


def test_auto_leaves_out_what_does_not_fit() -> None:
    layer = ConvLayer(1, 16, 1, 4096, 16, 1, 3)
    result = hwsim.simulate(layer, "eyeriss-v1", "auto")
    assert result.seconds > 0


def test_wide_operands_take_a_narrower_weight_tile() -> None:
    result = hwsim.simulate(
        ConvLayer(1, 512, 14, 14, 512, 3, 3, pad=1), "tpu-v1", "direct", dtype="int16"
    )
    assert result.footprint_bytes["weight_fifo"] <= 256 * 1024


def test_a_small_array_without_accumulators_runs(tmp_path: Path) -> None:
    """Partial sums in the buffer are four bytes wide, and the tile is chosen so."""
    path = tmp_path / "small.yaml"
    path.write_text("""
name: small
description: no accumulators
clock: 100 MHz
dtype: int8
parts:
  dram: {type: dram, capacity: 1 GiB, bandwidth: 1 GB/s, latency: 100 ns}
  buffer: {type: scratchpad, capacity: 64 KiB, bandwidth: 16 B/cycle, roles: [activation, output]}
  weights: {type: scratchpad, capacity: 4 KiB, bandwidth: 16 B/cycle, roles: [weight]}
  array: {type: systolic, rows: 4, cols: 4, rates: {int8: 1.0}}
links: [dram <-> buffer, dram -> weights, buffer <-> array, weights -> array]
""")
    for algorithm in ("direct", "im2col", "winograd-f2"):
        result = hwsim.simulate(ConvLayer(1, 16, 32, 32, 16, 3, 3, pad=1), str(path), algorithm)
        assert result.footprint_bytes["buffer"] <= 64 * 1024


def without(text: str, part: str) -> str:
    """A machine's text less one part, and with the links that led through it joined."""
    lines = text.splitlines(keepends=True)
    start = lines.index(f"  {part}:\n")
    inside = (at for at in range(start + 1, len(lines)) if not lines[at].startswith("    "))
    del lines[start : next(inside)]
    ends = [line for line in lines if re.search(rf"\b{part}\b", line) and line.startswith("  - ")]
    far = [re.sub(rf"[- <>]*\b{part}\b[ <>-]*", "", line[4:]).strip() for line in ends]
    lines[lines.index(ends[0])] = f"  - {far[0]} <-> {far[1]}\n"
    lines.remove(ends[1])
    return "".join(lines)


@pytest.mark.parametrize(
    ("name", "part", "kind"),
    [
        ("h200", "shared", "scratchpad with per: sm"),
        ("h200", "l2", "cache with per: chip"),
        ("xeon-8380", "registers", "registers"),
    ],
)
def test_a_memory_that_the_family_needs_is_asked_for(
    tmp_path: Path, name: str, part: str, kind: str
) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(without(shipped("configs")[name].read_text(), part))
    with pytest.raises(ConfigError, match=f"no part of type {kind}"):
        hwsim.load_machine(path)


def test_a_layer_larger_than_dram_is_refused() -> None:
    with pytest.raises(HwsimError, match="of ddr3, which has 8 GiB; most of it is filter"):
        hwsim.simulate(LinearLayer(1, 120_000, 120_000), "tpu-v1", "direct")


def test_a_layer_keeps_its_own_data_type() -> None:
    assert (
        hwsim.simulate(ConvLayer(1, 64, 14, 14, 64, 3, 3, dtype="fp16"), "h200", "direct").dtype
        == "fp16"
    )
    with pytest.raises(HwsimError, match="does not compute 'fp99'"):
        hwsim.simulate(ConvLayer(1, 64, 14, 14, 64, 3, 3, dtype="fp99"), "h200", "direct")


def test_a_dataflow_that_does_not_apply_says_so() -> None:
    result = hwsim.simulate(
        ConvLayer(1, 8, 9, 9, 8, 3, 3), "tpu-v1", "direct", dataflow="row-stationary"
    )
    assert any("row-stationary does not schedule" in note for note in result.notes)


def test_force_replaces_a_report_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "report.md").write_text("old")
    with pytest.raises(HwsimError, match="--force"):
        write_folder(tmp_path, {"report.md": "new"}, force=False)
    write_folder(tmp_path, {"report.md": "new"}, force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "mine.txt": "keep",
        "report.md": "new",
    }


def test_the_folder_one_stands_in_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_folder(Path(), {"a.txt": "x"}, force=False)
    assert (tmp_path / "here" / "a.txt").read_text() == "x"


def test_a_cache_too_large_to_simulate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected at most 4 GiB"):
        hwsim.load_machine(edited(tmp_path, "xeon-8380", ("capacity: 60 MiB", "capacity: 600 GiB")))


def test_few_threads_do_not_multiply_at_an_sms_full_rate() -> None:
    """One row of 4096 x 4096: blocks of few threads cannot keep 128 lanes busy; the weights' 64 MiB take 15 us anyway."""
    result = hwsim.simulate(LinearLayer(1, 4096, 4096), "h200", "direct")
    assert result.seconds > 4096 * 4096 * 4 / 4467e9
