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

SOURCE = """
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words) {
    int n = atoi(words[1]), run = atoi(words[3]);
    float *A = calloc(n * n, 4), *B = calloc(n * n, 4), *C = calloc(n * n, 4);
    printf("%ld %ld %ld\\n", (long)A, (long)B, (long)C);
    fflush(stdout);
    for (int i = 0; run && i < n; i++)
        if (words[2][1] == 'j')
            for (int j = 0; j < n; j++) {
                float c = 0;
                for (int k = 0; k < n; k++) c += A[i * n + k] * B[k * n + j];
                C[i * n + j] = c;
            }
        else
            for (int k = 0; k < n; k++) {
                float a = A[i * n + k];
                for (int j = 0; j < n; j++) C[i * n + j] += a * B[k * n + j];
            }
    return (int)C[n];
}
"""
LEVELS = [Level(8192, 2, 64), Level(65536, 4, 64)]
ASTRAY = 0.003  # of the counts: those of the stack, and what the caches held before the loops


@pytest.mark.skipif(
    not (shutil.which("valgrind") and shutil.which("gcc")), reason="needs valgrind and gcc"
)
@pytest.mark.parametrize("order", ["ijk", "ikj"])
def test_misses_are_those_that_cachegrind_counts_now(order: str, tmp_path: Path) -> None:
    """What the loops add to a run without them."""
    n = 100
    source, built = tmp_path / "product.c", tmp_path / "product"
    source.write_text(SOURCE)
    subprocess.run(["gcc", "-O2", "-fno-tree-vectorize", source, "-o", built], check=True)
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
