"""Assembly of COCO content: ids, sizes that contradict the image, classes, and errors that name the cause."""

import numpy as np
import pytest
from reader_toy import HEIGHT, WIDTH, rules_of, save_image, write_text

from depthbox.io.annotations.readers.builder import ContentBuilder, compare_sizes
from depthbox.io.annotations.readers.shapes import LabeledShape, box_shape, mask_shape, polygon_shape
from depthbox.io.annotations.records import AnnotationError


def box(x0, y0, x1, y1, label="a", **extra):
    return LabeledShape(label, box_shape(x0, y0, x1, y1), extra)


def mask(height, width):
    return LabeledShape("a", mask_shape(np.ones((2, 2), bool), 0, 0, height, width))


@pytest.fixture
def builder(tmp_path):
    save_image(tmp_path / "0.jpg")
    save_image(tmp_path / "1.jpg")
    return ContentBuilder(tmp_path / "source.xml", "voc", tmp_path)


def test_ids_count_from_1_in_the_order_of_addition(builder):
    builder.add("1.jpg", [box(1, 2, 4, 6, "b"), box(0, 0, 9, 9, "a")], "first")
    builder.add("0.jpg", [box(5, 5, 7, 8, "b", iscrowd=1, ignore=1)], "second")
    raw = builder.finish()
    sides = {"height": HEIGHT, "width": WIDTH}
    assert raw.content["images"] == [{"id": 1, "file_name": "1.jpg", **sides}, {"id": 2, "file_name": "0.jpg", **sides}]
    objects = raw.content["annotations"]
    assert [(entry["id"], entry["image_id"], entry["category_id"]) for entry in objects] == [
        (1, 1, 2), (2, 1, 1), (3, 2, 2)
    ]  # fmt: skip
    assert objects[0] == {
        "id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0
    }  # fmt: skip
    assert objects[2]["iscrowd"] == 1 and objects[2]["ignore"] == 1, "further keys take precedence"
    assert not raw.notes and (raw.kind, raw.source.name) == ("voc", "source.xml")


def test_only_outlines_have_a_segmentation(builder):
    outline = LabeledShape("a", polygon_shape([(1, 1), (9, 1), (9, 5)]))
    builder.add("0.jpg", [box(1, 2, 4, 6), outline], "origin")
    boxed, outlined = builder.finish().content["annotations"]
    assert "segmentation" not in boxed and outlined["segmentation"] == [[1, 1, 9, 1, 9, 5]]
    assert outlined["area"] == 16 and outlined["bbox"] == [1, 1, 8, 4]


def test_classes_given_by_number_keep_their_order(builder):
    builder.add("0.jpg", [box(1, 2, 4, 6, 7), box(1, 2, 4, 6, 3)], "origin")
    raw = builder.finish({7: "zebra", 3: "ant", 5: "unused"})
    assert [(c["id"], c["name"]) for c in raw.content["categories"]] == [(1, "zebra"), (2, "ant"), (3, "unused")]
    assert [entry["category_id"] for entry in raw.content["annotations"]] == [1, 2]


def test_further_names_are_classes_without_objects(builder):
    builder.add("0.jpg", [box(1, 2, 4, 6, "m")], "origin")
    raw = builder.finish(names=["z", "a", "m"])
    assert [category["name"] for category in raw.content["categories"]] == ["a", "m", "z"]
    assert raw.content["annotations"][0]["category_id"] == 2


def test_an_image_of_two_entries_is_listed_once_with_all_objects(builder):
    builder.add("0.jpg", [box(1, 2, 4, 6)], "a.xml")
    builder.add("0.jpg", [box(5, 6, 9, 9)], "b.xml")
    raw = builder.finish()
    assert len(raw.content["images"]) == 1 and len(raw.content["annotations"]) == 2
    assert rules_of(raw) == {"image_annotated_twice": 1} and raw.notes[0].examples == ("0.jpg (b.xml)",)


def test_sizes_are_read_once_per_image(builder, tmp_path):
    builder.add("0.jpg", [], "origin")
    (tmp_path / "0.jpg").unlink()
    assert builder.measure("0.jpg") == (HEIGHT, WIDTH)
    assert builder.measure("gone.jpg") is None and builder.notes.count("image_unreadable") == 0
    (note,) = builder.finish().notes
    assert note.rule == "image_unreadable" and "gone.jpg does not exist" in note.examples[0]


@pytest.mark.parametrize("factor", [(2, 2), (0.5, 0.5), (3, 3)])
def test_objects_of_a_resized_image_are_scaled_with_it(builder, factor):
    stated = (int(HEIGHT * factor[1]), int(WIDTH * factor[0]))
    original = (10, 12, 40, 36)
    x0, y0, x1, y1 = (value * factor[i % 2] for i, value in enumerate(original))
    builder.add("0.jpg", [box(x0, y0, x1, y1, note="kept")], "a.xml", stated)
    raw = builder.finish()
    assert raw.content["annotations"][0]["bbox"] == pytest.approx([10, 12, 30, 24], abs=2e-3)
    assert raw.content["annotations"][0]["note"] == "kept" and raw.content["images"][0]["height"] == HEIGHT
    assert rules_of(raw) == {"resized_after_annotation": 1}
    assert raw.notes[0].examples[0] == (
        f"a.xml: {stated[1]} x {stated[0]} pixels annotated, {WIDTH} x {HEIGHT} in the image"
    )


def test_a_wrong_stated_size_is_ignored_if_the_boxes_fit_only_the_image(builder):
    builder.add("0.jpg", [box(1, 2, 90, 60)], "a.xml", (30, 40))
    raw = builder.finish()
    assert raw.content["annotations"][0]["bbox"] == [1, 2, 89, 58] and rules_of(raw) == {"annotated_size_differs": 1}


def test_an_image_whose_size_contradicts_its_objects_is_left_out(builder):
    builder.add("0.jpg", [box(1, 2, 20, 30)], "a.xml", (500, 300))
    builder.add("1.jpg", [box(1, 2, 20, 30)], "b.xml")
    raw = builder.finish()
    assert [image["file_name"] for image in raw.content["images"]] == ["1.jpg"]
    assert rules_of(raw) == {"size_contradiction": 1} and raw.notes[0].kind == "left out"


@pytest.mark.parametrize(
    ("objects", "stated", "size", "relation"),
    [
        ([], (64, 96), (64, 96), "same"),
        ([], (32, 48), (64, 96), "resized"),
        ([], (333, 500), (666, 1000), "resized"),
        ([], (333, 500), (667, 1000), "resized"),
        ([], (64, 96), (96, 64), "unknown"),
        ([box(0, 0, 48, 32)], (32, 48), (64, 96), "resized"),
        ([box(0, 0, 49, 33)], (32, 48), (64, 96), "resized"),
        ([box(0, 0, 60, 33)], (32, 48), (64, 96), "file"),
        ([box(0, 0, 97.5, 30)], (32, 48), (64, 96), "unknown"),
        ([box(0, 0, 50, 90)], (64, 96), (96, 64), "file"),
        ([box(0, 0, 50, 50)], (64, 96), (96, 64), "unknown"),
        ([mask(32, 48)], (32, 48), (64, 96), "unknown"),
        ([mask(64, 96)], (64, 96), (64, 96), "same"),
    ],
)
def test_relation_of_a_stated_size_to_the_image(objects, stated, size, relation):
    assert compare_sizes(objects, stated, size) == relation


def test_a_set_without_images_names_the_remedy(builder, tmp_path):
    with pytest.raises(AnnotationError, match=r"source\.xml has no annotated images; correct the path, or give --imag"):
        builder.finish()
    write_text(tmp_path / "broken.jpg", "<html>")
    builder.add("broken.jpg", [box(0, 0, 1, 1)], "a.xml")
    builder.add("missing.jpg", [box(0, 0, 1, 1)], "a.xml")
    with pytest.raises(AnnotationError) as caught:
        builder.finish()
    text = str(caught.value)
    assert text.startswith(
        f"{tmp_path / 'source.xml'} has no image that can be used with those in {tmp_path}: 2 images"
    )
    assert "broken.jpg is an HTML page" in text and text.endswith("Replace these files, or remove them.")
