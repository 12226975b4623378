"""Convolutions on an H200, by algorithm. No constant of the model was fitted to them."""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_convolutions import Convolutions

CHECKS.register("h200-conv")(Convolutions("h200"))
