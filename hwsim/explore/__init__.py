"""Questions about many machines or settings at once."""
