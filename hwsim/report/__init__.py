"""What people read: tables, documents, plots and the comparison report."""
