"""Pascal VOC boxes in CSV tables."""

import pytest
from reader_toy import BOXES, HEIGHT, NAMES, WIDTH, boxes_of, require_boxes, rules_of, save_image, write_text

from depthbox.io.annotations.readers.voc import is_voc_table, read_voc_table, voc_table_splits
from depthbox.io.annotations.records import AnnotationError

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def row(filename, name, box):
    x, y, w, h = box
    return f"{filename},{WIDTH},{HEIGHT},{name},{x + 1},{y + 1},{x + w},{y + h}\n"


def write_table(folder, files, name="boxes.csv"):
    for file in files:
        save_image(folder / "images" / file)
    rows = [row(file, label, box) for file in files for label, box in zip(NAMES, BOXES, strict=True)]
    return write_text(folder / name, HEADER + "".join(rows))


def test_a_table_is_like_the_files(tmp_path):
    file = write_table(tmp_path, ["0.jpg", "1.jpg"])
    assert is_voc_table(file) and voc_table_splits(tmp_path) == ()
    for source in (file, tmp_path):
        raw = read_voc_table(source)
        require_boxes(raw, ["0.jpg", "1.jpg"], tolerance=0)
        assert raw.kind == "voc" and not raw.notes


def test_semicolons_marks_and_capitals(tmp_path):
    file = write_table(tmp_path, ["0.jpg"])
    text = file.read_text().replace("xmin", "XMin").replace(",", ";").replace("\n", "\r\n")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    require_boxes(read_voc_table(file), ["0.jpg"])


def test_a_table_for_each_split(tmp_path):
    write_table(tmp_path / "train", ["0.jpg"], "_annotations.csv")
    table = write_table(tmp_path / "valid", ["1.jpg"], "_annotations.csv")
    write_text(table, table.read_text() + row("1.jpg", "c", BOXES[0]))
    assert voc_table_splits(tmp_path) == ("train", "val")
    train, val = read_voc_table(tmp_path), read_voc_table(tmp_path, split="val")
    require_boxes(train, ["0.jpg"])
    assert boxes_of(val)[-1] == ("1.jpg", "c", list(BOXES[0]))
    assert train.content["categories"] == val.content["categories"]
    assert read_voc_table(tmp_path, split="test") is None


def test_what_cannot_be_used_is_noted(tmp_path):
    file = write_table(tmp_path, ["0.jpg"])
    more = "gone.jpg,96,64,a,1,1,2,2\n0.jpg,96,64,,1,1,2,2\n0.jpg,96,64,a,1,1,x,2\n\n0.jpg,96\n"
    write_text(file, file.read_text() + more)
    raw = read_voc_table(file)
    require_boxes(raw, ["0.jpg"])
    assert rules_of(raw) == {"object_without_class": 2, "object_unreadable": 1, "annotation_without_image": 1}
    unreadable = next(note for note in raw.notes if note.rule == "object_unreadable")
    assert unreadable.examples == ("0.jpg, line 7",)


def test_resized_images(tmp_path):
    file = write_table(tmp_path, ["0.jpg"])
    save_image(tmp_path / "images/0.jpg", (WIDTH * 2, HEIGHT * 2))
    raw = read_voc_table(file)
    assert boxes_of(raw)[0][2] == [2 * value for value in BOXES[0]]
    assert rules_of(raw) == {"resized_after_annotation": 1}


def test_broken_tables(tmp_path):
    assert not is_voc_table(write_text(tmp_path / "a.csv", "a,b\n1,2\n"))
    assert not is_voc_table(tmp_path / "gone.csv")
    with pytest.raises(AnnotationError, match=r"no column\(s\) filename, class"):
        read_voc_table(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(HEADER.encode() + b"\xff\xfe,1\n")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_voc_table(tmp_path / "a.csv")
