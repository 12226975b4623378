"""Explicit memories: tiles moved by DMA as events."""
