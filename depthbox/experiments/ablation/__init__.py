"""Ablations: configs x seeds, with tables and figures."""
