"""Counting a nest's traffic: in closed form, and by executing its loops."""
