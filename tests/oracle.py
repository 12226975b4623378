"""python -m tests.oracle N: the closed form against the executed loops on N random nests."""

from __future__ import annotations

import sys

from hwsim.count.closed_form import count
from hwsim.oracle.interpreter import execute
from tests.nests import random_nest


def main(total: int) -> int:
    """Prints the first disagreement and returns 1, or the number of nests that agree and returns 0."""
    for seed in range(total):
        nest = random_nest(seed)
        if count(nest) != execute(nest):
            print(f"seed {seed} disagrees:\n{nest.text()}")
            return 1
    print(f"{total} random nests: closed form == executed loops")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
