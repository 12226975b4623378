"""A kernel compiled here and run under cachegrind here, beside hwsim's program at its addresses."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hwsim.timing.caches.loads import Level
from hwsim.timing.caches.programs import Memory
from hwsim.validate.cachegrind import PROGRAMS

SOURCE = Path(__file__).parent.parent / "benchmarks/product.c"
LEVELS = [Level(8192, 2, 64), Level(65536, 4, 64)]
ASTRAY = 0.003  # of the counts: those of the stack, and what the caches held before the loops


@pytest.mark.skipif(
    not (shutil.which("valgrind") and shutil.which("gcc")), reason="needs valgrind and gcc"
)
@pytest.mark.parametrize("order", ["ijk", "ikj"])
def test_misses_are_those_that_cachegrind_counts_now(order: str, tmp_path: Path) -> None:
    """What the loops add to a run without them."""
    n = 100
    built = tmp_path / "product"
    subprocess.run(["gcc", "-O2", "-fno-tree-vectorize", SOURCE, "-o", built], check=True)
    counts, addresses = [], ""
    for run in ("1", "0"):
        words = ["valgrind", "--tool=cachegrind", "--cache-sim=yes"]
        words += ["--cachegrind-out-file=/dev/null", "--D1=8192,2,64", "--LL=65536,4,64"]
        ran = subprocess.run(
            [*words, str(built), str(n), order, run], capture_output=True, text=True, check=False
        )
        found = re.findall(r"(?:D   refs|D1  misses): +([\d,]+)", ran.stderr)
        counts.append([int(number.replace(",", "")) for number in found])
        addresses = ran.stdout
    references, misses = (with_loops - without for with_loops, without in zip(*counts, strict=True))
    bases = dict(zip("ABC", map(int, addresses.split()), strict=True))
    memory = Memory(LEVELS)
    for program in PROGRAMS[{"ijk": "mm_nn", "ikj": "mm_ikj"}[order]]([n], bases):
        memory.run(program)
    assert int(memory.accesses.sum()) == pytest.approx(references, rel=ASTRAY)
    assert int(memory.misses[0].sum()) == pytest.approx(misses, rel=ASTRAY)
