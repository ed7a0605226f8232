"""What DepthBox is compared with: each operation as the field usually writes it, from its definition.

Readable and correct, without the formulations that make ours fast: full-size canvases, unfolded neighbours gathered for
each query, grouped convolutions, dense matrices of positions and objects, colours converted on the CPU.
"""
