"""Results drawn and as COCO JSON."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from pycocotools.coco import COCO

from depthbox.app.result import (
    DISPLAY_SIDE,
    FoundObject,
    PageResult,
    decode_masks,
    display_size,
    draw_result,
    make_json_name,
    to_coco,
)
from depthbox.inference.classes import ClassList
from depthbox.visualization.draw import colorize, instance_color

SIZE = (40, 60)
CLASSES = ClassList(("cat", "dog"), (7, 9))


def found(rows: slice, columns: slice, score: float, depth: float | None = None, label: int = 0) -> FoundObject:
    mask = np.zeros(SIZE, dtype=np.uint8, order="F")
    mask[rows, columns] = 1
    rle = mask_util.encode(mask)
    corners = (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
    return FoundObject(label, corners, score, {"size": list(SIZE), "counts": rle["counts"].decode()}, depth)


OBJECTS = (
    found(slice(5, 25), slice(10, 30), 0.9, 0.0, 1),
    found(slice(10, 40), slice(40, 60), 0.5, 1.0),
)
RESULT = PageResult("some/photo.jpg", SIZE, OBJECTS, given=False)
GRAY = np.full((*SIZE, 3), 100, dtype=np.uint8)


def test_the_json_is_coco(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(to_coco(RESULT, CLASSES)))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    first, second = coco.loadAnns(coco.getAnnIds(imgIds=1))
    assert first["bbox"] == [10, 5, 20, 20] and second["bbox"] == [40, 10, 20, 30]
    assert (first["category_id"], first["score"], first["depth"], first["area"]) == (9, 0.9, 0.0, 400)
    assert coco.annToMask(second).sum() == second["area"] == 600
    assert coco.loadCats(9)[0]["name"] == "dog" and coco.imgs[1]["width"] == 60
    assert make_json_name(RESULT) == "photo_coco.json"
    assert (
        make_json_name(PageResult("a\\b\0:c" + "x" * 300 + ".png", SIZE, (), given=False))
        == f"a_b_c{'x' * 75}_coco.json"
    )
    assert make_json_name(PageResult("", SIZE, (), given=False)) == "image_coco.json"
    plain = PageResult("x", SIZE, (found(slice(0, 1), slice(0, 1), 0.3),), given=False)
    assert "depth" not in to_coco(plain, CLASSES)["annotations"][0]


def test_the_threshold_applies_to_detections_only() -> None:
    assert RESULT.above(0.5) == RESULT and RESULT.above(0.51).objects == OBJECTS[:1]
    given = PageResult("x", SIZE, OBJECTS, given=True)
    assert given.above(1.0) == given


@pytest.mark.parametrize("size", [SIZE, (6000, 4000), (1, 5000)])
def test_images_are_drawn_at_one_size(size: tuple[int, int]) -> None:
    drawn = display_size(size)
    assert max(drawn) == DISPLAY_SIDE and min(drawn) >= 1
    if min(size) > 1:
        assert abs(drawn[0] / drawn[1] - size[0] / size[1]) < 0.01


def test_masks_are_decoded_at_the_drawn_size() -> None:
    masks = decode_masks(OBJECTS, (80, 120))
    expected = np.zeros((80, 120), dtype=bool)
    expected[10:50, 20:60] = True
    assert masks.shape == (2, 80, 120) and masks[0].mean() == pytest.approx(400 / 2400, rel=0.05)
    assert (masks[0] != expected).sum() <= 4  # the corners
    assert decode_masks((), (80, 120)).shape == (0, 80, 120)
    small = np.zeros((4, 6), dtype=bool)
    small[1:2, 1:3] = True  # a tenth of the size: nine of ten rows are not needed
    assert (decode_masks(OBJECTS, (4, 6))[0] & small).sum() == 2 and decode_masks(OBJECTS, (4, 6))[0].sum() <= 6


def test_each_object_has_its_color() -> None:
    drawn = draw_result(GRAY, RESULT)
    assert drawn.shape == (720, 1080, 3)
    for number, place in enumerate([(15 * 18, 20 * 18), (25 * 18, 50 * 18)]):
        expected = 0.55 * 100 + 0.45 * np.array(instance_color(number))
        np.testing.assert_allclose(drawn[place], expected, atol=1)
    assert (drawn[2 * 18, 2 * 18] == 100).all()


def test_far_objects_are_dark() -> None:
    drawn = draw_result(GRAY, RESULT, "depth").astype(int)
    far, near = drawn[15 * 18, 20 * 18], drawn[25 * 18, 50 * 18]
    ends = colorize(np.array([[0.0, 1.0]]))[0].astype(int)
    assert np.abs(far - ends[0]).max() < 20 and np.abs(near - ends[1]).max() < 30 and near.sum() > far.sum() + 300
    unknown = PageResult("x", SIZE, (found(slice(0, 9), slice(0, 9), 0.3),), given=False)
    with pytest.raises(ValueError, match="does not predict depth"):
        draw_result(GRAY, unknown, "depth")


def test_without_objects_the_image_is_drawn() -> None:
    nothing = PageResult("x", SIZE, (), given=False)
    assert (draw_result(GRAY, nothing) == 100).all()
    assert to_coco(nothing, CLASSES)["annotations"] == []
