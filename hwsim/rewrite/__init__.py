"""Plan to plan: zeros that a machine exploits, stages that run block by block, tensors that stay on
the chip."""
