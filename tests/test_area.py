"""The plain area model: by hand, by published designs, and monotone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwsim.area.account import area_of, memory_mm2
from hwsim.area.tables import CELL_UM2, LOGIC, at_node, mac_um2
from hwsim.describe.machine import list_machines, load_machine
from hwsim.sweeps.constraints import Constraint
from hwsim.validate import run_check


def test_a_mac_is_its_multiplier_adder_and_registers() -> None:
    """int8 by Horowitz: 282 and a 32-bit adder of 137 um2, 48 flip-flops of 6."""
    assert mac_um2("int8") == 282 + 137 + 48 * 6
    assert mac_um2("int4") < mac_um2("int8") < mac_um2("bf16") < mac_um2("fp16") < mac_um2("fp32")


def test_nodes_between_two_are_between_their_values() -> None:
    for table in (CELL_UM2, LOGIC):
        assert at_node(table, 45) == table[45]
        assert table[28 if 28 in table else 32] > at_node(table, 25) > table[20]
        assert at_node(table, 1) == table[min(table)] and at_node(table, 500) == table[max(table)]


def test_every_machine_has_an_area_and_a_larger_one_is_larger() -> None:
    for name in list_machines():
        assert all(mm2 > 0 for mm2 in area_of(load_machine(name)).parts.values()), name
    tpu = load_machine("tpu-v1")
    wider = replace(tpu, parts={**tpu.parts, "array": replace(tpu.parts["array"], cols=512)})
    assert area_of(wider).parts["array"] == pytest.approx(2 * area_of(tpu).parts["array"])
    assert area_of(replace(tpu, process_nm=16)).total < area_of(tpu).total
    assert memory_mm2(1 << 20, 28) == pytest.approx(4 * memory_mm2(1 << 18, 28))


def test_nvdlas_seven_sizes_which_were_held_out_are_within_two_fifths() -> None:
    report = run_check("area")
    assert report.groups["what"]["whole NVDLA"]["mm2"].n == 7
    assert report.groups["what"]["whole NVDLA"]["mm2"].max_abs_rel_err < 0.4
    assert report.groups["use"]["held out"]["mm2"].median_abs_rel_err < 0.35


def test_a_sweep_may_ask_for_equal_silicon() -> None:
    rule = Constraint("area_mm2 <= 30", ())
    rule.check()
    assert rule.holds({}, load_machine("nvdla-large"))
    assert not rule.holds({}, load_machine("tpu-v1"))
