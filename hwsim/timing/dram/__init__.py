"""DRAM: channels, banks, rows and refreshes."""
