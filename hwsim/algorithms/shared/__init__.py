"""What several algorithms lower to."""
