"""YAML files of users: bounded, without tags, and errors that name the line."""

import datetime
from pathlib import Path

import pytest

from depthbox.io.yaml_files import MAX_BYTES, MAX_NESTING, YamlError, parse_yaml, read_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
MAPS = "a: &a {x: 1}\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} {{{', '.join(f'k{k}: *{chr(97 + n)}' for k in range(9))}}}\n" for n in range(9)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join([f'*{chr(97 + n)}'] * 9)}], y{n}: 1}}\n" for n in range(9)
)


def test_values_of_all_kinds_are_read() -> None:
    tree = parse_yaml("a: 1\nb: [1.5, yes, ~, x]\nc: {d: 2020-01-02}\n", "f.yaml")
    assert tree == {"a": 1, "b": [1.5, True, None, "x"], "c": {"d": datetime.date(2020, 1, 2)}}
    assert parse_yaml("a: no\nb: 1\n", "f.yaml", as_text=True) == {"a": "no", "b": "1"}
    assert parse_yaml("", "f.yaml") is None and parse_yaml("# nothing\n", "f.yaml") is None
    assert parse_yaml(b"\xef\xbb\xbfa: 1", "f.yaml") == {"a": 1}


def test_merge_keys_and_aliases_are_read() -> None:
    assert parse_yaml("b: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}\n", "f.yaml")["c"] == {"x": 3, "y": 2}
    assert parse_yaml("a: &a [1]\nb: *a\n", "f.yaml")["b"] == [1]


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' appears twice"),
        ("a: 1\nb: !!python/tuple [x]\n", "line 2: the tag 'tag:yaml.org,2002:python/tuple' is not allowed"),
        ("!!python/object/apply:os.system ['true']\n", "line 1: the tag .*os.system' is not allowed"),
        ("a: !!str 3\n", "line 1: the tag 'tag:yaml.org,2002:str' is not allowed"),
        (LAUGHS, "more than 500,000 values, with its aliases"),
        (MAPS, "more than 500,000 values, with its aliases"),
        (MERGES, "more than 500,000 values, with its aliases"),
        ("a: &m\n  b: *m\n", "line 2: the alias [*]m contains itself"),
        ("[" * 100_000, "line 1: lists and maps are nested more than 50 levels deep"),
        ("[1, 2]: 3\n", "line 1: a key is a list or a map"),
        ("a: &a [1]\nb: {*a : 2}\n", "a key is a list or a map"),
        ("a: [1, 2\n", "line 2: while parsing a flow sequence"),
        ("A:\n\tB: 1\n", "line 2: .*cannot start any token"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("a: *b\n", "line 1: found undefined alias"),
        ("\0\1\2", "contains the character 0"),
        (b"a: 1\nb: \xe4\n", "line 2 is not UTF-8 text"),
        ("a: \ud800\n", "is not Unicode text"),
    ],
)
def test_other_content_is_refused_with_file_and_line(text: str | bytes, message: str, as_text: bool) -> None:
    with pytest.raises(YamlError, match=rf"^f\.yaml is not valid YAML: .*{message}"):
        parse_yaml(text, "f.yaml", as_text=as_text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: 1\na: 2020-99-99\n", "line 2: the value '2020-99-99' cannot be read"),
        ("a: 0b_\n", "line 1: the value '0b_' cannot be read"),
        (f"a: {'9' * 6000}\n", "line 1: the value '9+' cannot be read"),
        ("<<: [1]\n", "line 1: .*expected a mapping for merging"),
        ("x: =\n", "line 1: could not determine a constructor"),
    ],
)
def test_values_that_do_not_exist_are_refused_with_their_line(text: str, message: str) -> None:
    with pytest.raises(YamlError, match=rf"^f\.yaml is not valid YAML: {message}"):
        parse_yaml(text, "f.yaml")


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * MAX_NESTING + "]" * MAX_NESTING
    assert str(parse_yaml(text, "f.yaml")) == text
    with pytest.raises(YamlError, match="nested"):
        parse_yaml(f"[{text}]", "f.yaml")


def test_large_files_and_other_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(YamlError, match=r"large\.yaml is larger than 10 MB"):
        read_yaml(tmp_path / "large.yaml")
    with pytest.raises(YamlError, match="is not a file"):
        read_yaml(tmp_path)
    with pytest.raises(YamlError, match="is not a file"):
        read_yaml("/dev/zero")
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "none.yaml")
