"""Pascal VOC folders: layouts, objects and files that cannot be read."""

import re
from pathlib import Path

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
    voc_object,
    voc_text,
    write_edited_voc,
    write_text,
    write_voc,
)

from depthbox.io.annotations.readers.voc import read_voc
from depthbox.io.annotations.records import AnnotationError


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
    raw = read_voc(
        write_edited_voc(tmp_path, lambda text: text.replace("</xmin>", ".25</xmin>").replace("</ymax>", ".5</ymax>"))
    )
    assert boxes_of(raw)[3][2] == [10.25, 12, 29.75, 24.5]


def test_exchanged_corners_are_put_in_order(tmp_path):
    def swap(text):
        return text.replace("xmin", "q").replace("xmax", "xmin").replace("q>", "xmax>")

    raw = read_voc(write_edited_voc(tmp_path, swap))
    require_boxes(raw, FILES, tolerance=0)
    assert rules_of(raw) == {"coordinates_swapped": 3} and raw.notes[0].examples[0].startswith("001.xml, object 1")


def test_a_minimum_of_zero_stays_in_the_image(tmp_path):
    raw = read_voc(write_edited_voc(tmp_path, lambda text: text.replace("<xmin>1<", "<xmin>0<")))
    require_boxes(raw, FILES)


def test_difficult_objects_are_ignored(tmp_path):
    raw = read_voc(write_edited_voc(tmp_path, lambda text: text.replace("<difficult>0", "<difficult>1", 1)))
    require_boxes(raw, FILES)
    assert [entry.get("ignore") for entry in raw.content["annotations"]].index(1) == 3
    assert sum("ignore" in entry for entry in raw.content["annotations"]) == 1


def test_polygons(tmp_path):
    corners = "<polygon><x1>11</x1><y1>13</y1><x2>41</x2><y2>13</y2><x3>41</x3><y3>37</y3></polygon>"
    raw = read_voc(write_edited_voc(tmp_path, lambda text: text.replace("<bndbox>", corners + "<bndbox>", 1)))
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


def test_a_byte_order_mark_and_blanks_before_the_text(tmp_path):
    write_voc(tmp_path, count=2)
    first, second = (tmp_path / "Annotations" / f"00{number}.xml" for number in (0, 1))
    first.write_bytes(b"\xef\xbb\xbf" + first.read_bytes())
    second.write_bytes(b'\n  <?xml version="1.0"?>' + second.read_bytes())
    require_boxes(read_voc(tmp_path), FILES[:2])
