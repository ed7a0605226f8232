"""HTML reports of training runs and datasets."""
