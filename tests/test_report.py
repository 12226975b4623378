"""The report: its sentences, its rows and its charts say what the results say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hwsim
from hwsim.describe.machine import load_machine
from hwsim.errors import HwsimError, UnknownName
from hwsim.parts.doubled import doubled
from hwsim.report import vega
from hwsim.report.answer import TIE, answer, kind_of_work
from hwsim.report.charts import CHARTS, charts, shown_of, with_data
from hwsim.report.html import report_files
from hwsim.report.plot import specification
from hwsim.report.rows import tables
from hwsim.report.stated_error import stated_error
from hwsim.report.tables import alike, run_table
from hwsim.results.comparison import Comparison, WhatIf
from hwsim.results.result import Result
from tests.layers import small_network

NETWORK = small_network()


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return hwsim.compare(
        NETWORK, ["tpu-v1", "h200", "toy-systolic"], ["direct", "winograd-f2"], what_if=True
    )


def scaled(comparison: Comparison, machine: str, factor: float) -> Comparison:
    """The comparison on machines of which one has a clock so many times as slow."""

    def slower(result: Result) -> Result:
        if result.machine != machine:
            return result
        layers = tuple(
            replace(
                layer,
                stages=tuple(
                    replace(stage, clock_hz=stage.clock_hz / factor) for stage in layer.stages
                ),
            )
            for layer in result.layers
        )
        return replace(result, layers=layers, clock_hz=result.clock_hz / factor)

    return replace(comparison, results=tuple(map(slower, comparison.results)))


def test_the_headline_names_the_fastest_and_its_lead(comparison: Comparison) -> None:
    found = answer(comparison)
    best = min(comparison.results, key=lambda result: result.seconds)
    others = [r.seconds for r in comparison.results if r.machine != best.machine]
    assert found.headline.startswith(f"{best.machine} with {best.variant} is fastest")
    assert f"{min(others) / best.seconds:.3g} times as fast" in found.headline
    seconds = [standing.seconds for standing in found.standings]
    assert seconds == sorted(seconds)


def test_a_tie_is_a_tie(comparison: Comparison) -> None:
    """Two machines whose best runs take equally long."""
    first, second = answer(comparison).standings[:2]
    factor = second.seconds / first.seconds
    found = answer(scaled(comparison, first.best.machine, factor))
    assert "tie" in found.headline
    barely = answer(scaled(comparison, first.best.machine, factor / (TIE + 0.01)))
    assert "tie" not in barely.headline


@pytest.mark.parametrize("lead", [1.05, 1.3, 3.0, 10.0])
def test_a_lead_within_the_stated_error_is_too_close_to_call(
    comparison: Comparison, lead: float
) -> None:
    first, second = answer(comparison).standings[:2]
    found = answer(scaled(comparison, first.best.machine, second.seconds / first.seconds / lead))
    # both intervals apart: the slowest that the first may be is faster than the fastest second
    sure = 1 + first.error.mean < lead * (1 - second.error.mean)
    assert ("That lead is larger" in found.because[0]) == sure
    assert ("Too close to call" in found.because[0]) == (not sure)


@pytest.mark.parametrize("machine", ["tpu-v1", "h200", "toy-systolic"])
def test_what_would_help_most_does(comparison: Comparison, machine: str) -> None:
    """Each resource doubled by hand: the named one gains most, by what the report says."""
    best = comparison.fastest(machine)
    gains = {
        change: best.seconds / hwsim.simulate(NETWORK, better, best.algorithm).seconds
        for change, better in doubled(load_machine(machine)).items()
    }
    standing = next(s for s in answer(comparison).standings if s.machine.name == machine)
    assert standing.helps is not None
    assert standing.helps.gain == pytest.approx(max(gains.values()))
    assert gains[standing.helps.change] == pytest.approx(max(gains.values()))
    assert {w.change: w.gain for w in comparison.what_if if w.machine == machine} == pytest.approx(
        gains
    )


def test_nothing_helps_is_said() -> None:
    one = hwsim.compare(NETWORK, ["tpu-v1"], ["direct"])
    best = one.results[0]
    none = replace(
        one, what_if=(WhatIf("tpu-v1", "direct", "twice the multipliers", best.seconds, 1.001),)
    )
    assert any("nothing of this alone makes it 2% faster" in line for line in answer(none).because)


def test_shares_of_peak_are_those_of_the_machine(comparison: Comparison) -> None:
    for standing in answer(comparison).standings:
        best = standing.best
        peak = best.peak_macs_per_cycle * best.clock_hz * best.seconds
        assert standing.compute == pytest.approx(best.counts.multiplies / peak)
        assert standing.memory == pytest.approx(
            best.dram_bytes / best.dram_bytes_per_second / best.seconds
        )
        assert 0 <= standing.compute <= 1
        assert 0 <= standing.memory <= 1


def test_data_types_that_differ_are_said(comparison: Comparison) -> None:
    assert any("different data types" in line for line in answer(comparison).care)
    same = replace(comparison, results=tuple(replace(r, dtype="int8") for r in comparison.results))
    assert not any("different data types" in line for line in answer(same).care)


def test_every_machine_states_an_error(comparison: Comparison) -> None:
    """Its own where it was measured, else one of a machine with such memory."""
    for name in ("h200", "v100", "epyc-7763", "eyeriss-v1"):
        assert stated_error(load_machine(name), "products").machine == name
    for name, family in (("xeon-8380", "epyc"), ("l4", "p4"), ("nvdla-large", "")):
        error = stated_error(load_machine(name), "products")
        assert error.machine != name
        assert family in error.machine
        assert load_machine(error.machine).management == load_machine(name).management
    assert kind_of_work(comparison) == "convolutions"


def test_rows_add_up_to_the_results(comparison: Comparison) -> None:
    """Causes, parts and tensors of each layer are its time, energy and DRAM traffic."""
    rows = tables(comparison)
    for result in comparison.results:
        for layer in result.layers:

            def of(table: str, field: str, layer: Any = layer, result: Result = result) -> float:
                return sum(
                    row[field]
                    for row in rows[table]
                    if (row["machine"], row["variant"]) == (result.machine, result.variant)
                    and row["layer"] == layer.name
                )

            assert of("causes", "ms") == pytest.approx(layer.seconds * 1e3, rel=2e-3)
            assert of("energy", "mj") == pytest.approx(
                sum(layer.energy_pj.values()) / 1e9, rel=1e-5
            )
            assert of("tensors", "mib") == pytest.approx(layer.dram_bytes / 2**20, rel=1e-5)
            assert of("layers", "ms") == pytest.approx(layer.seconds * 1e3, rel=1e-5)


def test_a_batch_is_shown_for_one_image() -> None:
    one, four = hwsim.compare("alexnet:conv3", ["tpu-v1"], ["direct"], batches=[1, 4]).results
    rows = tables(Comparison(NETWORK, (load_machine("tpu-v1"),), ("direct",), (one, four)))
    assert [row["multiplies"] for row in rows["runs"]] == [one.counts.multiplies] * 2
    assert rows["runs"][1]["ms"] == pytest.approx(four.seconds / 4 * 1e3, rel=1e-5)
    assert rows["runs"][1]["images"] == pytest.approx(4 / four.seconds, rel=1e-5)


@pytest.mark.parametrize("name", list(CHARTS))
def test_a_chart_is_drawn_of_fields_that_its_rows_have(comparison: Comparison, name: str) -> None:
    spec = specification(comparison, name)
    chart = CHARTS[name]()
    assert set(spec["datasets"]) == set(chart.tables)
    known = {field for rows in spec["datasets"].values() for row in rows for field in row}
    made = set(texts_of(spec, "as"))  # by transforms
    assert set(texts_of(spec, "field")) <= known | made
    drawing = vega.svg(spec)
    assert drawing.startswith("<svg")
    assert spec["title"].partition(":")[0] in drawing
    assert vega.png(drawing).startswith(b"\x89PNG")


def texts_of(spec: Any, key: str) -> list[str]:
    """Every text that a specification has under a key."""
    parts = spec if isinstance(spec, list) else []
    own = []
    if isinstance(spec, dict):
        own = [spec[key]] if isinstance(spec.get(key), str) else []
        parts = [part for name, part in spec.items() if name != "datasets"]
    return own + [text for part in parts for text in texts_of(part, key)]


def test_charts_come_in_their_order(comparison: Comparison) -> None:
    places = [chart.place for chart in charts(shown_of(comparison)).values()]
    assert places == sorted(set(places))
    assert len(places) == len(list(CHARTS))


def test_a_report_has_the_same_in_every_format(comparison: Comparison) -> None:
    files = report_files(comparison, "hwsim compare ...")
    found = answer(comparison)
    text = str(files["report.md"]).replace("\\", "")
    for sentence in found.sentences:
        assert sentence in text
        assert sentence in str(files["report.html"]).replace("&#39;", "'")
    for name in charts(shown_of(comparison)):
        assert {f"{name}.svg", f"{name}.png", f"{name}.vl.json"} <= set(files)
    document = json.loads(files["results.json"])
    assert [each["change"] for each in document["what_if"]] == [
        each.change for each in comparison.what_if
    ]
    assert len(document["results"]) == len(comparison.results)


def test_the_specification_stands_alone(comparison: Comparison) -> None:
    """As one pastes it into a paper: its rows inside, nothing asked for."""
    spec = with_data(CHARTS["time"](), shown_of(comparison))
    assert len(spec["datasets"]["runs"]) == len(comparison.results)
    assert json.loads(json.dumps(spec)) == spec


def test_layers_alike_are_one_line_and_no_reason_is_cut() -> None:
    names = ("conv2_1a", "conv2_1b", "conv2_2a", "conv2_2b", "add2_1", "add2_2", "fc")
    result = hwsim.simulate(hwsim.load_workload("resnet18").only(names), "tpu-v4", "direct")
    groups = alike(result.layers)
    assert sum(map(len, groups)) == len(result.layers)
    assert len(groups) < len(result.layers)
    text = run_table(result)
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert not any(line.endswith("\u2026") for line in lines)
    assert "conv2_1a x4" in text
    seconds = sum(layer.seconds for group in groups for layer in group)
    assert seconds == pytest.approx(result.seconds)
    assert lines[0].endswith("exact")


def test_other_axes_are_variants() -> None:
    found = hwsim.compare(
        "alexnet:conv3",
        ["tpu-v1", "h200"],
        ["direct"],
        dataflows=["ws", "os"],
        dtypes=["int8", "fp16"],
    )
    assert [(r.machine, r.variant) for r in found.results] == [
        ("tpu-v1", "direct (ws, int8)"),
        ("tpu-v1", "direct (os, int8)"),
        ("h200", "direct (int8)"),  # no such dataflow on it: one run of each type
        ("h200", "direct (fp16)"),
    ]
    assert found.left_out == ("tpu-v1 does not compute fp16",)
    asked = hwsim.simulate("alexnet:conv3", "tpu-v1", "direct", dataflow="output-stationary")
    assert found.results[1].seconds == asked.seconds
    with pytest.raises(HwsimError, match="does not compute"):
        hwsim.compare("alexnet:conv3", ["tpu-v1"], ["direct"], dtypes=["fp64"])


def test_a_chart_that_is_not_there() -> None:
    with pytest.raises(UnknownName, match="roofline"):
        specification(hwsim.compare(NETWORK, ["tpu-v1"], ["direct"]), "roofln")
    with pytest.raises(HwsimError, match="nothing to show"):
        specification(hwsim.compare(NETWORK, ["tpu-v1"], ["direct"]), "what-if")


def test_a_page_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    hwsim.compare(NETWORK, ["tpu-v1"], ["direct"]).to_html(path)
    assert "On tpu-v1, direct takes" in path.read_text(encoding="utf-8")


def test_a_run_that_moves_nothing_is_drawn() -> None:
    """All stays on the chip: an empty chart had no size, and the report ended in a traceback."""
    comparison = hwsim.compare("conv:8,6,6,8,3,3,1,1", ["graphcore-gc200"], ["direct"])
    assert comparison.results[0].dram_bytes == 0
    files = report_files(comparison, "")
    assert all(content for content in files.values())
    assert b"e+308" not in b"".join(
        content if isinstance(content, bytes) else content.encode()
        for name, content in files.items()
        if name.endswith(".svg")
    )
