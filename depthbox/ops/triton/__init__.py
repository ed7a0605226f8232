"""Triton kernels of the operations and losses, used on CUDA devices."""
