"""Pasted boxes: accepted forms, clipping, and error messages."""

import json
import time

import pytest

from depthbox.app.boxes import make_box, parse_boxes

NAMES = ("cat", "traffic light")
SIZE = (100, 200)  # height, width
COCO = {
    "images": [{"id": 7, "file_name": "a/one.jpg"}, {"id": 8, "file_name": "two.jpg"}],
    "categories": [{"id": 3, "name": "traffic light"}, {"id": 5, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 40]},
        {"id": 2, "image_id": 8, "category_id": 5, "bbox": [5, 6, 7, 8]},
        {"id": 3, "image_id": 7, "category_id": 5, "bbox": [50, 60, 10, 10]},
    ],
}


def found(text: str, file_name: str = "one.jpg") -> list[tuple[tuple[float, ...], int]]:
    return [(box.corners, box.label) for box in parse_boxes(text, NAMES, SIZE, file_name=file_name)]


@pytest.mark.parametrize(
    "text",
    [
        "10 20 30 40 cat\n1.5 2 3 4 traffic light",
        "10, 20, 30, 40, cat\n\n# a comment\n1.5,2,3,4,traffic light\n",
        "10;20;30;40;cat\r\n\t1.5\t2\t3\t4\t'traffic light'",
        "[10, 20, 30, 40] cat,\n[1.5, 2, 3, 4] traffic light",
        '[{"bbox": [10, 20, 30, 40]}, {"bbox": [1.5, 2, 3, 4], "category": "traffic light"}]',
        '{"annotations": [{"bbox": [10, 20, 30, 40]}, {"bbox": [1.5, 2, 3, 4], "label": "traffic light"}]}',
    ],
)
def test_the_same_boxes_in_many_forms(text: str) -> None:
    assert found(text) == [((10, 20, 40, 60), 0), ((1.5, 2, 4.5, 6), 1)]


def test_lists_without_classes() -> None:
    assert found("[[10, 20, 30, 40], [1, 2, 3, 4]]") == [((10, 20, 40, 60), 0), ((1, 2, 4, 6), 0)]
    assert found("[10, 20, 30, 40]") == found("10 20 30 40") == [((10, 20, 40, 60), 0)]
    assert found("[1, 2, 3, 4],\n[1, 2, 3, 5]") == [((1, 2, 4, 6), 0), ((1, 2, 4, 7), 0)]
    assert [box.label for box in parse_boxes("1 2 3 4\n1 2 3 4 cat", NAMES, SIZE, label=1)] == [1, 0]


def test_the_boxes_of_the_image_are_taken_from_a_coco_json() -> None:
    assert found(json.dumps(COCO)) == [((1, 2, 31, 42), 1), ((50, 60, 60, 70), 0)]
    assert found(json.dumps(COCO), "two.jpg") == [((5, 6, 12, 14), 0)]
    with pytest.raises(ValueError, match=r"has 2 images, 0 of them with the name 'three\.jpg'"):
        found(json.dumps(COCO), "three.jpg")
    alone = COCO | {"annotations": COCO["annotations"][1:2]}
    assert found(json.dumps(alone), "three.jpg") == [((5, 6, 12, 14), 0)]  # the only annotated image


def test_boxes_are_clipped_to_the_image() -> None:
    assert found("-10 -5 30 20\n190 90 1e3 1e3") == [((0, 0, 20, 15), 0), ((190, 90, 200, 100), 0)]
    assert parse_boxes("-10 -5 30 20", NAMES, SIZE)[0].sides == [0, 0, 20, 15]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no box"),
        ("# nothing\n\n", "contains no box"),
        ("[]", "contains no box"),
        ("1 2 3 4\n\n5 50 20", "^line 3: '5 50 20' is not a box; write x y width height"),
        ("cat 1 2 3 4", "^line 1: 'cat 1 2 3 4' is not a box"),
        ("1 2 0 4", "^line 1: the box 1 2 0 4 has no area"),
        ("1 2 3 -4", "has no area"),
        ("1 2 3 4\n500 2 3 4", "^line 2: less than half a pixel of the box 500 2 3 4 is inside the image of 200 x 100"),
        ("1 2 3 4 dog", "^line 1: the network has no class 'dog'; its classes: cat, traffic light$"),
        ("1 2 3 4 5", "no class '5'"),
        ("[[1, 2, 3, 4], [1, 2, 3]]", "^box 2: a box must be four numbers"),
        ('[[1, 2, 3, "4"]]', "^box 1: a box must be four numbers"),
        ("[[1, 2, NaN, 4]]", "^box 1: a box must be four numbers"),
        ("[1e999, 2, 3, 4]", "^box 1: a box must be four numbers"),
        ('[{"box": [1, 2, 3, 4]}]', "^box 1 is neither a list"),
        ('[[1, 2, 3, 4], "x"]', "^box 2 is neither a list"),
        ('{"annotations": 3}', "not a list of objects"),
        ('{"annotations": [{"bbox": [1, 2, 3, 4]}], "categories": [1]}', "no id and name"),
        ('{"annotations": [', "^the JSON text cannot be parsed: .*line 1"),
        ('{"shapes": []}', "^box 1 is neither a list"),
        ("[" * 100_000, "cannot be parsed"),
        (f"[[1, 2, 3, 1{'0' * 400}]]", "^box 1: a box must be four numbers"),
        ("[[true, 2, 3, 4]]", "^box 1: a box must be four numbers"),
        (
            '{"annotations": [{"image_id": [1]}, {"image_id": {}}], "images": 5}',
            "images of the COCO JSON file are not a",
        ),
        (
            '{"annotations": [{"image_id": 1}, {"image_id": 2}], "images": ["a"]}',
            "images of the COCO JSON file are not a",
        ),
        ('[{"bbox": [1, 2, 3], "category_id": [1]}]', "^box 1: a box must be four numbers"),
        (f"1 2 3 4 {'d' * 900}", "^line 1: the network has no class 'd{40}'; its"),
        (f"1 2 3 4 {'d' * 2000}", "^line 1: '1 2 3 4 d{32}' is not a box"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_boxes(text, NAMES, SIZE)


def test_long_numbers_do_not_take_long() -> None:
    digits = "1" * 240
    for text in (f"{digits} {digits} {digits} {digits}|", "1" * 900_000, f"1{' ' * 900_000}|", "[" + "1" * 900_000):
        start = time.monotonic()
        with pytest.raises(ValueError, match=r"is not a box|cannot be parsed"):
            parse_boxes(text, NAMES, SIZE)
        assert time.monotonic() - start < 2


def test_sides_must_be_numbers() -> None:
    for sides in ([1, 2, 3], [1, 2, 3, None], [1, 2, float("inf"), 4], [True, 2, 3, "4"]):
        with pytest.raises(ValueError, match="here: a box must be four numbers"):
            make_box("here", sides, None, NAMES, SIZE)
