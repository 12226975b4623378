"""Writes hwsim/lessons/roofline.json: every layer of two networks on six machines, and with each resource twice as good.

python benchmarks/what_if.py      some minutes on two cores
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hwsim.lessons.roofline import MACHINES, NETWORKS, measured

TO = Path(__file__).parent.parent / "hwsim" / "lessons" / "roofline.json"


def main() -> None:
    pairs = [(machine, network) for machine in MACHINES for network in NETWORKS]
    found = {}
    with ProcessPoolExecutor(2) as pool:
        for (machine, network), content in zip(
            pairs, pool.map(measured, *zip(*pairs, strict=True)), strict=True
        ):
            found.setdefault(machine, {})[network] = content
            print(machine, network, file=sys.stderr)
    TO.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
