"""Triton kernels of the losses and of the dynamic mask head, for NVIDIA GPUs.

Each module has a predicate ``fits`` and a function that replaces the plain implementation of the same name for the
inputs that fit. Import these modules only if ``support.is_available`` returns True: they import Triton.
"""
