"""Input-stationary: activations stay in the array, weights stream past, sums step down.

          columns: output pixels
        a00 a01 a02 a03   <- stay
w  ->   a10 a11 a12 a13
w  ->   a20 a21 a22 a23      rows: the reduction (k of the product)
         |   |   |   |
         v   v   v   v    accumulators
"""

from __future__ import annotations

from hwsim.schedule.dataflows import DATAFLOWS, Searched
from hwsim.schedule.systolic.tiles import Stationary

_flow: Searched = Stationary(
    "input-stationary", "an activation tile stays in the array, weights stream past", "activation"
)
DATAFLOWS.register("input-stationary")(_flow)
