"""Tiled CUDA products on an H200."""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_tiled import TiledGemm

CHECKS.register("h200-tiled-gemm")(TiledGemm("h200", "h200_tiled_gemm.json"))
