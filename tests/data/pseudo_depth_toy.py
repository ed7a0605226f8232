"""Earlier place of ``tests/toys/pseudo_depth_toy.py``, which programs outside the repository import."""

from tests.toys.pseudo_depth_toy import MODELS, save_model

__all__ = ["MODELS", "save_model"]
