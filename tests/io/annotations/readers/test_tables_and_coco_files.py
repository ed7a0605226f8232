"""CSV tables read line by line, and the COCO JSON files of a folder by their split."""

import json
from pathlib import Path

import pytest
from reader_toy import write_text

from depthbox.io.annotations.readers import coco_files
from depthbox.io.annotations.readers.coco_files import find_coco_files, is_coco_file, split_of
from depthbox.io.annotations.readers.rules import shorten
from depthbox.io.annotations.readers.tables import peek_columns, read_rows
from depthbox.io.annotations.records import AnnotationError

COCO = json.dumps({"images": [], "annotations": [], "categories": []})


def test_rows_have_their_line_in_the_file_and_blank_lines_are_skipped(tmp_path):
    table = write_text(tmp_path / "a.csv", 'Name , X\n a ,1\n\n,,\n"b, c", 2 ,extra\nd\n')
    assert peek_columns(table) == ("name", "x")
    assert list(read_rows(table, ["x"])) == [
        {"name": "a", "x": "1", "line": "2"},
        {"name": "b, c", "x": "2", "line": "5"},
        {"name": "d", "x": "", "line": "6"},
    ]


def test_semicolons_separate_if_there_are_more_of_them(tmp_path):
    table = write_text(tmp_path / "a.csv", "a;b;c,d\n1,5;2;3\n")
    assert list(read_rows(table, ["b"])) == [{"a": "1,5", "b": "2", "c,d": "3", "line": "2"}]


def test_tabs_separate_if_there_are_more_of_them(tmp_path):
    table = write_text(tmp_path / "a.csv", "a\tb\tc,d\n1,5\t2\t3\n")
    assert list(read_rows(table, ["b"])) == [{"a": "1,5", "b": "2", "c,d": "3", "line": "2"}]


@pytest.mark.parametrize("content", [b"a,b\n\xff\xfe,1\n", b'a,b\n"' + b"x" * 140_000 + b'",1\n'])
def test_broken_tables_name_file_and_remedy(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.csv cannot be read: .*; save it as CSV in UTF-8"):
        list(read_rows(tmp_path / "a.csv", ["a"]))


def test_missing_columns_are_all_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"has no column\(s\) y, z; correct its first line"):
        list(read_rows(write_text(tmp_path / "a.csv", "x\n1\n"), ["x", "y", "z"]))
    assert peek_columns(tmp_path / "gone.csv") == peek_columns(tmp_path) == ()
    assert peek_columns(write_text(tmp_path / "b.csv", "")) == ()


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017.json", "train"),
        ("VALID.json", "val"),
        ("my-testing-set.json", "test"),
        ("dev.json", "val"),
        ("latest.json", ""),
        ("device.json", ""),
        ("constrained.json", ""),
    ],
)
def test_a_split_is_a_whole_word_of_the_name(name, split):
    assert split_of(Path(name)) == split


def test_files_of_splits_are_found_in_each_layout(tmp_path):
    single = write_text(tmp_path / "single" / "a.json", COCO)
    assert find_coco_files(single) == find_coco_files(single.parent) == {"": single}
    named = {
        split: write_text(tmp_path / "named" / "annotations" / f"{split}.json", COCO) for split in ("train", "val")
    }
    assert find_coco_files(tmp_path / "named") == named
    parts = {}
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        parts[split] = write_text(tmp_path / "parts" / folder / "_annotations.coco.json", COCO)
        write_text(tmp_path / "parts" / folder / "more.json", COCO)
    assert find_coco_files(tmp_path / "parts") == parts, "other files beside Roboflow's do not matter"


def test_keypoints_and_captions_beside_instances_are_left_out(tmp_path):
    for name in ("captions_train", "instances_train", "instances_val", "person_keypoints_val"):
        write_text(tmp_path / "annotations" / f"{name}2017.json", COCO)
    found = find_coco_files(tmp_path)
    assert {split: path.name for split, path in found.items()} == {
        "train": "instances_train2017.json", "val": "instances_val2017.json"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "coco"),
    [
        (COCO, True),
        ("[]", False),
        ("{}", False),
        ('{"images": {}, "annotations": []}', False),
        ("{", False),
        ("", False),
    ],
)
def test_coco_files_are_told_by_their_lists(tmp_path, content, coco):
    assert is_coco_file(write_text(tmp_path / "a.json", content)) is coco


def test_large_files_are_told_by_both_ends_and_files_too_large_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_files, "_PEEK", 64)
    middle = '{"file_name": "' + "x" * 500 + '"}'
    file = write_text(tmp_path / "a.json", f'{{"images": [{middle}], "annotations": [], "categories": []}}')
    assert is_coco_file(file)
    assert not is_coco_file(write_text(tmp_path / "b.json", f'{{"frames": [{middle}], "labels": []}}'))
    monkeypatch.setattr(coco_files, "MAX_JSON_BYTES", 100)
    assert not is_coco_file(file) and not is_coco_file(tmp_path / "gone.json")


def test_long_texts_become_one_line_of_limited_length():
    assert shorten(" a\n b ") == "a b" and len(shorten("x" * 500)) == 80 and shorten("x" * 500).endswith("...")
    assert shorten("x" * 80) == "x" * 80
