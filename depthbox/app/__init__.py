"""Web page that applies a trained network to an image and to boxes drawn on it."""
