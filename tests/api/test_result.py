"""Results as arrays, COCO JSON, pictures and supervision's detections."""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from depthbox.api.result import Result, join_coco
from depthbox.inference.classes import ClassList

CLASSES = ClassList(("cat", "dog"), (7, 9))


def make_result(depth: bool = True) -> Result:
    masks = np.zeros((3, 20, 30), dtype=np.uint8)
    masks[0, 2:8, 3:9], masks[1, 10:19, 10:25], masks[2, 0:6, 20:30] = 1, 1, 1
    rles = [mask_util.encode(np.asfortranarray(mask)) for mask in masks]
    image = np.full((20, 30, 3), 120, dtype=np.uint8)
    return Result(
        "a.png",
        (20, 30),
        np.array([[3, 2, 9, 8], [10, 10, 25, 19], [20, 0, 30, 6.0]]),
        np.array([0, 1, 1]),
        np.array([0.9, 0.8, 0.7]),
        [{"size": [20, 30], "counts": rle["counts"].decode()} for rle in rles],
        np.array([0.1, 0.5, 1.0]) if depth else None,
        CLASSES,
        image,
    )


def test_arrays_and_selection() -> None:
    result = make_result()
    assert len(result) == 3 and result.names == ["cat", "dog", "dog"] and result.areas.tolist() == [36, 135, 60]
    assert result.masks.dtype == bool and result.masks.sum((1, 2)).tolist() == [36, 135, 60]
    for index in (result.classes == 1, [1, 2], slice(1, None)):
        part = result[index]
        assert part.scores.tolist() == [0.8, 0.7] and part.depth.tolist() == [0.5, 1.0] and len(part.rles) == 2
    assert result[-1].names == ["dog"] and len(result[result.scores > 2]) == 0


def test_coco_has_the_ids_of_the_training_data(tmp_path: Path) -> None:
    content = json.loads(make_result().save(tmp_path / "a.json").read_text())
    assert content["categories"] == [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
    assert content["images"] == [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}]
    second = content["annotations"][1]
    assert second["category_id"] == 9 and second["bbox"] == [10, 10, 15, 9] and second["depth"] == 0.5
    assert (mask_util.decode(second["segmentation"]) == make_result().masks[1]).all()
    joined = join_coco([make_result(), make_result(depth=False)])
    assert [entry["id"] for entry in joined["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert [entry["image_id"] for entry in joined["annotations"]] == [1, 1, 1, 2, 2, 2]
    assert "depth" not in joined["annotations"][3]
    with pytest.raises(ValueError, match="no results"):
        join_coco([])


@pytest.mark.parametrize("color_by", ["instance", "class", "depth"])
def test_pictures_show_the_masks(color_by: str, tmp_path: Path) -> None:
    result = make_result()
    picture = np.asarray(result.plot(color_by, labels=False))
    changed = (picture != result.image).any(2)
    assert changed[12:17, 12:23].all() and not changed[:, :2].any()
    saved = np.asarray(Image.open(result.save(tmp_path / "a.png", color_by)))
    assert saved.shape == (20, 30, 3) and (saved != result.image).any()
    colors = {tuple(picture[y, x]) for y, x in ((5, 5), (14, 14), (3, 25))}
    assert len(colors) == (2 if color_by == "class" else 3)


def test_wrong_requests_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.json \(COCO\)"):
        make_result().save(tmp_path / "a.gif")
    with pytest.raises(ValueError, match="does not predict depth"):
        make_result(depth=False).plot("depth")
    with pytest.raises(ValueError, match="instance, class, depth"):
        make_result().plot("size")
    assert not list(tmp_path.iterdir())


def test_supervision_receives_all_fields() -> None:
    supervision = pytest.importorskip("supervision")
    detections = make_result().to_supervision()
    assert isinstance(detections, supervision.Detections) and len(detections) == 3
    assert detections.class_id.tolist() == [0, 1, 1] and detections.data["class_name"].tolist()[0] == "cat"
    np.testing.assert_array_equal(detections.mask, make_result().masks)
    np.testing.assert_allclose(detections.data["depth"], [0.1, 0.5, 1.0])


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        make_result().to_supervision()
