"""Choice of the source of class maps, and its cache."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from class_map_toy import SIZE, make_points
from detectron2.config import CfgNode, get_cfg
from numpy.typing import NDArray

from depthbox import add_depthbox_config
from depthbox.data.class_maps.automatic import AutomaticClassMaps
from depthbox.data.class_maps.build import build_class_maps
from depthbox.data.class_maps.cache import CachedClassMaps
from depthbox.data.class_maps.geodesic import GeodesicClassMaps
from depthbox.data.class_maps.threshold import ThresholdClassMaps
from depthbox.data.points import ImagePoints

Cells = tuple[NDArray[np.uint8], NDArray[np.bool_], ImagePoints]


@pytest.fixture
def cfg(tmp_path: Path) -> CfgNode:
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.OUTPUT_DIR = str(tmp_path / "run")
    return cfg


def test_automatic_source_takes_the_threshold_where_it_separates(cells: Cells) -> None:
    image, _, points = cells
    assert (AutomaticClassMaps()({}, image, points, None) == ThresholdClassMaps()({}, image, points, None)).all()
    noise = np.random.default_rng(5).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    few = make_points([(20.5, 20.5), (70.5, 60.5)], [0, 1])
    assert (AutomaticClassMaps()({}, noise, few, None) == GeodesicClassMaps()({}, noise, few, None)).all()


def test_computed_map_is_written_once_and_read_afterwards(tmp_path: Path, cells: Cells) -> None:
    image, _, points = cells
    calls: list[str] = []

    def source(record: Any, image: Any, points: Any, depth: Any) -> NDArray[np.uint8]:
        calls.append(record["file_name"])
        return np.arange(image.shape[0] * image.shape[1], dtype=np.uint8).reshape(image.shape[:2])

    cached = CachedClassMaps(source, tmp_path / "maps", "a")
    record = {"file_name": "folder/x.jpg"}
    first, second = cached(record, image, points, None), cached(record, image, points, None)
    assert (first == second).all() and len(calls) == 1
    (path,) = (tmp_path / "maps").iterdir()
    assert path.name.startswith("x-") and path.suffix == ".png"
    cached(record, image, make_points(points.coords.tolist(), [1] * 6), None)  # other classes
    cached(record, 255 - image, points, None)
    cached(record, image, points, np.zeros(SIZE, dtype=np.float32))
    CachedClassMaps(source, tmp_path / "maps", "b")(record, image, points, None)
    assert len(calls) == 5
    path.write_bytes(b"damaged")
    assert (cached(record, image, points, None) == first).all() and len(calls) == 6


@pytest.mark.parametrize("depth", [False, True])
def test_depth_is_used_only_if_the_config_asks_for_it(cfg: CfgNode, depth: bool) -> None:
    cfg.MODEL.P2SEG.SEMANTIC.SOURCE, cfg.MODEL.P2SEG.SEMANTIC.DEPTH = "geodesic", depth
    image = np.full((*SIZE, 3), 100, dtype=np.uint8)
    values = np.zeros(SIZE, dtype=np.float32)
    values[20:40, 20:40] = 0.5
    points = make_points([(30.5, 30.5)], [0])
    result = build_class_maps(cfg)({"file_name": "x"}, image, points, values)
    expected = GeodesicClassMaps()({}, image, points, values if depth else None)
    assert (result == expected).all()
    assert (Path(cfg.OUTPUT_DIR) / "class_maps").is_dir()


def test_automatic_source_reads_files_if_all_training_sets_have_them(cfg: CfgNode) -> None:
    cfg.DATASETS.COCO_STYLE = [["a", "a.json", "images", "", "maps"]]
    cfg.DATASETS.TRAIN = ("a",)
    with pytest.raises(ValueError, match="has no class map"):
        build_class_maps(cfg)({}, np.zeros((*SIZE, 3), dtype=np.uint8), make_points([(1.5, 1.5)], [0]), None)


def test_unknown_source_is_refused_with_the_names(cfg: CfgNode) -> None:
    cfg.MODEL.P2SEG.SEMANTIC.SOURCE = "magic"
    with pytest.raises(ValueError, match="files, auto, threshold, geodesic, points, not 'magic'"):
        build_class_maps(cfg)
