"""Bounds of the reader of JSON: size, nesting, numbers, repeated keys."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthbox.io.untrusted import json_files
from depthbox.io.untrusted.json_files import (
    MAX_NESTING,
    JsonFileError,
    parse_first_entry,
    parse_json,
    read_json,
    try_parse_json,
)


def nest(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_nesting_is_bounded_and_brackets_in_texts_do_not_count():
    assert parse_json(nest(MAX_NESTING), "a") is not None
    for text in (nest(MAX_NESTING + 1), nest(100_000), '{"a":' * 101 + "1" + "}" * 101, "[" * 100_000):
        with pytest.raises(JsonFileError, match=r"^a\.json is not usable JSON: it is nested too deeply"):
            parse_json(text, "a.json")
    assert parse_json(json.dumps({"[" * 500: "{" * 500, 'a"[\\': "\\"}), "a")


def test_brackets_in_texts_do_not_hide_the_nesting():
    with pytest.raises(JsonFileError, match="nested too deeply"):
        parse_json('["]]]]", ' * 101 + "1" + "]" * 101, "a.json")
    with pytest.raises(JsonFileError, match="nested too deeply"):
        parse_json(('["\\"]", ' * 101 + "1" + "]" * 101).encode("utf-16"), "a.json")


@given(st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_the_nesting_is_that_of_the_content(content):
    def depth(value):
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if values is None else 1 + max(map(depth, values), default=0)

    for ascii_only in (True, False):
        text = json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert json_files._measure_nesting(text) == depth(content)


def test_a_key_that_is_repeated_is_refused():
    with pytest.raises(JsonFileError, match="the key 'images' occurs twice"):
        parse_json('{"images": [1], "images": []}', "a.json")
    with pytest.raises(JsonFileError, match=r"the key '\\ud800\\x1b' occurs twice"):
        parse_json('[{"\\ud800\\u001b": 1, "\\ud800\\u001b": 2}]', "a.json")


def test_numbers_of_any_size_are_numbers_or_an_error():
    assert parse_json("[1e999, -1e999, NaN]", "a")[:2] == [math.inf, -math.inf]
    assert parse_json("1" + "0" * 400, "a") == 10**400
    with pytest.raises(JsonFileError, match="not usable JSON"):
        parse_json("9" * 5000, "a")


def test_large_files_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "large.json"
    with open(path, "wb") as file:
        file.truncate(json_files.MAX_JSON_BYTES + 2**20)  # sparse: takes no space
    with pytest.raises(JsonFileError, match=r"large\.json has 4097 MiB, more than the 4096 MiB that are read"):
        read_json(path)


def test_the_first_entry_of_a_cut_off_list():
    assert parse_first_entry(' [ {"a": [1]}, {"b"') == {"a": [1]}
    assert parse_first_entry('[{"a": 1') is None and parse_first_entry('{"a": 1}') is None
    assert parse_first_entry("[" * 100_000) is None


def test_content_that_is_not_json_is_none_if_asked_for():
    assert try_parse_json(b"{") is None and try_parse_json(b'{"a": 1}') == {"a": 1}
