"""CVAT for images 1.1."""

import numpy as np
import pytest
from reader_toy import HEIGHT, WIDTH, boxes_of, files_of, rules_of, save_image, write_text

from depthbox.io.annotations.readers.cvat import cvat_splits, find_cvat_file, read_cvat
from depthbox.io.annotations.records import AnnotationError

BOX = '<box label="a" source="manual" occluded="0" xtl="1.00" ytl="2.00" xbr="30.00" ybr="40.00" z_order="0"></box>'
META = (
    "<meta><task><labels><label><name>zebra</name><attributes/></label><label><name>a</name></label></labels>"
    "</task></meta>"
)


def image(name, shapes=BOX, more=f'width="{WIDTH}" height="{HEIGHT}"'):
    return f'<image id="0" name="{name}" {more}>{shapes}</image>'


def write_cvat(folder, *entries, meta=META, files=("000.jpg",), place="images"):
    for name in files:
        save_image(folder / place / name)
    body = f"<version>1.1</version>{meta}{''.join(entries)}"
    text = f'<?xml version="1.0" encoding="utf-8"?><annotations>{body}</annotations>'
    return write_text(folder / "annotations.xml", text)


def only(tmp_path, shape):
    """Read the single annotation of one shape."""
    raw = read_cvat(write_cvat(tmp_path, image("000.jpg", shape)))
    (entry,) = raw.content["annotations"]
    return entry


def test_content_is_that_of_coco(tmp_path):
    file = write_cvat(tmp_path, image("000.jpg"))
    for source, images in ((file, None), (tmp_path, None), (file, tmp_path / "images")):
        raw = read_cvat(source, images)
        assert boxes_of(raw) == [("000.jpg", "a", [1, 2, 29, 38])]
        assert raw.kind == "cvat" and raw.image_root == tmp_path / "images" and not raw.notes
    assert raw.content["categories"] == [{"id": 1, "name": "zebra"}, {"id": 2, "name": "a"}], "the project's order"
    assert "segmentation" not in raw.content["annotations"][0] and cvat_splits(file) == ()


def test_classes_are_sorted_without_a_list_of_labels(tmp_path):
    shapes = BOX + BOX.replace('"a"', '"Z"') + BOX.replace('"a"', '"k"')
    raw = read_cvat(write_cvat(tmp_path, image("000.jpg", shapes), meta=""))
    assert [category["name"] for category in raw.content["categories"]] == ["Z", "a", "k"]
    assert [name for _, name, _ in boxes_of(raw)] == ["a", "Z", "k"]


def test_polygons(tmp_path):
    entry = only(tmp_path, '<polygon label="a" points="10.5,20;30,20;30,50;10.5,50"/>')
    assert entry["segmentation"] == [[10.5, 20, 30, 20, 30, 50, 10.5, 50]]
    assert entry["bbox"] == [10.5, 20, 19.5, 30] and entry["area"] == 585


def test_rotated_boxes_become_polygons(tmp_path):
    entry = only(
        tmp_path, BOX.replace("xtl", 'rotation="90.0" xtl').replace("30.00", "21.00").replace("40.00", "42.00")
    )
    assert entry["bbox"] == [-9, 12, 40, 20] and np.allclose(entry["segmentation"], [[31, 12, 31, 32, -9, 32, -9, 12]])
    entry = only(tmp_path, BOX.replace("xtl", 'rotation="30" xtl'))
    assert np.allclose(
        entry["segmentation"][0][:2], (15.5 - 14.5 * 0.8660254 + 19 * 0.5, 21 - 14.5 * 0.5 - 19 * 0.8660254), atol=0.01
    )
    assert entry["area"] == pytest.approx(29 * 38, rel=1e-3), "clockwise: the upper left corner moves up and right"


def test_ellipses_become_polygons(tmp_path):
    entry = only(tmp_path, '<ellipse label="a" cx="40" cy="30" rx="20" ry="10"/>')
    assert entry["bbox"] == [20, 20, 40, 20] and entry["area"] == pytest.approx(np.pi * 200, rel=0.01)


def test_masks(tmp_path):
    from pycocotools import mask as coco_mask

    part = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
    entry = only(tmp_path, '<mask label="a" rle="1, 2, 1, 2, 5, 1" left="7" top="60" width="4" height="3"/>')
    full = np.zeros((HEIGHT, WIDTH), bool)
    full[60:63, 7:11] = part
    rle = coco_mask.frPyObjects(entry["segmentation"], HEIGHT, WIDTH)
    assert (coco_mask.decode(rle) == full).all()
    assert entry["bbox"] == [7, 60, 4, 3] and entry["area"] == 5 and entry["iscrowd"] == 0


def test_masks_are_cropped_to_the_image(tmp_path):
    entry = only(tmp_path, f'<mask label="a" rle="0, 16" left="-2" top="{HEIGHT - 2}" width="4" height="4"/>')
    assert entry["bbox"] == [0, HEIGHT - 2, 2, 2] and entry["segmentation"]["counts"][0] == HEIGHT - 2


@pytest.mark.parametrize(
    "shape",
    [
        '<mask label="a" rle="1,2" left="0" top="0" width="4" height="3"/>',
        '<mask label="a" rle="" left="0" top="0" width="4" height="3"/>',
        '<mask label="a" rle="0,12" left="900" top="0" width="4" height="3"/>',
        '<mask label="a" rle="-1,13" left="0" top="0" width="4" height="3"/>',
        '<mask label="a" rle="0,1e6" left="0" top="0" width="99999" height="99999"/>',
        '<mask label="a" left="0" top="0" width="0" height="3"/>',
        '<box label="a" xtl="1" ytl="x" xbr="3" ybr="4"/>',
        '<box label="a" xtl="1" ytl="nan" xbr="3" ybr="4"/>',
        '<box label="a"/>',
        '<polygon label="a" points="1,2;3,4"/>',
        '<points label="a" points="1,2;3"/>',
        '<points label="a" points=""/>',
        '<polygon label="a" points="1,2;3;4,5"/>',
        '<polygon label="a"/>',
        '<ellipse label="a" cx="1"/>',
    ],
)
def test_broken_shapes_are_left_out(tmp_path, shape):
    raw = read_cvat(write_cvat(tmp_path, image("000.jpg", BOX + shape)))
    assert len(boxes_of(raw)) == 1 and rules_of(raw) == {"object_unreadable": 1}


def test_other_shapes_are_left_out(tmp_path):
    shapes = '<skeleton label="a"/><polyline label="a" points="1,2;3,4"/><cuboid label="a"/><tag label="a"/>'
    raw = read_cvat(write_cvat(tmp_path, image("000.jpg", shapes + BOX.replace('"a"', '""') + BOX)))
    assert len(boxes_of(raw)) == 1
    assert rules_of(raw) == {"shape_unsupported": 3, "image_tags": 1, "object_without_class": 1}


def test_points_are_objects_beside_boxes(tmp_path):
    shapes = '<points label="a" points="10.25,20"/><points label="b" points="1,2;3,4.5"/><points points="1,2"/>' + BOX
    raw = read_cvat(write_cvat(tmp_path, image("000.jpg", shapes)))
    one, several, box = raw.content["annotations"]
    assert (one["point_coords"], one["point_labels"], one["area"]) == ([[10.25, 20]], [1], 0)
    assert (several["point_coords"], several["point_labels"]) == ([[1, 2], [3, 4.5]], [1, 1])
    assert "bbox" not in one and "bbox" not in several
    assert box["bbox"] == [1, 2, 29, 38] and "point_coords" not in box
    assert [entry["name"] for entry in raw.content["categories"]] == ["zebra", "a", "b"]
    assert rules_of(raw) == {"points_of_one_object": 1, "object_without_class": 1}


def test_points_of_resized_images_are_scaled(tmp_path):
    more = f'width="{2 * WIDTH}" height="{2 * HEIGHT}"'
    entry = image("000.jpg", '<points label="a" points="180,20;41,100.5"/>', more)
    raw = read_cvat(write_cvat(tmp_path, entry))
    assert raw.content["annotations"][0]["point_coords"] == [[90, 10], [20.5, 50.25]]
    assert "resized_after_annotation" in rules_of(raw)


def test_images_without_objects_are_kept(tmp_path):
    raw = read_cvat(write_cvat(tmp_path, image("000.jpg", ""), image("001.jpg"), files=("000.jpg", "001.jpg")))
    assert files_of(raw) == ["000.jpg", "001.jpg"] and len(boxes_of(raw)) == 1


def test_subfolders_and_missing_images(tmp_path):
    names = ("day1/000.jpg", "day2/000.jpg", "gone/000.jpg")
    file = write_cvat(tmp_path, *(image(name) for name in names), files=names[:2])
    raw = read_cvat(file)
    assert files_of(raw) == list(names[:2]) and rules_of(raw) == {"annotation_without_image": 1}
    write_cvat(tmp_path / "flat", image(r"images\000.JPG"))
    assert files_of(read_cvat(tmp_path / "flat")) == ["000.jpg"]
    with pytest.raises(AnnotationError, match="give their folder with --images"):
        read_cvat(write_cvat(tmp_path / "none", image("000.jpg"), files=()))


def test_resized_images(tmp_path):
    file = write_cvat(tmp_path, image("000.jpg"))
    save_image(tmp_path / "images/000.jpg", (WIDTH * 2, HEIGHT * 2))
    raw = read_cvat(file)
    assert boxes_of(raw)[0][2] == [2, 4, 58, 76] and rules_of(raw) == {"resized_after_annotation": 1}
    mask = '<mask label="a" rle="0,4" left="0" top="0" width="2" height="2"/>'
    file = write_cvat(tmp_path / "masks", image("000.jpg", mask), image("001.jpg"), files=("000.jpg", "001.jpg"))
    save_image(tmp_path / "masks/images/000.jpg", (WIDTH * 2, HEIGHT * 2))
    raw = read_cvat(file)
    assert files_of(raw) == ["001.jpg"] and rules_of(raw) == {"size_contradiction": 1}


def test_an_image_listed_twice(tmp_path):
    raw = read_cvat(write_cvat(tmp_path, image("000.jpg"), image("000.jpg")))
    assert files_of(raw) == ["000.jpg"] and len(boxes_of(raw)) == 2
    assert rules_of(raw) == {"image_annotated_twice": 1}


def test_subsets_are_splits(tmp_path):
    subsets = {"000.jpg": "Train", "001.jpg": "Validation"}
    entries = [image(name, BOX, f'subset="{subset}"') for name, subset in subsets.items()]
    file = write_cvat(tmp_path, *entries, files=tuple(subsets))
    assert cvat_splits(file) == ("train", "val")
    assert files_of(read_cvat(file)) == ["000.jpg"] and files_of(read_cvat(file, split="val")) == ["001.jpg"]
    assert read_cvat(file, split="test") is None
    file = write_cvat(tmp_path / "one", image("000.jpg", BOX, 'subset="default"'))
    assert cvat_splits(file) == () and files_of(read_cvat(file, split="val")) == ["000.jpg"]


def test_videos_are_refused_with_the_right_export(tmp_path):
    file = write_cvat(tmp_path, '<track id="0" label="a"><box frame="0" xtl="1" ytl="2" xbr="3" ybr="4"/></track>')
    with pytest.raises(AnnotationError, match=r"CVAT for video.*export the job as 'CVAT for images 1\.1'"):
        read_cvat(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations>", "not valid XML"),
        ("", "not valid XML"),
        ("<annotation/>", "is not CVAT"),
        ("<annotations/>", "has no annotated images"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', "entities"),
    ],
)
def test_broken_files_are_named(tmp_path, text, message):
    file = write_text(tmp_path / "annotations.xml", text)
    with pytest.raises(AnnotationError, match=message):
        read_cvat(file)


def test_the_file_of_a_folder(tmp_path):
    assert find_cvat_file(tmp_path) is None
    with pytest.raises(AnnotationError, match=r"has no \.xml file"):
        read_cvat(tmp_path)
    write_text(tmp_path / "a.xml", "<annotations/>")
    assert find_cvat_file(tmp_path) == tmp_path / "a.xml"
    write_text(tmp_path / "annotations.xml", "<annotations/>")
    assert find_cvat_file(tmp_path) == tmp_path / "annotations.xml"
