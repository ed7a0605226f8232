"""JSON files of unknown origin."""

import gc
import gzip
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthbox.io.annotations.json_file import load_json, without_garbage_collection
from depthbox.io.annotations.records import AnnotationError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_all_encodings_of_json_are_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"name": "größe"}', encoding=encoding)
    assert load_json(path) == {"name": "größe"}


def test_nan_and_infinity_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[NaN, Infinity, 1e999]")
    nan, *infinite = load_json(path)
    assert math.isnan(nan)
    assert infinite == [math.inf, math.inf]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b'{"a": [1, 2', "ends too early"),
        (b'{"a": "b', "ends too early"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b"9" * 100_000, "Exceeds the limit|too large"),
        (b"<annotation/>", "XML or HTML"),
        (b'{"a": 1}\n{"a": 2}', "JSON Lines"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
        (gzip.compress(b"{}", mtime=0), "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"\x89PNG\r\n", "PNG image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_files_that_are_not_json_are_named_with_the_cause(content: bytes, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=cause) as caught:
        load_json(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="does not exist"):
        load_json(tmp_path / "none.json")
    with pytest.raises(AnnotationError, match="is a folder"):
        load_json(tmp_path)
    with pytest.raises(AnnotationError, match="cannot be read"):
        load_json("a\0b")


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_an_annotation_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(data)
    try:
        content = load_json(path)
    except AnnotationError:
        return
    assert json.dumps(content)


def test_garbage_collection_continues_after_a_pause() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), without_garbage_collection():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
