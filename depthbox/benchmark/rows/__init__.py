"""Rows of the benchmark, one module per part."""
