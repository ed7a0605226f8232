"""Numbers of generated COCO content."""

import pytest

from depthbox.data.coco_content import build_coco_content


def test_images_and_annotations_are_numbered_from_1_in_order() -> None:
    images = [{"file_name": "a"}, {"file_name": "b"}, {"file_name": "c"}]
    objects = [[{"area": 1}], [], [{"area": 2}, {"area": 3}]]
    content = build_coco_content({"split": "x"}, images, objects, [{"id": 1}])
    assert [(image["id"], image["file_name"]) for image in content["images"]] == [(1, "a"), (2, "b"), (3, "c")]
    assert [(a["id"], a["image_id"], a["area"]) for a in content["annotations"]] == [(1, 1, 1), (2, 3, 2), (3, 3, 3)]
    assert content["info"] == {"split": "x"} and content["categories"] == [{"id": 1}]


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        build_coco_content({}, [{"file_name": "a"}, {"file_name": "b"}], [[]], [])
