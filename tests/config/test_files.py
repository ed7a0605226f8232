"""Config files and their bases: files of this machine, each read once."""

import re
import socket
from pathlib import Path

import pytest

from depthbox import add_depthbox_config
from depthbox.config import ConfigError, load_config


def load(tmp_path: Path, text: str | bytes) -> object:
    """Load ``run.yaml`` with this content."""
    path = tmp_path / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(add_depthbox_config, str(path))


def test_a_file_wins_over_its_bases_and_later_bases_over_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("SEED: 1\nVIS_PERIOD: 1\nSOLVER: {MAX_ITER: 1, GAMMA: 0.25}\n")
    (tmp_path / "b.yaml").write_text("SOLVER: {MAX_ITER: 2}\nVIS_PERIOD: 2\n")
    cfg = load(tmp_path, "_BASE_: [a.yaml, b.yaml]\nVIS_PERIOD: 3\n")
    assert (cfg.SEED, cfg.VIS_PERIOD, cfg.SOLVER.MAX_ITER, cfg.SOLVER.GAMMA) == (1, 3, 2, 0.25)  # type: ignore[attr-defined]


def test_bases_are_relative_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "base.yaml").write_text("SEED: 7\n")
    (tmp_path / "x/y/middle.yaml").write_text("_BASE_: ../../base.yaml\n")
    assert load(tmp_path, "_BASE_: x/y/middle.yaml\n").SEED == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("nowhere.yaml", "_BASE_ is 'nowhere.yaml', but .*nowhere.yaml' is not a file"),
        (".", "_BASE_ is '.', but .* is not a file"),
        ("5", "_BASE_ is 5, not the path of a config file"),
        ("", "_BASE_ is None, not the path of a config file"),
        ("{a: 1}", "_BASE_ is {'a': 1}, not the path of a config file"),
        ("[run2.yaml, 3]", "is not a file"),
        ("run.yaml", "_BASE_ leads back to .*run.yaml"),
        ("/dev/zero", "is not a file"),
        ('"a\\0b"', "not the path of a config file"),
        ("x" * 5000, "is not a file"),
        ("2020-01-01", "not the path of a config file"),
    ],
)
def test_bases_that_are_not_files_are_named(tmp_path: Path, base: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"run\.yaml: .*{message}|{message}") as caught:
        load(tmp_path, f"_BASE_: {base}\n")
    assert "run.yaml" in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "s3", "detectron2", "file", "abc+d.e-f"])
def test_addresses_are_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(
        ConfigError, match=rf"run\.yaml: _BASE_ is the address '{re.escape(scheme)}://127.*download the file"
    ):
        load(tmp_path, f'_BASE_: "{scheme}://127.0.0.1:9/a.yaml"\n')


def test_a_key_may_be_dotted_or_nested(tmp_path: Path) -> None:
    assert load(tmp_path, "SOLVER.BASE_LR: 0.5\n") == load(tmp_path, "SOLVER: {BASE_LR: 0.5}\n")


def test_bases_that_need_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("_BASE_: b.yaml\n")
    (tmp_path / "b.yaml").write_text("_BASE_: a.yaml\n")
    with pytest.raises(ConfigError, match=r"_BASE_ leads back to .*a\.yaml"):
        load(tmp_path, "_BASE_: a.yaml\n")


def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"c{number}.yaml").write_text(f"_BASE_: [{', '.join([f'c{number + 1}.yaml'] * 9)}]\n")
    (tmp_path / "c12.yaml").write_text("SEED: 1\n")
    with pytest.raises(ConfigError, match="at most 50 files"):
        load(tmp_path, "_BASE_: c0.yaml\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]\n", "holds a list, not sections"),
        ("5\n", "holds a int, not sections"),
        ("1: 2\n", "there is the key 1, but keys of a config are words"),
        ("MODEL: {null: 2}\n", "MODEL has the key None"),
        ("MODEL:\n", "MODEL is None, but it is a section"),
        ("MODEL: 5\n", "MODEL is 5, but it is a section"),
        ("MODEL: []\n", r"MODEL is \[\], but it is a section"),
        ("SEED: {A: 1}\n", "SEED is a key with one value, such as -1, but it has keys below it"),
        ("SEED: {}\n", "SEED is {}, but it must be a whole number"),
        ("VERSION: x\n", "VERSION is 'x', but only configs of version 2"),
        ("VERSION: [1]\n", r"VERSION is \[1\]"),
        ("VERSION: 1\n", "VERSION is 1"),
        ("VERSION: True\n", "VERSION is True"),
        ("OUTPUT_DIR: 2020-01-01\n", r"OUTPUT_DIR is datetime\.date\(2020, 1, 1\), but it must be the path"),
        ("OUTPUT_DIR:\n", "OUTPUT_DIR is None, but it must be the path of a folder"),
        ("OUTPUT_DIR: !!python/tuple ['x']\n", "line 1: the tag"),
        ("MODEL: &m\n  X: *m\n", "contains itself"),
        ("SOLVER: {BASE_LR: 1}\nSOLVER.BASE_LR: 2\n", "SOLVER.BASE_LR is set twice"),
        (b"OUTPUT_DIR: \xe4\n", "line 1 is not UTF-8"),
        ("SEED: 1\nSEED: 2\n", "the key 'SEED' appears twice"),
    ],
)
def test_files_of_another_form_are_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "run.yaml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "null\n", "# nothing\n", "VERSION: 2\n", "MODEL: {}\n"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == load_config(add_depthbox_config)


def test_a_base_with_a_mistake_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("SOLVER: {BASE_LR: abc}\n")
    with pytest.raises(ConfigError, match=r"base\.yaml: SOLVER\.BASE_LR is 'abc'"):
        load(tmp_path, "_BASE_: base.yaml\n")
    assert load(tmp_path, "_BASE_: base.yaml\nSOLVER: {BASE_LR: 1}\n").SOLVER.BASE_LR == 1.0  # type: ignore[attr-defined]
