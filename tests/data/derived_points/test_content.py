"""COCO content with derived points: draws by seed and image, what is kept, mixed files, counts."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_util

from depthbox.data.derived_points.content import PointSettings, derive_points

HEIGHT, WIDTH = 30, 40
Content = dict[str, Any]


def make_content(images: int = 3, objects: int = 5) -> Content:
    """Return images with rectangular masks, a crowd, and an object of a box alone."""
    annotations = []
    for image in range(1, images + 1):
        for number in range(objects):
            x, y, w, h = 2 + 7 * number, 3 + image % 9, 6, 9
            mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
            mask[y : y + h, x : x + w] = 1
            code = mask_util.encode(mask)
            rle = {"size": code["size"], "counts": code["counts"].decode()}
            identity = len(annotations) + 1
            annotations.append(
                {"id": identity, "image_id": image, "category_id": 1, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0,
                 "segmentation": rle, "note": f"n{identity}"}
            )  # fmt: skip
    extra = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25}
    annotations.append({**extra, "id": 900, "iscrowd": 0})
    annotations.append({**annotations[0], "id": 901, "iscrowd": 1})
    listed = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(1, images + 1)]
    return {"info": {"x": 1}, "images": listed, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}


def masks_of(content: Content) -> dict[int, np.ndarray]:
    return {
        a["id"]: mask_util.decode(a["segmentation"]).astype(bool) for a in content["annotations"] if "segmentation" in a
    }


def points_of(content: Content) -> dict[int, tuple[float, float]]:
    return {a["id"]: tuple(a["point_coords"][0]) for a in content["annotations"] if "point_coords" in a}


def test_each_object_gets_one_point_in_its_mask_and_loses_the_rest() -> None:
    content = make_content()
    before = copy.deepcopy(content)
    derived = derive_points(content, PointSettings())
    assert content == before, "the source is not changed"
    masks = masks_of(content)
    assert (derived.points, derived.boxes, derived.masks, derived.moved) == (15, 0, 0, 0)
    assert (derived.crowds, derived.without_mask) == (1, 1)
    for entry in derived.content["annotations"]:
        (x, y), labels = entry["point_coords"][0], entry["point_labels"]
        assert masks[entry["id"]][int(y), int(x)] and labels == [1]
        assert set(entry) == {"id", "image_id", "category_id", "iscrowd", "note", "point_coords", "point_labels"}
    assert derived.content["images"] == content["images"] and derived.content["info"] == {"x": 1}
    json.dumps(derived.content)


def test_the_draws_depend_on_the_seed_and_the_image_id_alone() -> None:
    content = make_content()
    settings = PointSettings("random", seed=4)
    expected = points_of(derive_points(content, settings).content)
    one = {**content, "images": content["images"][1:2]}
    one["annotations"] = [a for a in content["annotations"] if a["image_id"] == 2]
    assert points_of(derive_points(one, settings).content).items() <= expected.items()
    assert points_of(derive_points(content, PointSettings("random", seed=5)).content) != expected
    images = [expected[a["id"]][0] - a["bbox"][0] for a in content["annotations"][:15]]
    assert images[:5] != images[5:10], "images have streams of their own"


def test_options_do_not_change_the_points() -> None:
    content = make_content()
    expected = points_of(derive_points(content, PointSettings("biased")).content)
    kept = derive_points(content, PointSettings("biased", keep="masks"))
    assert points_of(kept.content) == expected and (kept.masks, kept.boxes, kept.points) == (15, 15, 15)
    boxes = derive_points(content, PointSettings("biased", keep="boxes"))
    assert points_of(boxes.content) == expected and (boxes.masks, boxes.boxes) == (0, 15)
    mixed = points_of(derive_points(content, PointSettings("biased", shares=(1, 1, 1))).content)
    assert mixed.items() < expected.items()
    moved = points_of(derive_points(content, PointSettings("biased", off_object=0.5)).content)
    assert 0 < sum(moved[key] != expected[key] for key in expected) < 15


def test_a_share_of_the_points_lies_just_off_the_object() -> None:
    content = make_content(images=30)
    derived = derive_points(content, PointSettings(off_object=0.3))
    masks = masks_of(content)
    off = [key for key, (x, y) in points_of(derived.content).items() if not masks[key][int(y), int(x)]]
    assert len(off) == derived.moved and abs(len(off) - 45) < 23  # four standard deviations
    every = derive_points(content, PointSettings(off_object=1.0))
    assert every.moved == every.points == 150
    for key, (x, y) in points_of(every.content).items():
        grown = np.pad(masks[key], 1)
        assert grown[int(y) : int(y) + 3, int(x) : int(x) + 3].any(), "next to the mask"


def test_a_mixed_file_has_one_kind_of_annotation_for_each_object() -> None:
    content = make_content(images=60)
    derived = derive_points(content, PointSettings(shares=(1, 1, 1)))
    kinds = [
        (("segmentation" in a), ("bbox" in a), ("point_coords" in a), ("area" in a))
        for a in derived.content["annotations"]
    ]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert set(counts) == {(True, True, False, True), (False, True, False, False), (False, False, True, False)}
    assert all(abs(count - 100) < 33 for count in counts.values())  # four standard deviations
    assert (derived.masks, derived.points) == (counts[True, True, False, True], counts[False, False, True, False])
    alone = derive_points(content, PointSettings(shares=(0, 2, 0)))
    assert (alone.masks, alone.boxes, alone.points, alone.moved) == (0, 300, 0, 0)


def test_a_mask_without_a_pixel_has_its_point_at_the_center_of_the_box() -> None:
    content = make_content(1, 1)
    content["annotations"][0].update(segmentation=[[5.1, 6.1, 5.2, 6.1, 5.2, 6.2]], bbox=[5.1, 6.1, 0.1, 0.1])
    (point,) = points_of(derive_points(content, PointSettings()).content).values()
    assert point == (5.5, 6.5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"kind": "middle"}, "random, center, biased, got 'middle'"),
        ({"seed": -1}, "the seed must be >= 0, got -1"),
        ({"off_object": 1.5}, "in 0 to 1, got 1.5"),
        ({"off_object": float("nan")}, "in 0 to 1, got nan"),
        ({"keep": "all"}, "none, boxes, masks, got 'all'"),
        ({"shares": (1, -1, 1)}, "must be >= 0 and not all 0, got 1 -1 1"),
        ({"shares": (0, 0, 0)}, "not all 0, got 0 0 0"),
        ({"shares": (1, 1, float("nan"))}, "got 1 1 nan"),
        ({"shares": (1, 1, 1), "keep": "boxes"}, "exclude each other"),
    ],
)
def test_bad_settings_are_named(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PointSettings(**bad)


def test_content_without_masks_is_an_error() -> None:
    content = make_content()
    for entry in content["annotations"]:
        entry.pop("segmentation", None)
    with pytest.raises(ValueError, match="no object has a mask"):
        derive_points(content, PointSettings())


@pytest.mark.parametrize(("kind", "pattern"), [("random", "random"), ("center", "cent??")])
def test_points_of_real_nuclei_are_those_recorded(test_data_dir: Path, kind: str, pattern: str) -> None:
    from depthbox.io.annotations.canonical import canonicalize, repaired_coco
    from depthbox.io.annotations.detect import read_annotation_file

    (recorded,) = (test_data_dir / "points").glob(f"nuclei128_train_{pattern}.json")
    raw = read_annotation_file(str(test_data_dir / "dsb2018_nuclei128" / "instances_train.json"))
    content = repaired_coco(canonicalize(raw, check_files=False))
    found = points_of(derive_points(content, PointSettings(kind, seed=11)).content)
    assert len(found) == 3279 and found == points_of(json.loads(recorded.read_text()))
