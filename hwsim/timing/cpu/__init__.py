"""Cores: instructions, and the caches that they wait for."""
