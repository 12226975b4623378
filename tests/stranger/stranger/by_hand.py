"""A check: multiply-accumulates of products that somebody counted by hand.

[{"m": 2, "n": 3, "k": 4, "macs": 24}]
"""

from hwsim.describe.layer import GemmLayer
from hwsim.validate import CHECKS, Pair


class ByHand:
    file = ""
    summary = "a list of products with m, n, k and macs"

    def pairs(self, data):
        for row in data:
            m, n, k = row["m"], row["n"], row["k"]
            yield Pair(f"{m}x{n}x{k}", "macs", row["macs"], GemmLayer(m, n, k).macs)


CHECKS.register("by-hand")(ByHand())
