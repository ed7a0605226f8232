"""Trained networks applied to images, videos and cameras."""
