"""Prediction with trained networks on images, videos and cameras."""
