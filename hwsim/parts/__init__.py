"""Parts: one kind of hardware a file, a frozen spec and what it does."""
