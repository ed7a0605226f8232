"""Reading and writing of files: atomic writes, images, videos, annotations. Knows nothing of networks."""
