"""Baselines of the benchmark: each operation in its usual formulation, written from its definition.

The baselines are readable and correct, without the formulations that make ours fast: full-size canvases, unfolded
neighbors gathered for each query, grouped convolutions, dense matrices of locations and objects, colors converted on
the CPU.
"""
