"""Writes docs/trust.md and reference/errors.yaml: every table of `hwsim validate`, and each measured machine's error.

python benchmarks/trust.py [ROWS]      five minutes on two cores

ROWS: a folder with deepbench.json and neusight.json, whose rows are not shipped. Without it, the errors of machines that
only they measured stay as they are.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import yaml

from hwsim.describe.machine import load_machine
from hwsim.validate import CHECKS, Report, Score, run_check, score
from hwsim.validate.page import trust_page

ROOT = Path(__file__).parent.parent
# machine: {kind of work: (check, metric)}; the others are put beside counts, or beside no chip's times
MEASURED = {
    "h200": {"convolutions": ("h200-conv", "time"), "products": ("h200-gemm", "time")},
    "h100": {"convolutions": ("h100-conv", "time"), "products": ("h100-gemm", "time")},
    "a100": {"products": ("gemm-silicon", "time")},
    "mi210": {"products": ("gemm-silicon", "time")},
    "edge-tpu": {"networks": ("coral", "time_ms")},
    "eyeriss-v1": {"convolutions": ("eyeriss", "processing_latency")},
    "epyc-7763": {"products": ("zen3-loops", "time")},
    "epyc-9654": {"products": ("zen4-tiling", "speedup")},
}
# machine: the check by others' rows, which --data reads
ELSEWHERE = {
    "v100": "deepbench",
    "t4": "deepbench",
    "p100": "deepbench",
    "titan-x-maxwell": "deepbench",
    "m40": "deepbench",
    "p4": "neusight",
}
# a check's groups by algorithm, and what hwsim calls them
ALGORITHMS = {
    "implicit_precomp_gemm": ("direct", "implicit-gemm"),
    "im2col_explicit": ("im2col",),
    "winograd_nonfused": ("winograd",),
    "fft_tiling": ("fft",),
    "offset_add": ("offset-add",),
}
FITTED = {"h100-conv", "h100-gemm"}


def main() -> None:
    names = [name for name in CHECKS if CHECKS[name].file]
    reports: dict[str, Report] = {}
    with ProcessPoolExecutor(2) as pool:
        for report in pool.map(run_check, names):
            reports[report.name] = report
            print(report.name, file=sys.stderr)
    machines = {
        name: {
            "memory": load_machine(name).management,
            "errors": {
                work: _error(reports[check], metric, name)
                for work, (check, metric) in kinds.items()
            },
        }
        for name, kinds in MEASURED.items()
    }
    machines |= _elsewhere(Path(sys.argv[1])) if len(sys.argv) > 1 else _as_they_were()
    head = "# Errors of modelled times beside measured ones. Written by benchmarks/trust.py from `hwsim validate`.\n"
    text = head + yaml.safe_dump({"machines": machines}, sort_keys=False)
    (ROOT / "reference" / "errors.yaml").write_text(text, encoding="utf-8")
    (ROOT / "docs" / "trust.md").write_text(trust_page(list(reports.values())), encoding="utf-8")


def _as_they_were() -> dict[str, object]:
    written = yaml.safe_load((ROOT / "reference" / "errors.yaml").read_text(encoding="utf-8"))
    return {name: written["machines"][name] for name in ELSEWHERE if name in written["machines"]}


def _elsewhere(folder: Path) -> dict[str, object]:
    """The errors of machines that others measured, by kind of work."""
    found: dict[str, object] = {}
    for check in sorted(set(ELSEWHERE.values())):
        rows = json.loads((folder / f"{check}.json").read_text(encoding="utf-8"))
        pairs = [pair for pair in CHECKS[check].pairs(rows) if pair.metric == "time"]
        for machine in (name for name in ELSEWHERE if ELSEWHERE[name] == check):
            own = [pair for pair in pairs if pair.groups.get("machine") == machine]
            convolutions = [pair for pair in own if pair.groups["op"].startswith("conv")]
            products = [pair for pair in own if pair not in convolutions]
            kinds = {"products": products, "convolutions": convolutions}
            errors = {
                work: {
                    "check": f"{check} --data FILE",
                    "fitted": False,
                    **_scored(score(check, some).metrics["time"]),
                }
                for work, some in kinds.items()
                if some
            }
            found[machine] = {"memory": load_machine(machine).management, "errors": errors}
    return found


def _error(report: Report, metric: str, machine: str) -> dict[str, object]:
    """Of a machine's rows, and where a check has groups by algorithm and data type, of each."""
    held_out = report.groups.get("use", {}).get("held out", report.metrics)
    own_rows = report.groups.get("machine", {}).get(machine, held_out)
    found: dict[str, object] = {
        "check": report.name,
        "fitted": report.name in FITTED,
        **_scored(own_rows[metric]),
    }
    groups = report.groups.get("algorithm", {})
    own = {
        f"{ours} {dtype}": _scored(groups[f"{theirs} {dtype}"][metric])
        for theirs, names in ALGORITHMS.items()
        for ours in names
        for dtype in ("fp32", "fp16")
        if f"{theirs} {dtype}" in groups
    }
    types = report.groups.get("dtype", {})
    own |= {
        f"any {dtype}": _scored(types[dtype][metric]) for dtype in types if metric in types[dtype]
    }
    return {**found, "algorithms": own} if own else found


def _scored(score: Score) -> dict[str, object]:
    return {
        "rows": score.n,
        "mean": round(score.mean_abs_rel_err, 4),
        "worst": round(score.max_abs_rel_err, 4),
    }


if __name__ == "__main__":
    main()
