"""Plan to plan: zeros exploited, stages run block by block, tensors kept on the chip."""
