"""Reading and writing of files: atomic writes, images, videos, annotations. Independent of networks."""
