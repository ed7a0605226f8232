"""The source of class maps of a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..points import ImagePoints
from .automatic import AutomaticClassMaps
from .cache import CachedClassMaps
from .files import FileClassMaps
from .geodesic import GeodesicClassMaps
from .source import ClassMap, ClassMapSource, DepthMap, RGBImage
from .threshold import ThresholdClassMaps

FOLDER = "class_maps"  # in OUTPUT_DIR
_COMPUTED: dict[str, Callable[[int], ClassMapSource]] = {
    "auto": AutomaticClassMaps,
    "threshold": ThresholdClassMaps,
    "geodesic": GeodesicClassMaps,
}


def build_class_maps(cfg: CfgNode) -> ClassMapSource:
    """Build the source of MODEL.P2SEG.SEMANTIC.SOURCE.

    "auto" reads the files if DATASETS.COCO_STYLE names a folder of class maps for each training set. A learned map
    ("points") starts from the computed one. Computed maps are written to OUTPUT_DIR/class_maps.

    Raises:
        ValueError: the name is unknown.
    """
    node = cfg.MODEL.P2SEG.SEMANTIC
    if node.SOURCE == "files" or (node.SOURCE == "auto" and _has_files(cfg)):
        return FileClassMaps(cfg.MODEL.P2SEG.NUM_CLASSES, node.SEED_RADIUS)
    name = "auto" if node.SOURCE == "points" else node.SOURCE
    if name not in _COMPUTED:
        names = ", ".join(("files", *_COMPUTED, "points"))
        raise ValueError(f"MODEL.P2SEG.SEMANTIC.SOURCE is one of {names}, not '{node.SOURCE}'")
    source = _COMPUTED[name](node.SEED_RADIUS)
    computed = CachedClassMaps(source, Path(cfg.OUTPUT_DIR) / FOLDER, f"{name} {node.SEED_RADIUS}")
    return computed if node.DEPTH else _WithoutDepth(computed)


class _WithoutDepth:
    """A source that is given no depth."""

    def __init__(self, source: ClassMapSource) -> None:
        self._source = source

    def __call__(
        self, record: Mapping[str, Any], image: RGBImage, points: ImagePoints, depth: DepthMap | None
    ) -> ClassMap:
        return self._source(record, image, points, None)


def _has_files(cfg: CfgNode) -> bool:
    folders = {entry[0]: entry[4] if len(entry) > 4 else "" for entry in cfg.DATASETS.COCO_STYLE}
    return bool(cfg.DATASETS.TRAIN) and all(folders.get(name) for name in cfg.DATASETS.TRAIN)
