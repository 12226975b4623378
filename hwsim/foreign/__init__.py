"""Other tools' files, conventions and numbers."""
