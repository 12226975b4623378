"""Models in other formats, one file each: registered in hwsim.describe.models.MODELS.

model.onnx, program.pt2  ->  a graph of nodes  ->  entries of a workload
config.json              ->  entries of a workload
"""
