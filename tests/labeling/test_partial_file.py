"""Partial results of a labeling job: appended lines, lines that a crash cut off, and results of another job."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from depthbox.labeling.partial_results import ObjectLabel, PartialResults

FIRST = {0: ObjectLabel({"size": [4, 6], "counts": "abc"}, 0.75, 9), 3: ObjectLabel(None)}
SECOND = {1: ObjectLabel({"size": [4, 6], "counts": "xyz"}, 0.5, 2)}


def write(path: Path, job: str = "job") -> None:
    """Write the results of two images."""
    with PartialResults(path, job) as results:
        results.add(FIRST)
        results.add(SECOND)


def load(path: Path, job: str = "job") -> PartialResults:
    with PartialResults(path, job) as results:
        return results


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "masks.json.partial.jsonl"
    write(path)
    results = load(path)
    assert results.labels == {**FIRST, **SECOND} and not results.was_other_job
    assert len(path.read_bytes().splitlines()) == 3  # the job, and a line per image


def test_a_file_cut_off_at_any_byte_keeps_the_complete_lines(tmp_path: Path) -> None:
    """Whatever a crash leaves, whole lines are kept, and the file grows from there to the same content."""
    path = tmp_path / "partial.jsonl"
    write(path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    ends = [len(lines[0]), len(lines[0]) + len(lines[1]), len(whole)]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with PartialResults(path, "job") as results:
            expected = {**(FIRST if length >= ends[1] else {}), **(SECOND if length >= ends[2] else {})}
            assert results.labels == expected and not results.was_other_job
            if length < ends[1]:
                results.add(FIRST)
            if length < ends[2]:
                results.add(SECOND)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 40, b'{"labels": [{"index', b"not json\n", b"\xff\xfe\n", b'{"labels"\n']
)
def test_garbage_at_the_end_is_removed(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "partial.jsonl"
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole + garbage)
    assert load(path).labels == {**FIRST, **SECOND}
    assert path.read_bytes() == whole


def test_a_broken_line_ends_the_results_even_if_sound_lines_follow(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"broken\n" + lines[2])
    assert load(path).labels == {} and path.read_bytes() == lines[0]


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"garbage"])
def test_a_file_without_a_job_is_started_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "partial.jsonl"
    path.write_bytes(content)
    assert load(path).labels == {}
    assert json.loads(path.read_bytes()) == {"job": "job"}


def test_results_of_another_job_are_discarded_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    write(path, "other")
    results = load(path)
    assert results.was_other_job and results.labels == {}
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [{"job": "job"}]


def test_a_label_of_the_same_object_replaces_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    write(path)
    with PartialResults(path, "job") as results:
        results.add({0: ObjectLabel(None)})
    assert load(path).labels == {**FIRST, **SECOND, 0: ObjectLabel(None)}


def test_each_image_is_on_disk_before_the_next_one_is_labeled(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    with PartialResults(path, "job") as results:
        results.add(FIRST)
        assert len(path.read_bytes().splitlines()) == 2
        results.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    "line", [b"[]\n", b'{"labels": [1]}\n', b'{"labels": [{"index": 5, "mask": 1}]}\n', b'{"labels": 3}\n']
)
def test_a_line_of_another_program_ends_the_results(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "partial.jsonl"
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole + line)
    assert load(path).labels == {**FIRST, **SECOND} and path.read_bytes() == whole


def test_an_error_before_the_first_label_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    with pytest.raises(KeyboardInterrupt), PartialResults(path, "job"):
        raise KeyboardInterrupt
    assert not path.exists()
    write(path)
    with pytest.raises(KeyboardInterrupt), PartialResults(path, "job"):
        raise KeyboardInterrupt
    assert load(path).labels == {**FIRST, **SECOND}


def test_a_full_disk_keeps_the_complete_lines(tmp_path: Path) -> None:
    """In a process whose files may hold 300 bytes: the third image does not fit."""
    code = """
import json, resource, sys
from pathlib import Path
from depthbox.io.files import WriteError
from depthbox.labeling.partial_results import ObjectLabel, PartialResults
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    with PartialResults(Path(sys.argv[1]), "job") as results:
        for index in range(100):
            results.add({index: ObjectLabel({"size": [4, 6], "counts": "abc"}, 0.5, 1)})
except WriteError as error:
    print(error)
"""
    path = tmp_path / "partial.jsonl"
    for limit, count in ((300, 2), (10, 0)):
        path.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(limit)], capture_output=True, text=True, check=True
        )
        assert f"{path} cannot be written: File too large" in done.stdout
        assert path.exists() == (count > 0)
        assert list(load(path).labels) == list(range(count))
