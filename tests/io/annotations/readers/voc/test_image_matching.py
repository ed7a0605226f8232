"""Pascal VOC: the images of annotation files, and sizes that differ from the annotation."""

import re

import numpy as np
import pytest
from reader_toy import (
    BOXES,
    FILES,
    HEIGHT,
    WIDTH,
    boxes_of,
    files_of,
    require_boxes,
    rules_of,
    save_image,
    voc_object,
    voc_text,
    write_edited_voc,
    write_text,
    write_voc,
)

from depthbox.io.annotations.readers.voc import read_voc
from depthbox.io.annotations.records import AnnotationError


@pytest.mark.parametrize(
    "filename", ["", "001.png", "001.JPG", r"C:\data\001.jpg", "../x/001.jpg", "001", "old name.jpg", "/etc/passwd"]
)
def test_the_image_of_the_same_stem(tmp_path, filename):
    raw = read_voc(write_edited_voc(tmp_path, lambda text: text.replace("<filename>001.jpg", f"<filename>{filename}")))
    require_boxes(raw, FILES)
    assert not raw.notes


def test_the_image_that_filename_names(tmp_path):
    write_voc(tmp_path)
    (tmp_path / "Annotations/001.xml").rename(tmp_path / "Annotations/zzz.xml")
    raw = read_voc(tmp_path)
    require_boxes(raw, ["000.jpg", "002.jpg", "001.jpg"])
    assert not raw.notes


def test_filename_of_another_image_is_noted(tmp_path):
    raw = read_voc(write_edited_voc(tmp_path, lambda text: text.replace("001.jpg", "002.jpg")))
    require_boxes(raw, FILES)
    assert rules_of(raw) == {"filename_names_other_image": 1} and raw.notes[0].kind == "contradiction"


def test_suffixes(tmp_path):
    write_voc(tmp_path, count=2)
    write_voc(tmp_path, count=1, first=2, suffix=".BMP")
    save_image(tmp_path / "JPEGImages/001.png")
    require_boxes(read_voc(tmp_path), ["000.jpg", "001.jpg", "002.BMP"])


def test_images_and_annotations_without_each_other_are_left_out(tmp_path):
    write_voc(tmp_path, count=5)
    (tmp_path / "JPEGImages/000.jpg").unlink()
    (tmp_path / "Annotations/004.xml").unlink()
    (tmp_path / "JPEGImages/001.jpg").write_bytes(b"no image")
    raw = read_voc(tmp_path)
    require_boxes(raw, ["002.jpg", "003.jpg"])
    assert rules_of(raw) == {"annotation_without_image": 1, "image_unreadable": 1, "image_without_annotation": 1}
    assert {note.kind for note in raw.notes} == {"left out"} and all(note.remedy for note in raw.notes)


def test_images_in_another_folder(tmp_path):
    write_voc(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(AnnotationError, match=r"no image that can be used.*3 annotated images .* give their folder"):
        read_voc(tmp_path, tmp_path / "other")
    with pytest.raises(AnnotationError, match=r"the folder .*gone does not exist; correct --images"):
        read_voc(tmp_path, tmp_path / "gone")
    with pytest.raises(AnnotationError, match=r"there are no \.xml files"):
        read_voc(tmp_path / "other")


def test_subfolders_keep_images_of_one_name_apart(tmp_path):
    for part in ("day1", "day2"):
        write_voc(tmp_path, count=1, images=f"JPEGImages/{part}", annotations=f"Annotations/{part}")
    text = voc_text("000.jpg", [voc_object("c", BOXES[0])])
    write_text(tmp_path / "Annotations/day2/000.xml", text)
    raw = read_voc(tmp_path)
    assert [entry[:2] for entry in boxes_of(raw)] == [("day1/000.jpg", name) for name in "aba"] + [
        ("day2/000.jpg", "c")
    ]
    (tmp_path / "JPEGImages/day1/000.jpg").unlink()
    raw = read_voc(tmp_path)
    assert files_of(raw) == ["day2/000.jpg"], "an image of another folder is not taken"
    assert rules_of(raw) == {"annotation_without_image": 1}


@pytest.mark.parametrize(("factor", "boxes"), [(0.5, BOXES), (2, BOXES), (1.37, BOXES)])
def test_resized_images(tmp_path, factor, boxes):
    write_voc(tmp_path)
    for path in (tmp_path / "JPEGImages").iterdir():
        save_image(path, (round(WIDTH * factor), round(HEIGHT * factor)))
    raw = read_voc(tmp_path)
    assert np.allclose([box for *_, box in boxes_of(raw)], np.array(boxes * 3) * factor, rtol=0.02)
    assert rules_of(raw) == {"resized_after_annotation": 3} and raw.notes[0].kind == "repaired"
    assert raw.content["images"][0]["width"] == round(WIDTH * factor)


def test_images_of_another_shape_are_left_out(tmp_path):
    write_voc(tmp_path)
    save_image(tmp_path / "JPEGImages/000.jpg", (WIDTH, HEIGHT * 2))
    save_image(tmp_path / "JPEGImages/001.jpg", (WIDTH, HEIGHT), orientation=6)
    raw = read_voc(tmp_path)
    require_boxes(raw, FILES[2:])
    assert rules_of(raw) == {"size_contradiction": 2}
    assert raw.notes[0].examples[1] == "001.xml: 96 x 64 pixels annotated, 64 x 96 in the image"


def test_a_wrong_size_is_used_if_the_boxes_prove_it(tmp_path):
    raw = read_voc(write_edited_voc(tmp_path, lambda text: text.replace("<width>96</width>", "<width>64</width>")))
    require_boxes(raw, FILES)
    assert rules_of(raw) == {"annotated_size_differs": 1} and raw.notes[0].kind == "contradiction"


@pytest.mark.parametrize("size", ["<width>0</width><height>0</height>", "<width>x</width>", ""])
def test_a_missing_size(tmp_path, size):
    raw = read_voc(write_edited_voc(tmp_path, lambda text: re.sub("<size>.*</size>", f"<size>{size}</size>", text)))
    require_boxes(raw, FILES)
    assert not raw.notes


def test_names_are_found_whatever_their_case_and_composition(tmp_path):
    write_text(tmp_path / "Annotations/A\u0308pfel 1.xml", voc_text("x"))
    save_image(tmp_path / "JPEGImages/\u00e4PFEL 1.JPG")
    require_boxes(read_voc(tmp_path), ["\u00e4PFEL 1.JPG"])
