"""Text and XML files of unknown content."""

import os
import sys

import pytest

from depthbox.io.annotations.readers.documents import parse_number, read_bytes, read_text, read_xml, track
from depthbox.io.annotations.records import AnnotationError


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path, encoding):
    assert read_text(write(tmp_path / "a.txt", "größe 1".encode(encoding))) == "größe 1"
    assert read_xml(write(tmp_path / "a.xml", "<a>größe</a>".encode(encoding))).text == "größe"


@pytest.mark.parametrize("data", [b"\xff\xfe\xff", b"a\x00b", b"gr\xf6\xdfe"])
def test_files_that_are_not_texts(tmp_path, data):
    with pytest.raises(AnnotationError, match=r"a\.txt is not a text"):
        read_text(write(tmp_path / "a.txt", data))


def test_missing_large_and_special_files(tmp_path):
    with pytest.raises(AnnotationError, match="does not exist"):
        read_bytes(tmp_path / "gone")
    with pytest.raises(AnnotationError, match="does not exist"):
        read_bytes(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AnnotationError, match="does not exist"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(AnnotationError, match="more than the 0 MB"):
        read_bytes(write(tmp_path / "a", b"12345"), limit=4)


def test_entities_are_not_expanded(tmp_path):
    laughs = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(10)
    )
    with pytest.raises(AnnotationError, match="entities"):
        read_xml(write(tmp_path / "a.xml", laughs + b"]><a>&k;</a>"))


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1), ("2.5", 2.5), (" 3 ", 3), ("1e3", 1000), (-4.5, -4.5)]
    + [
        (bad, None)
        for bad in (None, True, "", "x", "nan", "inf", "1e9", "1_0", "9" * 400, 10**400, [], {}, float("nan"))
    ],
)
def test_numbers(value, number):
    assert parse_number(value) == number


def test_progress_is_shown_for_thousands_of_items_only(capsys):
    assert sum(track(range(2001), "x", True)) == 2001000
    assert "x: " in capsys.readouterr().err
    assert list(track([1, 2], "x", True)) == [1, 2] and len(list(track(range(3000), "x", False))) == 3000
    assert capsys.readouterr().err == "" and "tqdm" in sys.modules
