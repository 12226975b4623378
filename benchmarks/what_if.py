"""Writes hwsim/lessons/roofline.json: every layer of two networks on nineteen machines, and with each resource twice as good.

python benchmarks/what_if.py      a quarter of an hour on two cores; --missing: only machines that are not in it
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hwsim.lessons.roofline import MACHINES, NETWORKS, OTHERS, measured

TO = Path(__file__).parent.parent / "hwsim" / "lessons" / "roofline.json"


def main() -> None:
    """What was kept before stays, with --missing; else all of it is simulated again."""
    found = json.loads(TO.read_text()) if "--missing" in sys.argv else {}
    names = [name for name in (*MACHINES, *OTHERS) if name not in found]
    pairs = [(machine, network) for machine in names for network in NETWORKS]
    with ProcessPoolExecutor(2) as pool:
        made = pool.map(measured, *zip(*pairs, strict=True))
        for (machine, network), content in zip(pairs, made, strict=True):
            found.setdefault(machine, {})[network] = content
            print(machine, network, file=sys.stderr)
            if network == NETWORKS[-1]:
                TO.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
