"""Times of cuBLAS products on an H200. No constant of the model was fitted to them."""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_products import Products

CHECKS.register("h200-gemm")(Products("h200"))
