"""Convolutions in int8 on an H100, channels last, as cuDNN ran them.

The constants of conv-wgmma-int8 and conv-mma-int8 in kernels/nvidia-hopper.yaml are calibrated on
their kernels (benchmarks/h100_int8_convs.py measured them).
"""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_convolutions import Convolutions

CHECKS.register("h100-int8-convs")(Convolutions("h100", "int8_convs", "in int8, channels last"))
