"""Tiled CUDA products on an H100: the rows come by --data, in the format of the H200's."""

from hwsim.validate import CHECKS
from hwsim.validate.gpu_tiled import TiledGemm

CHECKS.register("h100-tiled-gemm")(TiledGemm("h100", ""))
