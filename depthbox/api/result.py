"""Objects of one image as arrays, COCO JSON, a picture or a ``supervision.Detections``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray
from PIL import Image

from ..inference.classes import ClassList
from ..io.files import atomic_open
from ..io.images import RGBImage, read_image
from ..visualization.draw import DrawnObjects, colorize, draw_objects, instance_color

COLORS = ("instance", "class", "depth")


@dataclass(frozen=True, eq=False)
class Result:
    """N objects of one image.

    Attributes:
        name: name of the image in files, such as its file name.
        size: (height, width) of the image, pixels.
        boxes: (N, 4) float64, xyxy in pixels of the image: detected, or those that were given.
        classes: (N,) int64, index into ``class_list.names``.
        scores: (N,) float64 in [0, 1]: score of the detector, or the quality of the mask of a given box.
        rles: N masks as COCO RLEs of the whole image, ``counts`` as str.
        depth: (N,) float64, mean predicted depth, 0 = far, 1 = near; None if the network does not predict depth.
        class_list: names and category ids of the classes.
        source: the image: its path, or its pixels (H, W, 3) uint8, RGB.
    """

    name: str
    size: tuple[int, int]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    rles: Sequence[dict[str, Any]]
    depth: NDArray[np.float64] | None
    class_list: ClassList
    source: Path | RGBImage = field(repr=False)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Any) -> Result:
        """Return the objects of an index, a slice, a list of indices or a bool array (N,)."""
        places = np.atleast_1d(np.arange(len(self))[index])
        return replace(
            self,
            boxes=self.boxes[places],
            classes=self.classes[places],
            scores=self.scores[places],
            rles=[self.rles[place] for place in places],
            depth=None if self.depth is None else self.depth[places],
        )

    @property
    def names(self) -> list[str]:
        """Class name of each object."""
        return [self.class_list.names[index] for index in self.classes]

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Masks (N, H, W) bool, decoded from the RLEs at each access."""
        masks = np.zeros((len(self), *self.size), dtype=bool)
        for mask, rle in zip(masks, self.rles, strict=True):
            mask[:] = mask_util.decode(rle)
        return masks

    @property
    def areas(self) -> NDArray[np.int64]:
        """Number of pixels (N,) of each mask."""
        return np.array([int(mask_util.area(rle)) for rle in self.rles], dtype=np.int64)

    @property
    def image(self) -> RGBImage:
        """Pixels (H, W, 3) uint8, RGB; the file is read at each access.

        Raises:
            ImageError: the file cannot be read any more.
        """
        return read_image(self.source) if isinstance(self.source, Path) else self.source

    def to_coco(self, image_id: int = 1, first_id: int = 1) -> dict[str, Any]:
        """Return the content of a COCO JSON file with this image; masks are RLEs, annotations have scores.

        Args:
            image_id: id of the image.
            first_id: id of the first annotation.
        """
        annotations = []
        for number, rle in enumerate(self.rles):
            x0, y0, x1, y1 = self.boxes[number].tolist()
            entry = {
                "id": first_id + number,
                "image_id": image_id,
                "category_id": self.class_list.ids[self.classes[number]],
                "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                "area": int(mask_util.area(rle)),
                "iscrowd": 0,
                "score": round(float(self.scores[number]), 5),
                "segmentation": dict(rle),
            }
            annotations.append(entry if self.depth is None else entry | {"depth": round(float(self.depth[number]), 5)})
        image = {"id": image_id, "file_name": self.name, "height": self.size[0], "width": self.size[1]}
        return {"images": [image], "annotations": annotations, "categories": self.class_list.categories()}

    def to_supervision(self) -> Any:
        """Return a ``supervision.Detections`` with masks, class names in ``data["class_name"]`` and depth.

        Raises:
            ImportError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError(
                "to_supervision needs supervision, which is not installed: pip install supervision"
            ) from error
        data: dict[str, Any] = {"class_name": np.array(self.names, dtype=str)}
        if self.depth is not None:
            data["depth"] = self.depth
        return supervision.Detections(
            xyxy=self.boxes.astype(np.float32),
            mask=self.masks,
            confidence=self.scores.astype(np.float32),
            class_id=self.classes.astype(int),
            data=data,
        )

    def plot(self, color_by: str = "instance", labels: bool = True) -> Image.Image:
        """Draw masks, boxes and labels over the image.

        Args:
            color_by: "instance", "class" or "depth" (far is dark, near is bright).
            labels: write class, score and depth beside each box.

        Raises:
            ValueError: ``color_by`` is unknown, or is "depth" and the network does not predict depth.
        """
        texts = [f"{name} {score:.2f}" for name, score in zip(self.names, self.scores, strict=True)]
        if self.depth is not None:
            texts = [f"{text} depth {depth:.2f}" for text, depth in zip(texts, self.depth, strict=True)]
        drawn = DrawnObjects(
            self.boxes, texts if labels else [""] * len(self), self.masks, self._choose_colors(color_by)
        )
        return Image.fromarray(draw_objects(self.image, drawn))

    def save(self, path: str | Path, color_by: str = "instance") -> Path:
        """Write the drawn image (.png, .jpg) or the COCO JSON (.json); returns the path.

        Raises:
            ValueError: another suffix.
            OSError: the file cannot be written.
        """
        path, formats = Path(path), {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
        suffix = path.suffix.lower()
        if suffix != ".json" and suffix not in formats:
            raise ValueError(f"{path}: a result is saved as .json (COCO), .png or .jpg, not as '{suffix}'")
        with atomic_open(path) as file:
            if suffix == ".json":
                file.write(json.dumps(self.to_coco()).encode())
            else:
                self.plot(color_by).save(file, format=formats[suffix])
        return path

    def _choose_colors(self, color_by: str) -> list[tuple[int, int, int]]:
        if color_by not in COLORS:
            raise ValueError(f"color_by is one of {', '.join(COLORS)}, not '{color_by}'")
        if color_by == "depth":
            if self.depth is None:
                raise ValueError("this network does not predict depth: it was trained without MODEL.DEPTH.LAYER")
            rows = colorize(self.depth[:, None])[:, 0]
            return [(int(red), int(green), int(blue)) for red, green, blue in rows]
        return [instance_color(int(n)) for n in (self.classes if color_by == "class" else range(len(self)))]


def join_coco(results: Sequence[Result]) -> dict[str, Any]:
    """Return the content of one COCO JSON file with all images.

    Raises:
        ValueError: no result is given, or their classes differ.
    """
    if not results:
        raise ValueError("no results are given")
    if any(result.class_list != results[0].class_list for result in results):
        raise ValueError("the results are of networks with different classes: save them separately")
    joined: dict[str, Any] = {"images": [], "annotations": [], "categories": results[0].class_list.categories()}
    for number, result in enumerate(results, start=1):
        content = result.to_coco(number, len(joined["annotations"]) + 1)
        joined["images"] += content["images"]
        joined["annotations"] += content["annotations"]
    return joined
