"""YOLO datasets: labels, images and what does not fit together."""

import numpy as np
import pytest
from PIL import Image
from reader_toy import (
    BOXES,
    FILES,
    HEIGHT,
    WIDTH,
    boxes_of,
    files_of,
    outline_line,
    require_boxes,
    rules_of,
    save_image,
    write_text,
    write_yolo,
    yolo_line,
)

from depthbox.io.annotations.readers.yolo import read_yolo
from depthbox.io.annotations.records import AnnotationError


def note(raw, rule):
    return next(note for note in raw.notes if note.rule == rule)


def test_content_is_that_of_coco(tmp_path):
    raw = read_yolo(write_yolo(tmp_path))
    require_boxes(raw, FILES)
    assert raw.kind == "yolo" and raw.image_root == tmp_path / "images/train" and not raw.notes
    assert raw.content["images"][1] == {"id": 2, "file_name": "001.jpg", "height": HEIGHT, "width": WIDTH}
    assert raw.content["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert [entry["id"] for entry in raw.content["annotations"]] == list(range(1, 10))
    first = raw.content["annotations"][0]
    assert first["area"] == pytest.approx(30 * 24, abs=0.1) and first["iscrowd"] == 0 and "segmentation" not in first


def test_boxes_are_those_of_supervision(tmp_path):
    supervision = pytest.importorskip("supervision")
    write_yolo(tmp_path)
    write_text(tmp_path / "labels/train/001.txt", yolo_line(1, (3.3, 7.7, 41.9, 0.6)) + "\n")
    found = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "images/train"), str(tmp_path / "labels/train"), str(tmp_path / "data.yaml")
    )
    expected = [box for path in sorted(found.image_paths) for box in found.annotations[path].xyxy.tolist()]
    boxes = [(x, y, x + w, y + h) for _, _, (x, y, w, h) in boxes_of(read_yolo(tmp_path))]
    assert np.allclose(boxes, expected, atol=2e-3)


def test_outlines_and_boxes_in_one_file(tmp_path):
    points = [(10, 12), (40, 12), (40, 36), (10, 30)]
    write_yolo(tmp_path, line=lambda k, box: yolo_line(k, box) if k else outline_line(0, points))
    raw = read_yolo(tmp_path)
    with_outline = [entry for entry in raw.content["annotations"] if "segmentation" in entry]
    assert len(with_outline) == 6 and len(raw.content["annotations"]) == 9
    assert np.allclose(with_outline[0]["segmentation"], [np.ravel(points)], atol=0.01)
    assert np.allclose(with_outline[0]["bbox"], (10, 12, 30, 24), atol=0.01)
    assert with_outline[0]["area"] == pytest.approx(630, abs=0.5)


def test_pose_boxes(tmp_path):
    yaml = "train: images/train\nkpt_shape: [2, 2]\nnames: [a, b]\n"
    write_yolo(tmp_path, line=lambda k, box: yolo_line(k, box) + " 0.01 0.02 0.99 0.98", yaml=yaml)
    require_boxes(read_yolo(tmp_path), FILES)


def test_confidences_are_noted(tmp_path):
    raw = read_yolo(write_yolo(tmp_path, line=lambda k, box: yolo_line(k, box) + " 0.87"))
    require_boxes(raw, FILES)
    assert rules_of(raw) == {"confidence_in_labels": 9} and raw.notes[0].kind == "contradiction"


def test_class_numbers_with_decimals(tmp_path):
    require_boxes(read_yolo(write_yolo(tmp_path, line=lambda k, box: yolo_line(f"{k}.000000", box))), FILES)


def test_labels_of_other_editors(tmp_path):
    write_yolo(tmp_path)
    for path in (tmp_path / "labels/train").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    require_boxes(read_yolo(tmp_path), FILES)


def test_pixels_are_refused_with_file_line_and_remedy(tmp_path):
    write_yolo(tmp_path, line=lambda k, box: f"{k} {box[0] + 5} {box[1] + 5} {box[2]} {box[3]}")
    with pytest.raises(AnnotationError, match=r"000\.txt line 1: 15 is not a share .* divided .*8 more lines"):
        read_yolo(tmp_path)


def test_a_class_without_a_name_is_refused(tmp_path):
    write_yolo(tmp_path, yaml="train: images/train\nnames: [a]\n")
    with pytest.raises(AnnotationError, match=r"000\.txt line 2: class 1 .* 1 classes; correct 'names'"):
        read_yolo(tmp_path)


def test_suffixes_of_any_case(tmp_path):
    names = ["0.JPG", "1.JPEG", "2.PNG", "3.bmp", "4.webp", "5.tif"]
    require_boxes(read_yolo(write_yolo(tmp_path, names=names)), names)


def test_subfolders(tmp_path):
    names = ["000.jpg", "day1/000.jpg", "day1/001.jpg", "day2/000.jpg"]
    write_yolo(tmp_path, names=names)
    write_text(tmp_path / "labels/train/day2/000.txt", yolo_line(1, BOXES[0]))
    raw = read_yolo(tmp_path)
    assert files_of(raw) == names
    assert [file for file, *_ in boxes_of(raw)].count("day2/000.jpg") == 1
    assert not raw.notes, "the same name in another folder is another image"


def test_photographs_turned_by_exif(tmp_path):
    write_yolo(tmp_path)
    for path in (tmp_path / "images/train").iterdir():
        save_image(path, (HEIGHT, WIDTH), orientation=6)  # stored lying on its side, shown WIDTH x HEIGHT
    raw = read_yolo(tmp_path)
    require_boxes(raw, FILES)
    assert {(image["width"], image["height"]) for image in raw.content["images"]} == {(WIDTH, HEIGHT)}


def test_labels_without_an_image_are_left_out(tmp_path):
    write_yolo(tmp_path, yaml="train: images/train\nval: images/val\nnames: [a, b]\n")
    write_yolo(tmp_path, "images/val", yaml=None)
    (tmp_path / "images/train/001.jpg").unlink()
    write_text(tmp_path / "labels/train/classes.txt", "a\nb\n")
    raw = read_yolo(tmp_path)
    require_boxes(raw, ["000.jpg", "002.jpg"])
    assert (
        rules_of(raw) == {"annotation_without_image": 1}
        and "001.txt" in note(raw, "annotation_without_image").examples[0]
    )


def test_images_without_a_label_file_count_as_empty(tmp_path):
    write_yolo(tmp_path, count=40)
    (tmp_path / "labels/train/003.txt").unlink()
    raw = read_yolo(tmp_path)
    assert len(files_of(raw)) == 40 and len(boxes_of(raw)) == 39 * 3
    found = note(raw, "image_without_annotation")
    assert (found.kind, found.count, found.examples) == ("contradiction", 1, ("003.jpg",))
    assert "empty label file" in found.remedy and "only" not in found.text
    for number in range(20):
        (tmp_path / f"labels/train/{number:03d}.txt").unlink(missing_ok=True)
    assert "only 20 of 40 images have one" in note(read_yolo(tmp_path), "image_without_annotation").text


def test_an_empty_label_file_is_an_image_without_objects(tmp_path):
    write_yolo(tmp_path)
    write_text(tmp_path / "labels/train/001.txt", "\n \n")
    raw = read_yolo(tmp_path)
    assert files_of(raw) == FILES and len(boxes_of(raw)) == 6 and not raw.notes


def test_images_that_cannot_be_read_are_left_out(tmp_path):
    write_yolo(tmp_path, names=["0.png", "1.png", "2.jpg", "3.jpg", "4.jpg", "5.png", "6.png"])
    images = tmp_path / "images/train"
    (images / "1.png").write_bytes((images / "1.png").read_bytes()[:3000])
    (images / "2.jpg").write_bytes((images / "2.jpg").read_bytes()[:2000])
    (images / "3.jpg").write_text("<html>not found</html>")
    (images / "4.jpg").write_bytes(b"")
    Image.open(images / "5.png").convert("L").save(images / "5.png")
    Image.open(images / "6.png").convert("RGBA").save(images / "6.png")
    raw = read_yolo(tmp_path)
    require_boxes(raw, ["0.png", "5.png", "6.png"])
    found = note(raw, "image_unreadable")
    assert found.count == 4 and "1.png" in found.examples[0] and "truncated" in found.examples[0]
    assert "3.jpg" in found.examples[2] and "4.jpg" in found.examples[3]


def test_a_set_without_any_readable_image_is_an_error(tmp_path):
    write_yolo(tmp_path, count=1)
    (tmp_path / "images/train/000.jpg").write_bytes(b"no image")
    with pytest.raises(AnnotationError, match=r"no image that can be used.*1 images that cannot be read.*000\.jpg"):
        read_yolo(tmp_path)


def test_a_set_without_any_label_is_an_error(tmp_path):
    write_yolo(tmp_path)
    for path in (tmp_path / "labels/train").iterdir():
        path.unlink()
    with pytest.raises(AnnotationError, match=r"there are no labels \(\.txt files\) in .*labels/train"):
        read_yolo(tmp_path)
    for path in (tmp_path / "images/train").iterdir():
        path.unlink()
    with pytest.raises(AnnotationError, match=r"there are no images in .*images/train"):
        read_yolo(tmp_path)


def test_two_images_of_one_stem_share_a_label(tmp_path):
    save_image(write_yolo(tmp_path) / "images/train/000.png")
    assert rules_of(read_yolo(tmp_path)) == {"images_share_label_file": 1}


def test_a_label_that_is_not_a_text(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "labels/train/000.txt").write_bytes(b"\xff\xfe\x00\x01\x02")
    with pytest.raises(AnnotationError, match=r"000\.txt"):
        read_yolo(tmp_path)


@pytest.mark.parametrize("place", ["images/train", "images/train/labels", "labels"])
def test_places_of_labels(tmp_path, place):
    write_yolo(tmp_path)
    files = sorted((tmp_path / "labels/train").iterdir())
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for path in files:
        path.rename(tmp_path / place / path.name)
    (tmp_path / "labels/train").rmdir()
    require_boxes(read_yolo(tmp_path), FILES)
