"""Images in groups whose maps stay on the chip (hwsim.image_groups)."""

from __future__ import annotations

import pytest

import hwsim
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import find_workload
from hwsim.image_groups import sizes_that_stay


@pytest.mark.parametrize("batch", [2, 6])
def test_more_images_take_at_most_so_many_times_one(batch: int) -> None:
    """Two images of MobileNet took nine times one: their maps went to DRAM and back."""
    layers = ("conv1", "dw2", "pw2", "dw3", "pw3")
    network = find_workload("mobilenet-v1").only(layers)
    one, more = (
        hwsim.simulate(network.with_batch(images), "edge-tpu", "direct") for images in (1, batch)
    )
    assert more.seconds <= batch * one.seconds * (1 + 1e-9)
    products = [sum(layer.operations.multiplies for layer in run.layers) for run in (one, more)]
    assert products[1] == batch * products[0] == sum(layer.macs for layer in more.layers)
    assert more.dram_bytes == 0
    assert f"1 of the {batch} images at a time" in more.machine_fidelity


def test_groups_load_weights_again_that_do_not_stay() -> None:
    """64 images' maps of this layer do not fit tpu-v1's buffer; its weights come for each group."""
    network = find_workload("conv:64,56,56,64,3,3,1,1", 64).with_dtype("int8")
    machine = load_machine("tpu-v1")
    images, *_ = sizes_that_stay(network, machine, "direct")
    assert images < 64
    result = hwsim.simulate(network, machine, "direct", objective="dram")
    weights = 64 * 64 * 3 * 3
    assert result.dram_bytes == 64 // images * weights
    assert result.layers[0].compulsory_bytes == weights


@pytest.mark.parametrize("machine", ["eyeriss-v1", "h200", "xeon-8380"])
def test_machines_that_keep_no_maps_run_all_at_once(machine: str) -> None:
    network = find_workload("alexnet", 8).with_dtype("fp32")
    assert not sizes_that_stay(network, load_machine(machine), "direct")


def test_images_that_all_stay_run_at_once() -> None:
    network = find_workload("mobilenet-v1", 4).with_dtype("int8")
    machine = load_machine("tpu-v1")
    assert not sizes_that_stay(network, machine, "direct")
    assert not sizes_that_stay(network.with_batch(1), machine, "direct")


@pytest.mark.parametrize(("machine", "algorithm"), [("tpu-v4", "im2col"), ("edge-tpu", "direct")])
def test_groups_are_as_large_as_is_best(machine: str, algorithm: str) -> None:
    """im2col's temporaries take room that the direct plan does not; a few layers may spill."""
    network = find_workload("resnet18").only(("conv1", "pool1", "conv2_1a", "conv2_1b"))
    runs = {
        batch: hwsim.simulate(network.with_batch(batch), machine, algorithm)
        for batch in (1, 2, 8, 64)
    }
    for few, many in ((1, 2), (1, 8), (2, 8), (1, 64), (8, 64)):
        assert runs[many].seconds <= 1.011 * many // few * runs[few].seconds


@pytest.mark.parametrize("objective", ["latency", "dram"])
def test_mapped_images_are_in_groups_where_that_is_better(objective: str) -> None:
    """`map` moved the maps of all images through DRAM, 11 times as much as a run in groups."""
    network = find_workload("conv:64,56,56,64,3,3,1,1", 64).with_dtype("int8")
    mapped = hwsim.map_layers(network, "tpu-v1", objective)
    result = hwsim.simulate(network, "tpu-v1", "direct", objective=objective)
    ran = {"latency": result.cycles, "dram": result.dram_bytes}[objective]
    (note,) = mapped.notes
    images = int(note.split()[2])
    (stage,) = mapped.stages
    worth = {
        "latency": stage.simulated.cycles.total,
        "dram": stage.simulated.dram_read_bytes + stage.simulated.dram_write_bytes,
    }[objective]
    assert 64 // images * worth <= 1.001 * ran
    assert note in " ".join(mapped.text().split())
