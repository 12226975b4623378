"""Reading YAML: units, and every fault of a broken file at once, with its place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import hwsim
from hwsim.describe.catalog import locate, shipped
from hwsim.describe.layer import ConvLayer
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import find_workload, load_workload
from hwsim.describe.reading import MAX_BYTES, Document
from hwsim.describe.units import (
    Bandwidth,
    Duration,
    parse_bandwidth,
    parse_bytes,
    parse_duration,
    parse_energy_per_byte,
    parse_frequency,
)
from hwsim.errors import ConfigError, HwsimError, UnknownName

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
ROOT = Path(__file__).parent.parent
CASES = Path(__file__).parent / "cases"


def test_a_one_dimensional_convolution_is_padded_along_its_axis(tmp_path: Path) -> None:
    """40 x 1 x 101, 24 filters of 1 x 9, pad 4: 24 x 101 x 40 x 9 products. One number does not pad the axis that is none."""
    text = "name: kws\nsource: x\ninput: {{c: 40, h: 1, w: 101}}\nlayers:\n  - {{name: c, {}}}\n"
    for fields in (
        "op: conv, k: 24, r: 1, s: 9, pad: 4",
        "op: conv, k: 24, r: 1, s: 9, pad: [0, 4]",
        "op: conv, k: 24, r: 1, s: 9, pad: [0, 4, 0, 4]",
        "op: conv1d, k: 24, r: 9, pad: 4",
    ):
        (tmp_path / "w.yaml").write_text(text.format(fields))
        assert load_workload(tmp_path / "w.yaml").macs == 24 * 101 * 40 * 9
    (tmp_path / "w.yaml").write_text(
        text.format("op: conv, k: 24, r: 1, s: 9, stride: [1, 2], pad: [0, 3, 0, 5]")
    )
    assert load_workload(tmp_path / "w.yaml").layers["c"].output == (24, 1, (101 + 8 - 9) // 2 + 1)
    assert (
        find_workload("conv:c=40,h=1,w=101,k=24,r=1,s=9,stride=1x2,pad=0x3x0x5").macs
        == 24 * 51 * 40 * 9
    )
    assert load_workload(CASES / "layers" / "one_dim_transposed.yaml").layers["up"].output == (
        32,
        1,
        80000,
    )


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "pad: [1, 2, 3]",
            "a list of 3; expected a whole number, \\[rows, columns\\] or \\[top, left, bottom, right\\]",
        ),
        ("stride: [1, 2, 1, 2]", "a list of 4"),
        ("stride: [0, 1]", "out of range"),
        ("dilation: [x, 1]", "not a whole number"),
        ("op: conv1d, s: 3", "expected r alone"),
        ("op: conv1d, stride: [1, 2]", "expected one number"),
    ],
)
def test_axes_are_checked(tmp_path: Path, field: str, message: str) -> None:
    op = "" if "op:" in field else "op: conv, "
    (tmp_path / "w.yaml").write_text(
        f"name: a\nsource: x\ninput: {{c: 4, h: 1, w: 9}}\nlayers:\n  - {{name: c, {op}k: 2, r: 1, {field}}}\n"
    )
    with pytest.raises(ConfigError, match=message):
        load_workload(tmp_path / "w.yaml")


def test_lengths_in_python_are_whole_numbers() -> None:
    with pytest.raises(HwsimError, match=r"h: 8.5; expected a whole number"):
        ConvLayer(1, 4, 8.5, 8, 4, 3, 3)  # type: ignore[arg-type]
    assert ConvLayer(1, 4, 8, 8, 4, 3, 3, pad=(1, 1, 1, 1)) == ConvLayer(1, 4, 8, 8, 4, 3, 3, pad=1)


def test_a_dozen_broken_files_are_kept() -> None:
    assert len(BAD) >= 12


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_fault_with_its_place_and_status_2(path: Path) -> None:
    expected = int(re.match(r"# expect: (\d+)", path.read_text())[1])  # type: ignore[index]
    ran = subprocess.run(
        [sys.executable, "-m", "hwsim", "show", str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    lines = ran.stderr.removeprefix("hwsim: ").splitlines()
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert len(lines) == expected, ran.stderr
    length = len(path.read_text().splitlines())
    for line in lines:
        place = re.match(rf"{re.escape(str(path))}:(\d+):(\d+): \S+: .+", line)
        assert place is not None, line
        assert 1 <= int(place[1]) <= length + 1


def test_faults_stand_where_they_are_made() -> None:
    with pytest.raises(ConfigError) as caught:
        load_machine(Path(__file__).parent / "bad" / "machine_keys.yaml")
    places = {fault.path: (fault.line, fault.column) for fault in caught.value.faults}
    assert places["descripton"] == (3, 1)
    assert places["clock"] == (5, 1)
    assert "did you mean 'description'" in str(caught.value)
    assert "did you mean 'dram'" in str(caught.value)


@pytest.mark.parametrize("name", list(shipped("configs")))
def test_shipped_machines_are_sound(name: str) -> None:
    machine = load_machine(name)
    assert machine.name == name
    assert machine.chain("activation")[0] == machine.dram_name
    assert machine.compute.peak_macs_per_cycle(machine.dtype) > 0


@pytest.mark.parametrize("name", list(shipped("configs")))
def test_every_number_of_a_machine_has_a_source(name: str) -> None:
    """Each line of a part that states a number says where it is from, or that it is assumed."""
    words = (
        "ARK",
        "SDM",
        "AVX",
        "VNNI",
        "architectural",
        "assumption",
        "NVIDIA",
        "measured",
        "paper",
        "sector",
        "entry",
        "only the filter",
        "60 MHz",
        "int8",
        "Timeloop",
        "cloud",
        "jax",
        "datasheet",
        "press",
        "spec",
        "primer",
        "hc34",
        "anandtech",
        "survey",
        "reference/",
        "1472",
        "640",
        "AMD",
        "SOG",
        "TRM",
        "BCM",
    )
    for number, line in enumerate(shipped("configs")[name].read_text().splitlines(), 1):
        if re.match(
            r"    (capacity|bandwidth|latency|line|ways|cores|sms|rows|cols|lanes): ", line
        ):
            comment = line.partition("#")[2]
            same_part = any(word in comment for word in words)
            assert same_part or re.search(r"line: 64 B|per pe|bandwidth: [24] B", line), (
                f"{name}:{number}: {line}"
            )


def test_peaks_agree_with_the_collected_specifications() -> None:
    peaks = {
        "xeon-8380": 5.89,
        "h200": 66.91,
        "tpu-v1": 91.75,
        "eyeriss-v1": 0.0672,
        "tpu-v4": 275.25,
        "edge-tpu": 3.93,
        "nvdla-large": 4.096,
        "graphcore-gc200": 249.75,
        "sambanova-sn10": 320.0,
        "cerebras-wse2": 7480.0,
    }
    for name, teraops in peaks.items():
        machine = load_machine(name)
        assert machine.compute.peak_macs_per_cycle(
            machine.dtype
        ) * 2 * machine.clock_hz / 1e12 == pytest.approx(teraops, rel=0.001)


CPUS = (
    "xeon-8380",
    "xeon-8480",
    "epyc-7763",
    "epyc-9654",
    "graviton2",
    "graviton3",
    "cortex-a76",
    "cortex-a53",
)
GPUS = (
    "a100",
    "l4",
    "mi210",
    "mi300x",
    "h100",
    "v100",
    "t4",
    "p100",
    "p4",
    "titan-x-maxwell",
    "m40",
    "toy-gpu",
)


def test_management_is_read_off_the_chain() -> None:
    kinds = {name: load_machine(name).management for name in shipped("configs")}
    assert kinds == {
        **dict.fromkeys(
            (*CPUS, "toy-cpu"),
            "implicit",
        ),
        **dict.fromkeys(GPUS, "mixed"),
        "h200": "mixed",
        "tpu-v1": "explicit",
        "eyeriss-v1": "explicit",
        "eyeriss-isca16": "explicit",
        "toy-8x8": "explicit",
        **dict.fromkeys(
            (
                "tpu-v4",
                "edge-tpu",
                "nvdla-large",
                "graphcore-gc200",
                "sambanova-sn10",
                "cerebras-wse2",
                "toy-systolic",
            ),
            "explicit",
        ),
    }


def test_units() -> None:
    assert parse_bytes("24 MiB") == 24 * 2**20
    assert parse_bytes("48 KB") == 48_000
    assert parse_bandwidth("34 GB/s") == Bandwidth(34e9, per_cycle=False)
    assert parse_bandwidth("64 B/cycle") == Bandwidth(64, per_cycle=True)
    assert parse_frequency("700 MHz") == 7e8
    assert parse_duration("40 cycles") == Duration(40, in_cycles=True)
    assert parse_energy_per_byte("8 pJ/bit") == 64


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_bytes, "24", "unknown unit"),
        (parse_bytes, "24 mib", "did you mean 'MiB'"),
        (parse_bytes, "0.3 B", "whole number of bytes"),
        (parse_bandwidth, "34 GBs", "did you mean '34 GB/s'"),
        (parse_bandwidth, "inf GB/s", "not finite"),
        (parse_frequency, "-1 MHz", "not positive"),
        (parse_duration, "soon", "not a number"),
        (parse_bytes, "nan B", "not finite"),
    ],
)
def test_units_that_teach(parse: object, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", ["../secrets", "/etc/passwd.yaml", "..", "a/../../b.yaml", "tpu-v1/../tpu-v1", "nope"]
)
def test_a_name_is_never_a_way_out(name: str) -> None:
    with pytest.raises((UnknownName, HwsimError)):
        load_machine(name)


def test_files_are_bounded() -> None:
    assert Document("a: " + "x" * MAX_BYTES, "big").faults
    assert Document("[" * 5000, "deep").faults


def test_network_totals_are_exact() -> None:
    from hwsim.validate import run_check

    report = run_check("workloads")
    assert all(score.exact == score.n for score in report.metrics.values())
    assert report.metrics["total_macs"].n == 6
    assert load_workload("toy-4x4").macs == 36


def test_batch_scales_and_graphs_join() -> None:
    assert load_workload("vgg16", batch=3).conv_macs == 3 * 15_346_630_656
    graph = load_workload("resnet18").graph
    assert set(graph.predecessors("add3_1")) == {"conv3_1b", "conv3_s"}


OWN_ARRAY = """
name: own
description: of one buffer
clock: 1 GHz
dtype: int8
parts:
  dram: {type: dram, capacity: 1 GiB, bandwidth: 16 B/cycle, latency: 100 cycles, technology: ddr3}
  buf: {type: scratchpad, per: PER, capacity: 64 KiB, bandwidth: 32 B/cycle}
  array: {ARRAY}
links: [LINKS]
"""
ARRAYS = (
    "type: systolic, rows: 8, cols: 8, rates: {int8: 1}",
    "type: pe_array, rows: 8, cols: 8, supported: [int8], activation_bus: 8 B/cycle, "
    "weight_bus: 8 B/cycle, output_bus: 8 B/cycle",
)


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(
    ("per", "links", "said"),
    [
        ("chip", "dram <-> array", "outputs go dram - array"),
        ("chip", "dram <-> array", "buf: on no tensor's shortest way"),
        ("chip", "dram <-> buf, buf <-> array, array -> dram", "outputs go dram - array"),
        ("pe", "dram <-> buf, buf <-> array", "expected dram - "),
    ],
)
def test_ways_that_are_not_simulated_are_refused(
    array: str, per: str, links: str, said: str, tmp_path: Path
) -> None:
    """They ended in tracebacks while a layer ran; a memory beside the way was left out in silence."""
    text = OWN_ARRAY.replace("PER", per).replace("ARRAY", array).replace("LINKS", links)
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_machine(path)
    path.write_text(
        text.replace(links, "dram <-> buf, buf <-> array").replace("per: pe", "per: chip")
    )
    hwsim.simulate("gemm:9,10,11", path, "direct")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("toy-gpu", "- dram <-> l2", "- dram <-> l2\n  - dram <-> shared"),
        ("xeon-8380", "- l2 <-> l1", "- l2 <-> l1\n  - l2 <-> registers"),
    ],
)
def test_a_shorter_way_past_a_cache_is_refused(
    name: str, old: str, new: str, tmp_path: Path
) -> None:
    text = locate("machine", "configs", name).read_text()
    assert old in text
    path = tmp_path / "other.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match="on no tensor's shortest way"):
        load_machine(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("16 B/cycle", "4 Gb/s", "b is bits, of which B, a byte, has eight"),
        ("{int8: 1}", "{}", "expected shares by data type"),
        ("  dram:", "\tdram:", "a tab; expected spaces"),
    ],
)
def test_slips_are_called_by_their_names(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = OWN_ARRAY.replace("PER", "chip").replace("ARRAY", ARRAYS[0])
    text = text.replace("LINKS", "dram <-> buf, buf <-> array")
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_machine(path)


def test_files_of_another_kind_and_folders_are_called_so(tmp_path: Path) -> None:
    machine, workload = (
        locate(kind, folder, name)
        for kind, folder, name in (
            ("machine", "configs", "toy-8x8"),
            ("workload", "workloads", "toy-4x4"),
        )
    )
    with pytest.raises(HwsimError, match="is a machine; expected a workload"):
        load_workload(machine)
    with pytest.raises(HwsimError, match="is a workload; expected a machine"):
        load_machine(workload)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(HwsimError, match=r"is a folder; .* of a workload, such as .*config.json"):
        load_workload(tmp_path)
    with pytest.raises(HwsimError, match="is a folder; expected the file of a machine$"):
        load_machine(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("max_threads_per_block", "2048", "expected at most max_threads, 1024"),
        ("max_threads", "1000", "expected whole warps of 32"),
        ("shared_per_block", "480 KiB", "expected at most an SM's, 64 KiB"),
    ],
)
def test_limits_of_a_gpu_that_contradict_each_other_are_refused(
    field: str, value: str, said: str
) -> None:
    with pytest.raises(HwsimError, match=re.escape(said)):
        load_machine("t4", [f"parts.sms.{field}={value}"])
