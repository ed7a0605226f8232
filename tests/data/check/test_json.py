"""Malformed jsons: each gives a clear finding, none a traceback."""

import gzip
import json

import pytest

from depthbox.data.check.findings import Findings
from depthbox.data.check.json import read_coco

GOOD = {"images": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1}], "categories": [{"id": 1}]}
TEXT = json.dumps(GOOD).encode()
LISTS = {"images": [], "annotations": [], "categories": []}

MALFORMED = {
    "empty": (b" \n", "json_unreadable", "the file is empty"),
    "cut": (TEXT[:-20], "json_unreadable", "ends too early"),
    "comma": (TEXT[:-1] + b",}", "json_unreadable", "line 1, column"),
    "xml": (b"<annotation/>", "json_unreadable", "XML or HTML"),
    "lines": (TEXT + b"\n" + TEXT, "json_unreadable", "json lines"),
    "gzip": (gzip.compress(TEXT), "json_unreadable", "a gzip file"),
    "utf16": (TEXT.decode().encode("utf-16"), "json_unreadable", "UTF-16"),
    "bom": (b"\xef\xbb\xbf" + TEXT, "json_unreadable", "byte order mark"),
    "latin1": ('{"a": "ü"}'.encode("latin-1"), "json_unreadable", "byte 7 is not UTF-8"),
    "deep": (b"[" * 200_000, "json_unreadable", "nested too deeply"),
    "huge": (b'{"images": ' + b"9" * 5000 + b"}", "json_unreadable", "digits"),
    "number": (b"3", "json_not_coco", "it holds 3"),
    "results": (b'[{"image_id": 1, "score": 1}]', "json_not_coco", "COCO results"),
    "labelme": (b'{"shapes": []}', "json_not_coco", "LabelMe"),
    "via": (b'{"a.jpg1": {"regions": []}}', "json_not_coco", "VGG Image Annotator"),
    "no classes": (json.dumps({**LISTS, "categories": None}).encode(), "json_not_coco", "'categories' is None"),
    "no key": (b'{"images": [], "annotations": []}', "json_not_coco", "the key 'categories' is missing"),
    "dict": (json.dumps({**LISTS, "images": {"1": {}}}).encode(), "json_not_coco", "'images' is {'1': {}}"),
}


def read(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    findings = Findings()
    return read_coco(tmp_path / "x.json", findings), findings.list()


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files(tmp_path, name):
    data, kind, words = MALFORMED[name]
    content, (finding,) = read(tmp_path, data)
    assert content is None and finding.rule.kind == kind and finding.rule.severity == "error"
    assert words in str(finding.first[0]) and len(str(finding.first[0])) < 400


def test_a_good_file_is_read_without_its_outlines(tmp_path):
    annotation = {"id": 5, "image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[0, 0, 1, 1, 2, 0]], "score": 0.5}
    image = {"id": 1, "file_name": "a.jpg", "url": "x"}
    content, found = read(tmp_path, json.dumps({**GOOD, "images": [image], "annotations": [annotation]}).encode())
    assert not found and content["images"] == [{"id": 1, "file_name": "a.jpg"}]
    (small,) = content["annotations"]
    assert small.pop("segmentation").kind == "" and small == {"id": 5, "image_id": 1, "bbox": [1, 2, 3, 4]}


def test_entries_that_are_no_objects_are_named_and_left_out(tmp_path):
    content, found = read(tmp_path, json.dumps({**GOOD, "annotations": [3, {"id": 1}, None]}).encode())
    assert content["annotations"] == [{"id": 1}]
    (finding,) = found
    assert [str(e) for e in finding.first] == ["annotations[0] is 3", "annotations[2] is None"]
