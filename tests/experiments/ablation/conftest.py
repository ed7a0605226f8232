"""Configs and a fake training script for the runner of ablations."""

from ablation_toy import lab

__all__ = ["lab"]
