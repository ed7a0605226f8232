"""Pascal VOC folders: boxes, images and what does not fit together."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from depthbox.io.annotations.readers.voc import read_voc
from depthbox.io.annotations.records import AnnotationError

sys.path.insert(0, str(Path(__file__).parents[1]))
from reader_toy import (
    BOXES,
    HEIGHT,
    WIDTH,
    boxes_of,
    files_of,
    require_boxes,
    rules_of,
    save_image,
    voc_object,
    voc_text,
    write_text,
    write_voc,
)

FILES = ["000.jpg", "001.jpg", "002.jpg"]


def edited(folder, change):
    """Write a dataset whose second file is changed."""
    return write_voc(folder, edit=lambda text, number: change(text) if number == 1 else text)


def test_content_is_that_of_coco(tmp_path):
    raw = read_voc(write_voc(tmp_path))
    require_boxes(raw, FILES, tolerance=0)
    assert raw.kind == "voc" and raw.image_root == tmp_path / "JPEGImages" and not raw.notes
    assert raw.content["images"][2] == {"id": 3, "file_name": "002.jpg", "height": HEIGHT, "width": WIDTH}
    assert raw.content["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    first = raw.content["annotations"][0]
    assert first == {"id": 1, "image_id": 1, "category_id": 1, "bbox": list(BOXES[0]), "area": 720, "iscrowd": 0}


def test_boxes_are_those_of_supervision(tmp_path):
    supervision = pytest.importorskip("supervision")
    rng = np.random.default_rng(0)

    def change(text, number):
        corners = np.sort(rng.integers(1, 60, (3, 2, 2)), axis=1).tolist()
        objects = [voc_object("a", (x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1)) for (x0, y0), (x1, y1) in corners]
        return voc_text(f"{number:03d}.jpg", objects)

    write_voc(tmp_path, edit=change)
    found = supervision.DetectionDataset.from_pascal_voc(str(tmp_path / "JPEGImages"), str(tmp_path / "Annotations"))
    expected = [box for path in sorted(found.image_paths) for box in found.annotations[path].xyxy.tolist()]
    assert [[x, y, x + w, y + h] for _, _, (x, y, w, h) in boxes_of(read_voc(tmp_path))] == expected


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        ("JPEGImages", "Annotations"),
        ("images", "annotations"),
        ("Images", "annots"),
        ("images", "xmls"),
        (".", "."),
        (".", "Annotations"),
        ("pictures", "Annotations"),
        ("images", "."),
    ],
)
def test_layouts(tmp_path, images, annotations):
    write_voc(tmp_path, images=images, annotations=annotations)
    raw = read_voc(tmp_path)
    assert [Path(name).name for name in files_of(raw)] == FILES
    assert len(boxes_of(raw)) == 9 and not raw.notes
    require_boxes(read_voc(tmp_path, tmp_path / images), FILES)


def test_the_folder_of_annotations_itself(tmp_path, monkeypatch):
    write_voc(tmp_path, images="images", annotations="annotations")
    require_boxes(read_voc(tmp_path / "annotations"), FILES)
    require_boxes(read_voc(tmp_path / "annotations", tmp_path / "images"), FILES)
    require_boxes(read_voc(tmp_path / "annotations/001.xml"), FILES[1:2])
    monkeypatch.chdir(tmp_path / "annotations")
    require_boxes(read_voc(Path()), FILES)


def test_few_fields(tmp_path):
    pattern = re.compile(r"<(size|difficult|truncated|pose|folder|filename)>.*?</\1>")
    require_boxes(read_voc(write_voc(tmp_path, edit=lambda text, number: pattern.sub("", text))), FILES)


def test_parts_are_not_objects(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    raw = read_voc(write_voc(tmp_path, edit=lambda text, number: text.replace("<bndbox>", part + "<bndbox>")))
    require_boxes(raw, FILES)
    assert [category["name"] for category in raw.content["categories"]] == ["a", "b"]


def test_decimals(tmp_path):
    raw = read_voc(edited(tmp_path, lambda text: text.replace("</xmin>", ".25</xmin>").replace("</ymax>", ".5</ymax>")))
    assert boxes_of(raw)[3][2] == [10.25, 12, 29.75, 24.5]


def test_exchanged_corners_are_put_in_order(tmp_path):
    def swap(text):
        return text.replace("xmin", "q").replace("xmax", "xmin").replace("q>", "xmax>")

    raw = read_voc(edited(tmp_path, swap))
    require_boxes(raw, FILES, tolerance=0)
    assert rules_of(raw) == {"coordinates_swapped": 3} and raw.notes[0].examples[0].startswith("001.xml, object 1")


def test_a_minimum_of_zero_stays_in_the_image(tmp_path):
    raw = read_voc(edited(tmp_path, lambda text: text.replace("<xmin>1<", "<xmin>0<")))
    require_boxes(raw, FILES)


def test_difficult_objects_are_ignored(tmp_path):
    raw = read_voc(edited(tmp_path, lambda text: text.replace("<difficult>0", "<difficult>1", 1)))
    require_boxes(raw, FILES)
    assert [entry.get("ignore") for entry in raw.content["annotations"]].index(1) == 3
    assert sum("ignore" in entry for entry in raw.content["annotations"]) == 1


def test_polygons(tmp_path):
    corners = "<polygon><x1>11</x1><y1>13</y1><x2>41</x2><y2>13</y2><x3>41</x3><y3>37</y3></polygon>"
    raw = read_voc(edited(tmp_path, lambda text: text.replace("<bndbox>", corners + "<bndbox>", 1)))
    require_boxes(raw, FILES, tolerance=0)
    outlined = [entry for entry in raw.content["annotations"] if "segmentation" in entry]
    assert [entry["segmentation"] for entry in outlined] == [[[10, 12, 40, 12, 40, 36]]] and outlined[0]["area"] == 360


def test_rotated_boxes(tmp_path):
    box = "<robndbox><cx>40.5</cx><cy>30.5</cy><w>20</w><h>10</h><angle>1.5707963267948966</angle></robndbox>"
    text = voc_text("000.jpg", [f"<object><name>a</name>{box}</object>"])
    write_voc(tmp_path, count=1, edit=lambda _, number: text)
    (entry,) = read_voc(tmp_path).content["annotations"]
    assert entry["bbox"] == [35, 20, 10, 20] and len(entry["segmentation"][0]) == 8


def test_files_that_cannot_be_read_are_left_out(tmp_path):
    write_voc(tmp_path, count=8)
    bad = {
        1: "<annotation>",
        2: "",
        3: "<html/>",
        4: '<!DOCTYPE a [<!ENTITY x "aaaa">]><annotation><filename>&x;</filename></annotation>',
        5: '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>',
        6: "<a>" * 50000,
        7: '<?xml version="1.0" encoding="nonsense"?><annotation/>',
    }
    for number, text in bad.items():
        write_text(tmp_path / f"Annotations/{number:03d}.xml", text)
    raw = read_voc(tmp_path)
    require_boxes(raw, FILES[:1])
    assert rules_of(raw) == {"annotation_file_unreadable": 7}
    examples = raw.notes[0].examples
    assert "is not valid XML" in examples[0] and "<html>" in examples[2] and "entities" in examples[3]
    (tmp_path / "Annotations/000.xml").unlink()
    with pytest.raises(AnnotationError, match=r"no image that can be used.*7 annotation files that cannot be read"):
        read_voc(tmp_path)


def test_objects_that_cannot_be_read_are_left_out(tmp_path):
    objects = [
        voc_object("a", BOXES[0]),
        "<object><name>a</name></object>",
        voc_object("", BOXES[0]),
        voc_object("a", BOXES[0]).replace("<xmax>40</xmax>", ""),
        voc_object("a", BOXES[0]).replace("<xmax>40<", "<xmax>nan<"),
        voc_object("a", BOXES[0]).replace("<xmax>40<", "<xmax>1e308<"),
        voc_object("a", BOXES[0]).replace("<xmax>40<", "<xmax>abc<"),
    ]
    raw = read_voc(write_voc(tmp_path, count=1, edit=lambda text, number: voc_text("000.jpg", objects)))
    assert boxes_of(raw) == [("000.jpg", "a", list(BOXES[0]))]
    assert rules_of(raw) == {"object_unreadable": 5, "object_without_class": 1}


@pytest.mark.parametrize(
    "filename", ["", "001.png", "001.JPG", r"C:\data\001.jpg", "../x/001.jpg", "001", "old name.jpg", "/etc/passwd"]
)
def test_the_image_of_the_same_stem(tmp_path, filename):
    raw = read_voc(edited(tmp_path, lambda text: text.replace("<filename>001.jpg", f"<filename>{filename}")))
    require_boxes(raw, FILES)
    assert not raw.notes


def test_the_image_that_filename_names(tmp_path):
    write_voc(tmp_path)
    (tmp_path / "Annotations/001.xml").rename(tmp_path / "Annotations/zzz.xml")
    raw = read_voc(tmp_path)
    require_boxes(raw, ["000.jpg", "002.jpg", "001.jpg"])
    assert not raw.notes


def test_filename_of_another_image_is_noted(tmp_path):
    raw = read_voc(edited(tmp_path, lambda text: text.replace("001.jpg", "002.jpg")))
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
    raw = read_voc(edited(tmp_path, lambda text: text.replace("<width>96</width>", "<width>64</width>")))
    require_boxes(raw, FILES)
    assert rules_of(raw) == {"annotated_size_differs": 1} and raw.notes[0].kind == "contradiction"


@pytest.mark.parametrize("size", ["<width>0</width><height>0</height>", "<width>x</width>", ""])
def test_a_missing_size(tmp_path, size):
    raw = read_voc(edited(tmp_path, lambda text: re.sub("<size>.*</size>", f"<size>{size}</size>", text)))
    require_boxes(raw, FILES)
    assert not raw.notes


def test_names_are_found_whatever_their_case_and_composition(tmp_path):
    write_text(tmp_path / "Annotations/A\u0308pfel 1.xml", voc_text("x"))
    save_image(tmp_path / "JPEGImages/\u00e4PFEL 1.JPG")
    require_boxes(read_voc(tmp_path), ["\u00e4PFEL 1.JPG"])


def test_a_byte_order_mark_and_blanks_before_the_text(tmp_path):
    write_voc(tmp_path, count=2)
    first, second = (tmp_path / "Annotations" / f"00{number}.xml" for number in (0, 1))
    first.write_bytes(b"\xef\xbb\xbf" + first.read_bytes())
    second.write_bytes(b'\n  <?xml version="1.0"?>' + second.read_bytes())
    require_boxes(read_voc(tmp_path), FILES[:2])
