"""python -m tests.fuzz N [SEED]: N broken and odd inputs of every kind; each must end with exit status 0 or 2, and soon.

Inputs are made from whole ones (shipped machines, small networks, nests, SCALE-Sim's files, shapes, data files), one to three
changes each: a value replaced by an odd one, a key dropped, doubled or misspelt, a line moved, bytes cut or inserted.
"""

from __future__ import annotations

import random
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from hwsim.cli import main as hwsim

ROOT = Path(__file__).parent.parent
CASES = Path(__file__).parent / "cases"
ODD = [
    "0",
    "-1",
    "1",
    "2",
    "3",
    "1e308",
    "-1e308",
    "1e-320",
    "nan",
    "inf",
    ".nan",
    ".inf",
    "-.inf",
    "null",
    "~",
    "true",
    "[]",
    "{}",
    "[1, 2]",
    "''",
    "' '",
    "9" * 30,
    "9" * 5000,
    "0x10",
    "1_000",
    "1e3",
    "64 KiB",
    "1e308 TiB",
    "1 B",
    "0.5 B",
    "1 Hz",
    "1e30 GHz",
    "5 ns",
    "7 cycles",
    "1 B/cycle",
    "1e300 B/cycle",
    "int8",
    "fp32",
    "fp99",
    "dram",
    "conv",
    "=cmd",
    "'<script>'",
    '"\\e[31m"',
    '"\\u202e"',
    "a|b",
    "*x",
    "&x 1",
    "!!python/object:x",
    "2001-13-40",
    "1:2:3",
    "2:4",
    "[[[[]]]]",
    "x" * 300,
    "🙂",
]
WORKLOAD = """name: small
source: made up
input: {c: 4, h: 9, w: 8}
layers:
  - {name: a, op: conv, k: 8, r: 3, pad: 1, stride: [1, 2]}
  - {name: b, op: conv, k: 8, r: 1, groups: 2, density: {weights: 0.5}}
  - {name: p, op: maxpool, r: 2, stride: 2}
  - {name: t, op: convtranspose, k: 4, r: 2, stride: 2, output_pad: 1}
  - {name: f, op: linear, k: 10, out: {c: 10, h: 1, w: 1}}
"""
TOPOLOGY = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides, Batch,\nc, 10, 9, 3, 3, 4, 8, 1, 2,\n"
SHAPES = [
    "gemm:8,9,10",
    "conv:4,8,8,4,3,3,1,1",
    "linear:1,16,8",
    "convtranspose:4,5,5,4,3,3,2,1",
    "conv:c=4,h=8,w=8,k=4,r=3,s=3,pad=1x0,stride=1x2",
]
MACHINES = ["toy-systolic", "toy-8x8", "tpu-v1", "xeon-8380", "h200"]
QUICK = ["toy-systolic", "toy-8x8"]
SLOW_SECONDS = 15.0


def odd_value(text: str, rng: random.Random) -> str:
    """One value behind a colon, a comma or a bracket replaced."""
    places = [
        match.span(1) for match in re.finditer(r"[:,\[{]\s*([^\s,:\[\]{}][^,\[\]{}\n#]*)", text)
    ]
    if not places:
        return text + rng.choice(ODD)
    start, end = rng.choice(places)
    return text[:start] + rng.choice(ODD) + text[end:]


def odd_line(text: str, rng: random.Random) -> str:
    """A line dropped, doubled, moved or indented."""
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif kind == 2:
        lines.insert(rng.randrange(len(lines)), lines.pop(at))
    else:
        lines[at] = "  " + lines[at]
    return "".join(lines)


def odd_bytes(text: str, rng: random.Random) -> str:
    """Characters cut out, or put in."""
    at = rng.randrange(len(text) + 1)
    if rng.random() < 0.5:
        return text[:at] + text[at + rng.randrange(1, 20) :]
    return (
        text[:at]
        + rng.choice(["\t", "\0", "\x1b[2J", "{", "]", ":", "\u2028", "- ", "'", "\ud800", "﻿"])
        + text[at:]
    )


def mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.randrange(1, 4)):
        text = rng.choice((odd_value, odd_value, odd_value, odd_line, odd_bytes))(text, rng)
    return text


def command(rng: random.Random, folder: Path) -> list[str]:
    """One command line, its files written into the folder."""

    def file(name: str, text: str) -> str:
        (folder / name).write_bytes(mutated(text, rng).encode("utf-8", "surrogatepass"))
        return str(folder / name)

    def shipped(pattern: str, base: Path = ROOT) -> str:
        return rng.choice(sorted(base.glob(pattern))).read_text()

    def shape() -> str:
        text = rng.choice(SHAPES)
        return odd_value(text, rng) if rng.random() < 0.7 else text

    kinds: list[Callable[[], list[str]]] = [
        lambda: ["show", file("m.yaml", shipped("configs/*/*.yaml"))],
        lambda: ["show", file("w.yaml", WORKLOAD)],
        lambda: [
            "run",
            file("m.yaml", (ROOT / f"configs/accelerator/{rng.choice(QUICK)}.yaml").read_text()),
            "gemm:8,9,10",
            "-a",
            "direct",
        ],
        lambda: [
            "run",
            file("m.yaml", (CASES / f"cpu/{rng.choice(['zen3', 'a53'])}.yaml").read_text()),
            "gemm:20,21,22",
            "-a",
            "direct",
        ],
        lambda: [
            "run",
            rng.choice(QUICK),
            file("w.yaml", WORKLOAD),
            "-a",
            rng.choice(["direct", "implicit-gemm"]),
        ],
        lambda: [
            "run",
            rng.choice(MACHINES),
            shape(),
            "-a",
            rng.choice(["direct", "im2col", "winograd-f2", "fft", "svd-r2", "winograd-f99", "x"]),
        ],
        lambda: [
            "count",
            shape(),
            *rng.choice(
                [
                    [],
                    ["--weights", rng.choice(["0.5", "nan", "2", "0", "x"])],
                    ["--structure", rng.choice(ODD[:50])],
                ]
            ),
        ],
        lambda: ["run", "--nest", file("n.yaml", shipped("hostile/nest_ok.yaml", CASES))],
        lambda: ["run", "--nest", file("n.yaml", shipped("schedules/*_nest.yaml", CASES))],
        lambda: [
            "run",
            "--scalesim-config",
            file("c.cfg", shipped("scalesim/*.cfg", CASES)),
            "--topology",
            file("t.csv", TOPOLOGY),
            *rng.choice([[], ["--convention", "scalesim"]]),
        ],
        lambda: [
            "run",
            "--scalesim-config",
            str(CASES / "scalesim/ws32.cfg"),
            "--topology",
            file("t.csv", shipped("scalesim/B*.csv", CASES)),
            "--convention",
            "scalesim",
        ],
        lambda: [
            "tile",
            "--n",
            rng.choice(["8", "17", "0", "x", "10000", "9" * 12]),
            "--tiles",
            rng.choice(["4,4,2", "8,8,8", "0,1,1", "1,2", "a,b,c", "9" * 40 + ",1,1"]),
            *rng.choice([[], ["--machine", rng.choice(MACHINES)]]),
        ],
        lambda: [
            "validate",
            rng.choice(["scalesim", "h200-tiled-gemm", "tpu-v1", "lavin-gray"]),
            "--data",
            file(
                rng.choice(["d.json", "d.yaml"]),
                shipped("reference/h200_tiled_gemm.json")[:3000] + "}]}",
            ),
        ],
        lambda: [
            "error",
            rng.choice(["conv:2,6,6,2,3,3,1,1", shape()]),
            "--algorithms",
            rng.choice(["direct", "winograd-f2", "fft", "x,,", "svd-r1"]),
        ],
        lambda: ["list", rng.choice(["machines", "workloads", "x", ""])],
    ]
    return rng.choice(kinds)()


def failures(total: int, seed: int, folder: Path) -> list[str]:
    """What went wrong: commands that ended otherwise, with a traceback, or late."""
    found = []
    for number in range(total):
        rng = random.Random(seed * 1_000_003 + number)
        words = command(rng, folder)
        began = time.process_time()
        result = CliRunner().invoke(hwsim, words)
        took = time.process_time() - began
        shown = " ".join(words)[:300]
        if result.exit_code not in (0, 2) or (
            result.exception is not None and not isinstance(result.exception, SystemExit)
        ):
            text = (
                "".join(traceback.format_exception(result.exception)[-3:])
                if result.exception
                else ""
            )
            found.append(
                f"input {number} of seed {seed}: {shown}: exit {result.exit_code}\n{result.output[-500:]}\n{text}"
            )
        elif took > SLOW_SECONDS:
            found.append(f"input {number} of seed {seed}: {shown}: {took:.1f} CPU-s")
    return found


def main(total: int, seed: int) -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        wrong = failures(total, seed, Path(folder))
    print("\n\n".join([*wrong[:20], f"{total} inputs, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 10_000,
            int(sys.argv[2]) if len(sys.argv) > 2 else 0,
        )
    )
