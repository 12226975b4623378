"""Images in groups whose maps stay on the chip (hwsim.choose.image_groups)."""

from __future__ import annotations

import pytest

import hwsim
from hwsim.choose.image_groups import images_that_stay
from hwsim.describe.machine import load_machine
from hwsim.describe.networks import find_workload


@pytest.mark.parametrize("batch", [2, 6])
def test_more_images_take_at_most_so_many_times_one(batch: int) -> None:
    """Two images of MobileNet took nine times one: their maps went to DRAM and back."""
    layers = ("conv1", "dw2", "pw2", "dw3", "pw3")
    network = find_workload("mobilenet-v1").only(layers)
    one, more = (
        hwsim.simulate(network.with_batch(images), "edge-tpu", "direct") for images in (1, batch)
    )
    start = one.start_seconds
    assert more.seconds - start <= batch * (one.seconds - start) * (1 + 1e-9)
    products = [sum(layer.operations.multiplies for layer in run.layers) for run in (one, more)]
    assert products[1] == batch * products[0] == sum(layer.macs for layer in more.layers)
    assert more.dram_bytes == 0
    assert f"1 of the {batch} images at a time" in more.machine_fidelity


def test_groups_load_weights_again_that_do_not_stay() -> None:
    """64 images' maps of this layer do not fit tpu-v1's buffer; its weights come for each group."""
    network = find_workload("conv:64,56,56,64,3,3,1,1", 64).with_dtype("int8")
    machine = load_machine("tpu-v1")
    images = images_that_stay(network, machine)
    assert images is not None and images < 64
    result = hwsim.simulate(network, machine, "direct", objective="dram")
    weights = 64 * 64 * 3 * 3
    assert result.dram_bytes == 64 // images * weights
    assert result.layers[0].compulsory_bytes == weights


@pytest.mark.parametrize("machine", ["eyeriss-v1", "h200", "xeon-8380"])
def test_machines_that_keep_no_maps_run_all_at_once(machine: str) -> None:
    assert (
        images_that_stay(find_workload("alexnet", 8).with_dtype("fp32"), load_machine(machine))
        is None
    )


def test_images_that_all_stay_run_at_once() -> None:
    network = find_workload("mobilenet-v1", 4).with_dtype("int8")
    machine = load_machine("tpu-v1")
    assert images_that_stay(network, machine) is None
    assert images_that_stay(network.with_batch(1), machine) is None
