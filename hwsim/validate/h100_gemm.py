"""Times of cuBLAS products on an H100, and of the kernels that were launched for them.

The constants of kernels/nvidia-hopper.yaml are calibrated on these rows.
"""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_products import Products

CHECKS.register("h100-gemm")(Products("h100"))
