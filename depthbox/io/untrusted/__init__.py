"""Readers of files of unknown origin: sizes, nesting and types are checked before memory is allocated."""
