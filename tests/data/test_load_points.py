"""Dataset dicts of point annotations, labels with scores, and class maps."""

import json
import math

import numpy as np
import pytest
from dataset_toy import coco, new_name, write_files
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from depthbox.data import register_coco_style


@pytest.fixture
def name():
    return new_name()


@pytest.fixture
def root(tmp_path):
    return write_files(tmp_path)


def load(name, root, **keys):
    """Load the dataset after changes of its annotations and images."""
    content = coco()
    first, second, third = content["annotations"]
    del first["bbox"]
    first.update(point_coords=[[3, 4.5], [5, 6]], point_labels=[1, 0])
    second.update(score=0.75, fallback=True, point_coords=[[2, 3]])
    third.update(score=math.nan, fallback=1)
    content["images"][1]["background_points"] = [[1, 2]]
    (root / "points.json").write_text(json.dumps(content))
    register_coco_style(name, root / "points.json", root / "images", **keys)
    return DatasetCatalog.get(name)


def test_points_scores_and_fallbacks_pass_and_no_box_is_invented(name, root):
    first, second = load(name, root)
    point, box = first["annotations"]
    assert point == {
        "id": 10,
        "iscrowd": 0,
        "category_id": 1,
        "point_coords": [[3, 4.5], [5, 6]],
        "point_labels": [1, 0],
    }
    assert box["bbox"] == [1, 2, 5, 6] and "bbox_mode" in box
    assert (box["score"], box["fallback"], box["point_coords"], box["point_labels"]) == (0.75, True, [[2, 3]], [1])
    assert not {"score", "fallback", "point_coords"} & set(second["annotations"][0])
    assert "background_points" not in first and second["background_points"] == [[1, 2]]
    assert MetadataCatalog.get(name).has_masks is False


def write_maps(folder, *names):
    for file_name in names:
        (folder / file_name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder / file_name)


def test_class_maps_are_found_by_the_names_of_the_images(name, root):
    write_maps(root / "maps", "a.b.png", "sub/c.png")
    records = load(name, root, class_map_root=root / "maps")
    assert [record["sem_seg_file_name"] for record in records] == [
        str(root / "maps" / "a.b.png"),
        str(root / "maps" / "sub" / "c.png"),
    ]
    assert all("depth_file_name" not in record for record in records)
    assert MetadataCatalog.get(name).class_map_root == str(root / "maps")


def test_missing_class_maps_are_counted_with_a_remedy(name, root):
    write_maps(root / "maps", "a.b.png")
    with pytest.raises(FileNotFoundError) as error:
        load(name, root, class_map_root=root / "maps")
    for part in (name, "1 of 2 class maps", str(root / "maps" / "sub" / "c.png"), "--class-maps"):
        assert part in str(error.value)


def test_real_points_are_loaded_whole(name, test_data_dir):
    source = test_data_dir / "points" / "nuclei128_val_random.json"
    images = test_data_dir / "dsb2018_nuclei128"
    folder = next(path.parent for path in images.rglob("0287e7ee5b007c91.png"))
    register_coco_style(name, source, folder)
    annotations = [entry for record in DatasetCatalog.get(name) for entry in record["annotations"]]
    assert len(annotations) == 835
    assert all("bbox" not in entry and len(entry["point_coords"]) == 1 for entry in annotations)
