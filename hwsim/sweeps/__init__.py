"""Sweeps: one question asked of many machines and workloads.

    file or arguments  ->  axes and constraints  ->  points, numbered
    points  ->  blocks  ->  an engine's workers  ->  rows in a journal
    journal ->  CSV, Parquet, a page of charts: the Pareto front, what each axis does

A point's number says its values, and a hash of all that its row follows from is its key in the
journal: what is there is not run again.
"""
