"""Output-stationary: each cell keeps one output's sum; activations and weights stream past.

Activations come along rows, weights down columns:

          columns: filters
           w    w    w
           |    |    |
a  ->    [sum][sum][sum]      rows: output pixels
a  ->    [sum][sum][sum]      stay until the reduction is done, then leave
"""

from __future__ import annotations

from hwsim.schedule.dataflows import DATAFLOWS, Searched
from hwsim.schedule.systolic.tiles import Stationary

_flow: Searched = Stationary(
    "output-stationary", "every cell keeps an output's sum, operands stream past", "output"
)
DATAFLOWS.register("output-stationary")(_flow)
