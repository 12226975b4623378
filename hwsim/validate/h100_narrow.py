"""Products of 8-bit words on an H100, int8 and fp8, as cuBLAS ran them (benchmarks/h100_narrow.py).

The constants of wgmma-fp8 and mma-int8 in kernels/nvidia-hopper.yaml are calibrated on these rows.
"""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_products import Products

CHECKS.register("h100-narrow")(Products("h100", "narrow", "cuBLAS products of 8-bit words"))
