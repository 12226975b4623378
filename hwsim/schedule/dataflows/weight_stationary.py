"""Weight-stationary: weights stay in the array, activations stream past, sums step down.

          columns: filters
        w00 w01 w02 w03   <- stay
a  ->   w10 w11 w12 w13
a  ->   w20 w21 w22 w23      rows: the reduction (k of the product)
         |   |   |   |
         v   v   v   v    accumulators

The tiles are searched, and the nest built, in hwsim/schedule/systolic, as for whatever else stays.
"""

from __future__ import annotations

from hwsim.schedule.dataflows import DATAFLOWS, Searched
from hwsim.schedule.systolic.tiles import Stationary

_flow: Searched = Stationary(
    "weight-stationary", "a weight tile stays in the array, activations stream past", "weight"
)
DATAFLOWS.register("weight-stationary")(_flow)
