"""Readers of the file formats of weights, without running code from the file and with bounded memory."""
