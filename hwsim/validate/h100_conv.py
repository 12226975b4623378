"""Convolutions on an H100, by algorithm.

The conv- families of kernels/nvidia-hopper.yaml are calibrated on launches of cuDNN's implicit GEMM
among them.
"""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_convolutions import Convolutions

CHECKS.register("h100-conv")(Convolutions("h100"))
