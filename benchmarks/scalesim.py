"""make bench-scalesim: cycles, time and memory of SCALE-Sim and hwsim on ResNet-18.

Each runs once, on 128 x 128 cells, weight-stationary. SCALE-Sim comes from the package index into
an environment of its own (its numpy must be below 2.4).
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYOUT_COLUMNS = 20
HOME = ROOT / "build" / "scalesim"
CONFIG = """[general]
run_name = resnet18

[architecture_presets]
ArrayHeight: 128
ArrayWidth: 128
IfmapSramSzkB: 1024
FilterSramSzkB: 1024
OfmapSramSzkB: 1024
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth : 10
Dataflow : ws
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32

[layout]
IfmapCustomLayout: False
FilterCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2

[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40

[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
RUN = """from scalesim.scale_sim import scalesim
simulation = scalesim(save_disk_space=True, verbose=False, config="run.cfg", topology="run.csv",
                      layout="layout.csv", input_type_gemm=False)
simulation.run_scale(top_path="out")
"""


def topology() -> str:
    """ResNet-18's convolutions as SCALE-Sim takes them, padding in the feature maps."""
    import hwsim
    from hwsim.describe.layer import ConvLayer

    lines = [
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num "
        "Filter, Strides,"
    ]
    for name, layer in hwsim.load_workload("resnet18").layers.items():
        if isinstance(layer, ConvLayer):
            sizes = (
                layer.h + sum(layer.pads[0]),
                layer.w + sum(layer.pads[1]),
                layer.r,
                layer.s,
                layer.c,
                layer.k,
                layer.strides[0],
            )
            lines.append(f"{name}, {', '.join(str(size) for size in sizes)},")
    return "\n".join(lines) + "\n"


def layout() -> str:
    """A layout that the config does not use, but that must be there: one line a layer."""
    names = [line.split(",")[0] for line in topology().splitlines()[1:]]
    return (
        "\n".join(["Layer name,", *(f"{name},{' 1,' * LAYOUT_COLUMNS}" for name in names)]) + "\n"
    )


def scalesim() -> tuple[dict[str, float], list[int]]:
    """Time, memory and cycles by layer of the original."""
    if not (HOME / "venv").exists():
        venv.create(HOME / "venv", with_pip=True)
        subprocess.run(
            [HOME / "venv/bin/pip", "install", "-q", "scalesim", "numpy<2.4"], check=True
        )
    start = time.perf_counter()
    process = subprocess.Popen(
        [HOME / "venv/bin/python", "-c", RUN], cwd=HOME, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(
            "SCALE-Sim failed; see its output by running the command in benchmarks/scalesim.py"
        )
    row = {
        "wall_s": round(time.perf_counter() - start, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_MiB": round(usage.ru_maxrss / 1024),
    }
    report = next((HOME / "out").rglob("COMPUTE_REPORT.csv"))
    rows = list(csv.DictReader(report.read_text().splitlines(), skipinitialspace=True))
    return row, [int(float(line["Total Cycles"])) for line in rows]


def ours() -> tuple[dict[str, float], list[int]]:
    """The same of hwsim, in SCALE-Sim's convention, warm."""
    from hwsim.foreign.scalesim.config import load_config
    from hwsim.foreign.scalesim.counts import scalesim_counts
    from hwsim.foreign.scalesim.topology import load_topology

    quickest, cycles = float("inf"), []
    for _ in range(5):
        start = time.process_time()
        config, layers = load_config(HOME / "run.cfg"), load_topology(HOME / "run.csv")
        counts = [
            scalesim_counts(layer.m, layer.n, layer.k, config.rows, config.columns, config.dataflow)
            for layer in layers
        ]
        cycles = [int(count["cycles"]) for count in counts]
        quickest = min(quickest, time.process_time() - start)
    return {
        "cpu_s": quickest,
        "peak_MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }, cycles


def events() -> dict[str, float]:
    """hwsim's own simulation of the same files, tiles as events, warm."""
    import hwsim
    from hwsim.foreign.scalesim.config import load_config, scalesim_machine
    from hwsim.foreign.scalesim.topology import load_topology, scalesim_workload

    machine, network = (
        scalesim_machine(load_config(HOME / "run.cfg")),
        scalesim_workload("resnet18", load_topology(HOME / "run.csv")),
    )
    quickest = float("inf")
    for _ in range(4):
        start = time.process_time()
        hwsim.simulate(network, machine, "implicit-gemm", dataflow="weight-stationary")
        quickest = min(quickest, time.process_time() - start)
    return {"cpu_s": round(quickest, 3)}


def main() -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / "run.cfg").write_text(CONFIG)
    (HOME / "run.csv").write_text(topology())
    (HOME / "layout.csv").write_text(layout())
    theirs, expected = scalesim()
    mine, cycles = ours()
    faster = round(theirs["cpu_s"] / mine["cpu_s"])
    print(
        json.dumps(
            {
                "SCALE-Sim": theirs,
                "hwsim, their convention": mine,
                "hwsim, events": events(),
                "cycles equal": cycles == expected,
                "total cycles": sum(cycles),
                "times faster": faster,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
