"""Sparsity formats: exact on arrays, expected on densities, break-even by hand, counted in runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import hwsim
from hwsim.cli import main
from hwsim.describe.formats import FORMATS
from hwsim.describe.layer import ConvLayer, Density

SHAPE = (24, 30, 40)


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.6, 1.0])
def test_what_is_expected_is_the_mean_of_what_arrays_take(name: str, density: float) -> None:
    dice = np.random.default_rng(7)
    values = dice.integers(1, 99, SHAPE) * (dice.random(SHAPE) < density)
    form = FORMATS[name]
    assert form.expected(SHAPE, density, 16) == pytest.approx(form.exact(values, 16), rel=0.04)


def test_sizes_by_hand() -> None:
    values = np.array([[0, 0, 5, 0], [7, 0, 0, 0]])
    sizes = {name: FORMATS[name].exact(values, 16) for name in FORMATS}
    assert sizes["bitmask"] == 8 + 2 * 16
    assert sizes["coo"] == 2 * (16 + 1 + 2)
    assert sizes["csr"] == 2 * (16 + 2) + 3 * 4  # three pointers that count to eight
    assert sizes["rle4"] == 3 * (16 + 4)  # (2, 5) (1, 7) and the three zeros behind it
    assert sizes["rlc"] == 64
    far = np.zeros(40, dtype=int)
    far[35] = 1
    assert FORMATS["rle4"].exact(far, 8) == 4 * 12  # 16, 16, the value, the end


def test_break_even_is_where_the_formulas_say() -> None:
    """bitmask: 1 + d b = b; COO: d (b + index) = b; runs: d (b + r) = b where escapes are rare."""
    assert FORMATS["bitmask"].break_even((4096,), 16) == pytest.approx(15 / 16, abs=1e-6)
    assert FORMATS["bitmask"].break_even((4096,), 8) == pytest.approx(7 / 8, abs=1e-6)
    assert FORMATS["coo"].break_even((256, 256), 16) == pytest.approx(16 / 32, abs=1e-6)
    assert FORMATS["rle4"].break_even((4096,), 16) == pytest.approx(0.8, abs=1e-3)
    assert FORMATS["rlc"].break_even((4096,), 16) == pytest.approx(0.75, abs=1e-3)


def test_eyeriss_compression_is_as_published() -> None:
    """AlexNet's conv3: weights as they are, maps at 27.5% and 30.3%; Chen et al. 2017: 1.7 times."""
    words = {"weight": 884736, "in": 1382400, "out": 259584}
    form = FORMATS["rlc"]
    coded = (
        words["weight"]
        + words["in"] * form.share((1,), 0.275, 16)
        + words["out"] * form.share((1,), 0.303, 16)
    )
    assert sum(words.values()) / coded == pytest.approx(1.7, abs=0.05)


@pytest.mark.parametrize("name", ["bitmask", "csr", "coo", "rle4"])
def test_a_run_moves_the_coded_bytes_of_maps_and_weights(name: str) -> None:
    machine = hwsim.load_machine("eyeriss-v1")
    dram = replace(
        machine.parts["dram"], compression=name, compresses=("activation", "weight", "output")
    )
    coding = replace(machine, parts={**machine.parts, "dram": dram})
    layer = ConvLayer(1, 64, 13, 13, 64, 3, 3, density=Density(0.2, 0.25, outputs=0.5))
    flow = "row-stationary"
    plain = hwsim.simulate(replace(layer, density=Density()), machine, "direct", dataflow=flow)
    coded = hwsim.simulate(layer, coding, "direct", dataflow=flow)
    shares = {"ifmap": ((1, 64, 13, 13), 0.25), "filter": ((64, 64, 3, 3), 0.2)}
    for tensor, (shape, density) in shares.items():
        moved = coded.layers[0].accesses["dram"][tensor].read_bytes
        before = plain.layers[0].accesses["dram"][tensor].read_bytes
        words = coded.layers[0].accesses["dram"][tensor].reads
        assert (
            words >= np.prod(shape) and before == 2 * plain.layers[0].accesses["dram"][tensor].reads
        )
        form = FORMATS[name]
        assert moved / words / 2 == pytest.approx(form.share(shape, density, 16), rel=0.02), tensor
    assert coded.seconds <= plain.seconds


def test_weights_whose_zeros_have_a_structure_are_not_coded() -> None:
    machine = hwsim.load_machine("eyeriss-v1")
    dram = replace(machine.parts["dram"], compression="bitmask", compresses=("weight",))
    coding = replace(machine, parts={**machine.parts, "dram": dram})
    layer = ConvLayer(1, 64, 13, 13, 64, 3, 3, density=Density(structure="2:4"))
    run = hwsim.simulate(layer, coding, "direct", dataflow="row-stationary").layers[0]
    assert run.accesses["dram"]["filter"].read_bytes == 2 * run.accesses["dram"]["filter"].reads


def test_the_command_and_its_errors(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["formats", "64x28x28", "--bits", "8"])
    assert shown.exit_code == 0 and "0.875" in shown.stdout and "rlc" not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert CliRunner().invoke(main, ["formats", "64x0"]).exit_code == 2
    text = (Path(__file__).parent.parent / "configs/accelerator/eyeriss-v1.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("compression: rlc ", "compression: bitmsk "))
    ran = CliRunner().invoke(main, ["show", str(mine)])
    assert (
        ran.exit_code == 2
        and "did you mean 'bitmask'" in ran.output
        and "mine.yaml:20" in ran.output
    )
