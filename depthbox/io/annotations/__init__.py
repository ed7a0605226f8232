"""Annotation files of any format as one canonical dataset."""
