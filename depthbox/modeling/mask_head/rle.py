"""Run-length codes of predicted masks in the original image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from torch import Tensor

from .paste import CHUNK_PIXELS, paste_regions

_TRANSFER_PIXELS = 2**24  # 16 MiB of bools


@dataclass(frozen=True)
class _Frame:
    """A binarized part of a mask, as RLEs read it.

    Attributes:
        number: index of the mask.
        top, left: first row and column of the part, pixels.
        cells: (columns, rows + 2) bool, with an empty cell before and after each column.
    """

    number: int
    top: int
    left: int
    cells: Tensor


def paste_rles(
    logits: Tensor,
    stride: int,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    *,
    threshold: float = 0.5,
    chunk_pixels: int = CHUNK_PIXELS,
) -> list[dict[str, Any]]:
    """Encode the masks of ``paste_masks`` as COCO RLEs.

    The cropped masks of an image are copied to the host together, in parts of 16 MiB or one mask.

    Args:
        logits: (N, 1, H, W) float, before the sigmoid.
        stride, image_size, output_size, threshold, chunk_pixels: see ``paste_masks``.

    Returns:
        N dicts with size [height, width] and counts (str).
    """
    height, width = output_size
    edges: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(logits)
    waiting: list[_Frame] = []
    for part in paste_regions(logits, stride, image_size, output_size, threshold):
        rows, columns = part.rows.cells, part.columns.cells
        # RLEs run down the columns; an empty cell is added before and after each column.
        cells = logits.new_zeros((columns.stop - columns.start, rows.stop - rows.start + 2), dtype=torch.bool)
        part.write(cells[:, 1:-1].t(), threshold, chunk_pixels)
        if waiting and sum(frame.cells.numel() for frame in waiting) + cells.numel() > _TRANSFER_PIXELS:
            _encode(waiting, edges, height)
            waiting = []
        waiting.append(_Frame(part.number, rows.start, columns.start, cells))
    _encode(waiting, edges, height)
    return [_rle(places, height, width) for places in edges]


def _encode(frames: list[_Frame], edges: list[np.ndarray], height: int) -> None:
    """Copy the parts to the host at once, and store the edges of their runs by the index of the mask."""
    if not frames:
        return
    flat = torch.cat([frame.cells.flatten() for frame in frames]).cpu().numpy()
    start = 0
    for frame in frames:
        cells = flat[start : start + frame.cells.numel()].reshape(frame.cells.shape)
        edges[frame.number] = _edges(cells, frame.top, frame.left, height)
        start += frame.cells.numel()


def _edges(frame: np.ndarray, top: int, left: int, height: int) -> np.ndarray:
    """Return the pixels at which the runs of a mask start and end, in turn, counted down the image's columns.

    Args:
        frame: (columns, rows + 2) bool, part of the mask with an empty cell before and after each column.
        top, left: first row and column of the part.
        height: height of the image.
    """
    flat = frame.reshape(-1)
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), frame.shape[1])
    places = (left + column) * height + top + row
    # A run that continues at the top of the next column neither ends nor starts there.
    twice = np.flatnonzero(places[1:] == places[:-1])
    return np.delete(places, np.concatenate((twice, twice + 1)))


def _rle(edges: np.ndarray, height: int, width: int) -> dict[str, Any]:
    counts = np.diff(edges, prepend=0, append=height * width).tolist()
    if counts[-1] == 0:
        counts.pop()
    rle = mask_util.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
