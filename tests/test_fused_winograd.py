"""A GPU's fused Winograd kernel: its blocks, its counts, its time."""

from math import ceil, prod

import pytest

import hwsim
from hwsim.algorithms import lower
from hwsim.describe.layer import ConvLayer
from hwsim.describe.machine import load_machine
from hwsim.ir.stage import Stage
from hwsim.parts.sm import StreamingMultiprocessor
from hwsim.results.result import LayerResult
from hwsim.rewrite.gpu_library import as_library_runs
from hwsim.schedule.dataflows.fused_winograd import tile_of

# images, channels, size, filters, and the grid of cuDNN's launch: sitar-lab/NeuSight (ASPLOS 2025), measured operators
GRIDS = [
    ("v100", (50, 566, 29, 71), (150, 4, 2)),
    ("v100", (36, 440, 53, 5), (36, 7, 4)),
    ("v100", (51, 71, 14, 1198), (1938, 2, 1)),
    ("t4", (46, 78, 217, 10), (46, 28, 14)),
    ("a100", (12, 123, 10, 930), (90, 2, 3)),
    ("p100", (12, 1410, 5, 1454), (276, 1, 1)),
    ("p4", (36, 1126, 14, 131), (45, 7, 1)),
]


def fused(layer: ConvLayer, machine: str, algorithm: str = "winograd-f2-fused") -> Stage:
    plan = as_library_runs(
        lower(layer, algorithm).with_dtype(layer.dtype or "fp32"), load_machine(machine)
    )
    return plan.stages[-1]


def run(
    layer: ConvLayer, machine: str = "v100", algorithm: str = "winograd-f2-fused"
) -> LayerResult:
    return hwsim.simulate(layer, machine, algorithm, dtype="fp32").layers[0]


@pytest.mark.parametrize(("machine", "sizes", "grid"), GRIDS)
def test_blocks_are_as_many_as_were_launched(
    machine: str, sizes: tuple[int, int, int, int], grid: tuple[int, int, int]
) -> None:
    n, c, size, k = sizes
    stage = fused(ConvLayer(n, c, size, size, k, 3, 3, pad=1), machine)
    sm = load_machine(machine).compute
    assert isinstance(sm, StreamingMultiprocessor) and sm.library is not None
    assert sm.library.winograd_fused is not None
    tile = tile_of(stage, sm.library.winograd_fused)
    assert prod(ceil(stage.extents[dim] / size) for dim, size in tile.items()) == prod(grid)


def test_products_are_the_textbooks_and_patches_are_transformed_for_every_block_of_filters() -> (
    None
):
    layer = ConvLayer(3, 20, 13, 11, 70, 3, 3, pad=1, groups=2)
    forward, products, inverse = (
        stage for stage in lower(layer, "winograd-f2").stages if not stage.offline
    )
    operations = fused(layer, "v100").operations
    assert operations.multiplies == products.operations.multiplies
    assert operations.effectual_multiplies == products.operations.effectual_multiplies
    blocks_of_filters = ceil(35 / 32)
    assert operations.additions == (
        products.operations.additions
        + blocks_of_filters * forward.operations.additions
        + inverse.operations.additions
    )


def test_temporaries_never_reach_the_dram() -> None:
    layer = ConvLayer(8, 64, 28, 28, 64, 3, 3, pad=1)
    result = run(layer)
    assert {row for stage in result.online for row in stage.accesses["hbm"]} == {
        "ifmap",
        "U",
        "ofmap",
    }
    moved = result.dram_read_bytes + result.dram_write_bytes
    assert moved < 1.1 * 4 * (2 * 8 * 64 * 28 * 28 + 64 * 64 * 16)


def test_a_block_that_is_not_full_takes_as_long_and_more_work_takes_longer() -> None:
    def seconds(k: int, c: int = 64, n: int = 16) -> float:
        return run(ConvLayer(n, c, 56, 56, k, 3, 3, pad=1)).cycles.total

    assert seconds(33) > 1.5 * seconds(32)
    assert seconds(1) == pytest.approx(seconds(32), rel=0.1)
    small = [run(ConvLayer(80, 256, size, size, 32, 3, 3, pad=1)).cycles.total for size in (4, 8)]
    assert small[0] == pytest.approx(small[1], rel=0.1)  # 2 x 2 and 4 x 4 of a block's 4 x 8 tiles
    assert seconds(32, c=128) > 1.7 * seconds(32)
    assert seconds(32, n=64) > 3 * seconds(32)


def test_a_library_without_the_kernel_runs_the_stages_apart_and_says_so() -> None:
    layer = ConvLayer(2, 32, 28, 28, 32, 3, 3, pad=1)
    result, plain = run(layer, "h100"), run(layer, "h100", "winograd-f2")
    assert result.cycles.total == plain.cycles.total
    assert any("not fused on h100" in note.text for note in result.notes)
    larger = run(layer, "v100", "winograd-f4-fused")  # cuDNN's kernel is F(2 x 2, 3 x 3)
    assert larger.cycles.total == run(layer, "v100", "winograd-f4").cycles.total
    strided = ConvLayer(2, 32, 28, 28, 32, 3, 3, stride=2, pad=1)
    assert any("not fused on v100" in note.text for note in run(strided).notes)


def test_sums_at_every_point_are_counted_in_registers() -> None:
    """Sixteen sums a tile, each read and written once a channel."""
    layer = ConvLayer(1, 24, 8, 8, 32, 3, 3, pad=1)
    (stage,) = run(layer).online
    sums = 24 * 32 * 16 * 16  # channels, filters, tiles, points
    assert stage.accesses["registers"]["ofmap"].writes == sums
