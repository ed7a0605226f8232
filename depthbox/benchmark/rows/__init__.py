"""Rows of the benchmark, one module per kind of operation."""
