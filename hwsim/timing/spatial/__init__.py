"""Arrays of PEs: passes, and the busses that feed them."""
