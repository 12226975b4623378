"""Odd and hostile input: one clear message, exit status 2, soon; and nothing in it acts on who reads the output."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.errors import HwsimError, printable, shortened
from hwsim.report.markdown import inert
from hwsim.validate.shape import check_like
from tests.fuzz import failures

HOSTILE = Path(__file__).parent / "cases" / "hostile"
PRODUCT = hwsim.GemmLayer(4, 4, 4)
CASES = [
    (
        ["show", "inf_cap.yaml"],
        "inf_cap.yaml:6:32: parts.dram.capacity: '1e308 TiB' is out of range",
    ),
    (["show", "inf_clock.yaml"], "inf_clock.yaml:3:8: clock: '1e308 GHz' is out of range"),
    (["show", "tiny_clock.yaml"], "tiny_clock.yaml:3:8: clock"),
    (["show", "inf_bw.yaml"], "inf_bw.yaml:6:50: parts.dram.bandwidth"),
    (["show", "inf_lat.yaml"], "inf_lat.yaml:6:67: parts.dram.latency"),
    (["show", "nodtype.yaml"], "nodtype.yaml:4:8: dtype: int8"),
    (["tile", "--n", "8", "--machine", "nodtype.yaml"], "nodtype.yaml:4:8: dtype: int8"),
    (["show", "sup.yaml"], "supported[0]: 'foo'; expected one of"),
    (["show", "ctl.yaml"], "ctl.yaml:2:16: file: not valid YAML: the character '\\x0c'"),
    (["show", "nul.yaml"], "nul.yaml:1:9: file: not valid YAML"),
    (["show", "kind.yaml"], "kind.yaml:6:16: parts.dram: type: not a word"),
    (["show", "evil_m.yaml"], "evil_m.yaml:2:14: description"),
    (["run", "--nest", "surrogate_nest.yaml"], "surrogate_nest.yaml:5:16: file: not valid YAML"),
    (["run", "--nest", "physics_nest_dram.yaml"], "nests[0].nest: A passes by buffer"),
    (["run", "--nest", "physics_nest_compulsory.yaml"], "nests[0].nest: B passes by weights"),
    (["run", "--scalesim-config", "a.cfg", "--topology", "big.csv"], "big.csv:2:1: K: '9999"),
    (
        ["run", "--scalesim-config", "a.cfg", "--topology", "many.csv"],
        "many.csv:2:1: Sparsity: '2:4:6'",
    ),
    (
        ["run", "--scalesim-config", "giant.cfg", "--topology", "giant.csv"],
        "expected a smaller layer",
    ),
    (["run", "--scalesim-config", "rn.cfg", "--topology", "c.csv"], "rn.cfg:2:1: run_name: empty"),
    (
        ["run", "--scalesim-config", "infbw.cfg", "--topology", "c.csv"],
        "infbw.cfg:13:1: bandwidth: 'inf'",
    ),
    (["validate", "scalesim", "--data", "nan.json"], "[0].total_cycles: nan"),
    (["validate", "scalesim", "--data", "neg.json"], "[0].M: -4.5"),
    (["validate", "scalesim", "--data", "zero.json"], "[0].rows: 0"),
    (["validate", "scalesim", "--data", "inf_data.json"], "rows[1].layer_dims.N"),
    (["validate", "scalesim", "--data", "date.yaml"], "date.yaml: not valid YAML"),
    (["validate", "h200-tiled-gemm", "--data", "huge_data.json"], "rows[1].K: 1e+308"),
    (["validate", "h200-tiled-gemm", "--data", "hang_data.json"], "rows[1].K: 4294967296"),
]


@pytest.mark.parametrize(
    ("words", "message"), CASES, ids=lambda value: value[-1] if isinstance(value, list) else None
)
def test_each_is_one_message_and_status_2(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HOSTILE)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr) < 3000
    assert result.stdout == ""


def test_the_valid_ones_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HOSTILE)
    for words in (
        ["run", "--nest", "nest_ok.yaml"],
        ["run", "deep100.yaml", "gemm:64,64,64", "-a", "direct"],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "."])
def test_only_files_are_read(place: str, tmp_path: Path) -> None:
    link = tmp_path / "x.yaml"
    link.symlink_to(place)
    assert CliRunner().invoke(main, ["show", str(link)]).exit_code == 2
    assert CliRunner().invoke(main, ["validate", "scalesim", "--data", str(link)]).exit_code == 2


def test_depth_and_thousands_of_faults_end_soon(tmp_path: Path) -> None:
    began = time.process_time()
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    deep = CliRunner().invoke(main, ["show", str(tmp_path / "deep.yaml")])
    head = "name: a\nsource: x\ninput: {c: 1, h: 4, w: 4}\nlayers:\n"
    (tmp_path / "faulty.yaml").write_text(
        head + "".join(f"  - {{name: l{n}, op: conw, kk: 1, from: [q{n}]}}\n" for n in range(6000))
    )
    faulty = CliRunner().invoke(main, ["show", str(tmp_path / "faulty.yaml")])
    assert deep.exit_code == faulty.exit_code == 2
    assert faulty.stderr.count("\n") <= 110
    assert time.process_time() - began < 30


@pytest.mark.slow
def test_ten_thousand_layers_are_taken(tmp_path: Path) -> None:
    lines = "".join(f"  - {{name: l{n}, op: conv, k: 2, r: 1}}\n" for n in range(10_000))
    (tmp_path / "w.yaml").write_text(
        f"name: a\nsource: x\ninput: {{c: 2, h: 4, w: 4}}\nlayers:\n{lines}"
    )
    assert (
        CliRunner().invoke(main, ["count", str(tmp_path / "w.yaml"), "-a", "direct"]).exit_code == 0
    )


def test_live_names_are_inert_in_every_output(tmp_path: Path) -> None:
    """Formulas, markup, links, pipes: shown as they are by Markdown, CSV, nest files and the terminal."""
    names = [
        "=cmd|' /C calc'!A0",
        "@SUM(1+1)",
        "+1+1",
        "a|b`c",
        "<script>x</script>",
        "../../x",
        "[a](javascript:alert(1))",
        "a: b",
        "- x",
        "#h",
    ]
    layers = "".join(
        f"  - {{name: '{name.replace(chr(39), chr(39) * 2)}', op: conv, k: 4, r: 1}}\n"
        for name in names
    )
    (tmp_path / "w.yaml").write_text(
        f"name: '=w<b>'\nsource: x\ninput: {{c: 4, h: 4, w: 4}}\nlayers:\n{layers}"
    )
    out = tmp_path / "out"
    result = CliRunner().invoke(
        main,
        [
            "compare",
            str(tmp_path / "w.yaml"),
            "-m",
            "toy-systolic",
            "-a",
            "direct",
            "--out",
            str(out),
        ],
    )
    assert result.exit_code == 0, result.output
    for row in csv.reader((out / "results.csv").read_text().splitlines()):
        assert not any(cell.startswith(("=", "+", "@")) for cell in row), row
    text = (out / "report.md").read_text()
    assert "<script>" not in text and "[a](javascript" not in text and "<b>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") in (9, 11, 5, 8, 10, 12, 7) for line in rows)
    nests = tmp_path / "nests.yaml"
    mapped = CliRunner().invoke(
        main,
        ["map", "toy-systolic", str(tmp_path / "w.yaml"), "--seconds", "1", "--out", str(nests)],
    )
    assert mapped.exit_code == 0, mapped.output
    again = CliRunner().invoke(main, ["run", "--nest", str(nests)])
    assert again.exit_code == 0, again.output
    for text in (result.stdout, again.stdout):
        assert all(line.isprintable() for line in text.splitlines())


def test_words_in_messages_are_cut_and_escaped() -> None:
    assert printable("a\x1b[2J\u202eb\nc") == "a\\x1b[2J\\u202eb\nc"
    assert len(shortened("x" * 10_000)) < 120
    assert inert("<script>|`=a") == r"&lt;script&gt;\|\`=a"
    assert inert("conv3_1") == "conv3_1"


def test_data_files_are_checked_against_their_reference() -> None:
    reference = {"rows": [{"M": 4, "share": 0.5, "name": "a"}, {"M": 9, "share": 0.0, "name": "b"}]}
    check_like({"rows": [{"M": 5, "share": 0.25, "name": "c", "more": 1}]}, reference)
    for row, message in (
        ({"M": 0}, r"rows\[0\].M: 0; expected a whole number of at least 1"),
        ({"M": 2.5}, "M: 2.5"),
        ({"M": "x"}, "M: 'x'"),
        ({"share": float("nan")}, "share: nan"),
        ({"share": -1}, "share: -1; expected a number of at least 0"),
        ({"more": float("inf")}, "more: inf; expected a finite number"),
    ):
        with pytest.raises(HwsimError, match=message):
            check_like({"rows": [row]}, reference)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(2))
def test_fuzzed_inputs_end_with_0_or_2(block: int, tmp_path: Path) -> None:
    """`make fuzz` tries 10,000."""
    assert failures(300, 100 + block, tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "toy-4x4", "--machines", ""],
        ["compare", "toy-4x4", "--machines", "toy-8x8", "--algorithms", ""],
        ["compare", "toy-4x4", "--machines", "toy-8x8", "--dtype", ""],
        ["compare", "toy-4x4", "--machines", "toy-8x8", "--dataflows", ""],
        ["count", "toy-4x4", "--algorithms", ""],
        ["error", "toy-4x4", "--formats", ""],
        ["run", "", "toy-4x4"],
        ["run", "toy-8x8", ""],
    ],
)
def test_an_empty_word_is_refused(words: list[str]) -> None:
    """As of a shell's variable that is not set: some ended in tracebacks, some were ignored."""
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 2, ran.output
    assert "''" in ran.output and "Traceback" not in ran.output


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: hwsim.compare(PRODUCT, [], ["direct"]), "no machine"),
        (lambda: hwsim.compare(PRODUCT, ["tpu-v1"], []), "no algorithm"),
        (lambda: hwsim.compare(PRODUCT, "tpu-v1"), "a list of machines"),
        (lambda: hwsim.compare(PRODUCT, ["tpu-v1"], "direct"), "a list of algorithms"),
        (lambda: hwsim.simulate(None, "tpu-v1"), "None is no workload"),
        (lambda: hwsim.simulate(PRODUCT, None), "None is no machine"),
        (lambda: hwsim.simulate(PRODUCT, "tpu-v1", None), "expected a name"),
    ],
)
def test_wrong_arguments_of_functions_are_named(call: Callable[[], object], said: str) -> None:
    with pytest.raises(hwsim.HwsimError, match=said):
        call()


def test_a_chart_without_a_file_is_refused() -> None:
    """It was taken in silence."""
    ran = CliRunner().invoke(main, ["run", "toy-8x8", "toy-4x4", "--chart", "roofline"])
    assert ran.exit_code == 2 and "--chart roofline without --plot" in ran.output


def test_a_refused_sweep_leaves_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("machine: tpu-v1\nworkload: toy-4x4\naxes: {parts.nothing.rows: [1, 2]}\n")
    ran = CliRunner().invoke(main, ["sweep", str(path), "--out", str(tmp_path / "to")])
    assert ran.exit_code == 2 and "parts.nothing" in ran.output
    assert not (tmp_path / "to").exists()


def test_a_key_twice_in_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "gpt2", "n_layer": 2, "n_layer": 3}')
    ran = CliRunner().invoke(main, ["import", str(path)])
    assert ran.exit_code == 2 and "key 'n_layer' is there twice" in ran.output


def test_what_a_missing_key_expects_is_said(tmp_path: Path) -> None:
    path = tmp_path / "chips.yaml"
    path.write_text("name: s\nchip: tpu-v4\n")
    ran = CliRunner().invoke(main, ["split", str(path), "alexnet"])
    assert "'protocols'; expected a mapping" in ran.output
    assert "'topology'; expected one of" in ran.output
