"""Frames of files, folders, patterns and videos; written videos."""

import gc
import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from depthbox.io.media import (
    MediaError,
    MediaFrame,
    MediaSource,
    count_frames,
    find_sources,
    iterate_batches,
    read_frames,
)
from depthbox.io.video import VideoFile


def colored(value: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), (value, 255 - value, 30), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    for value, name in enumerate(("b.png", "a.jpg", "more/a.jpg")):
        Image.fromarray(colored(50 * value)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.jpg").write_bytes(b"a hidden file")
    with VideoFile(tmp_path / "clip.mp4", (48, 64), 10.0) as video:
        for value in range(5):
            video.write(colored(50 * value))
    return tmp_path


def test_a_folder_gives_its_images_and_videos_in_order(folder: Path) -> None:
    names = [(source.name, source.kind) for source in find_sources([str(folder)])]
    assert names == [("a.jpg", "image"), ("b.png", "image"), ("clip.mp4", "video"), ("more/a.jpg", "image")]


def test_patterns_files_and_cameras_each_file_once(folder: Path) -> None:
    words = [str(folder / "*.png"), str(folder / "b.png"), str(folder / "**" / "*.jpg"), "1"]
    found = find_sources(words)
    assert [source.name for source in found] == ["b.png", "a.jpg", "more/a.jpg", "camera1"]
    assert found[-1] == MediaSource("camera", "1", "camera1")


def test_equal_names_of_two_folders_are_told_apart(folder: Path) -> None:
    found = find_sources([str(folder / "a.jpg"), str(folder / "more" / "a.jpg")])
    assert [source.name for source in found] == ["a.jpg", "a_2.jpg"]


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("none.jpg", FileNotFoundError, r"the file or folder .*none\.jpg does not exist"),
        ("*.webp", FileNotFoundError, r"no image or video matches the pattern .*\*\.webp"),
        ("notes.txt", ValueError, "notes.txt has no suffix of an image or a video"),
        ("empty", ValueError, "empty contains no images"),
    ],
)
def test_mistakes_are_named(folder: Path, word: str, error: type[Exception], message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(error, match=message):
        find_sources([str(folder / word)])
    with pytest.raises(ValueError, match="no input"):
        find_sources([])


def test_a_video_is_read_frame_by_frame_as_it_was_written(folder: Path) -> None:
    (source,) = find_sources([str(folder / "clip.mp4")])
    frames = list(read_frames(source))
    assert [frame.name for frame in frames] == [f"clip.mp4#{number:06d}" for number in range(5)]
    assert count_frames(source) == 5 and frames[0].rate == pytest.approx(10.0)
    for value, frame in enumerate(frames):
        assert np.abs(frame.pixels.astype(int) - colored(50 * value)).max() < 12  # lossy, but RGB and in order


def test_the_rotation_of_a_photograph_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colored(9)).save(tmp_path / "turned.jpg", exif=exif)
    assert next(read_frames(MediaSource("image", str(tmp_path / "turned.jpg"), "turned.jpg"))).pixels.shape == (
        64,
        48,
        3,
    )


@pytest.mark.parametrize("name", ["broken.jpg", "broken.mp4"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"neither image nor video")
    (source,) = find_sources([str(tmp_path / name)])
    with pytest.raises(MediaError, match=name):
        list(read_frames(source))
    noted: list[MediaError] = []
    assert list(read_frames(source, noted.append)) == [] and name in str(noted[0])


def test_a_video_that_failed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a frame is"), VideoFile(tmp_path / "v.mp4", (48, 64), 5) as video:
        video.write(colored(3))
        video.write(colored(3, (24, 24)))
    assert os.listdir(tmp_path) == []
    with pytest.raises(MediaError, match=r"v\.xyz"):
        VideoFile(tmp_path / "v.xyz", (48, 64), 5)
    assert os.listdir(tmp_path) == []


def test_batches_hold_no_frame_longer_than_needed() -> None:
    alive: weakref.WeakSet[MediaFrame] = weakref.WeakSet()
    most = 0
    source = MediaSource("video", "v", "v")

    def frames():
        nonlocal most
        for index in range(20):
            frame = MediaFrame(source, index, colored(0))
            alive.add(frame)
            gc.collect()
            most = max(most, len(alive))
            yield frame
            del frame

    assert [len(batch) for batch in iterate_batches(frames(), 3)] == [3] * 6 + [2]
    assert most == 3
    with pytest.raises(ValueError, match="must be 1 or more"):
        next(iterate_batches(iter(()), 0))


def test_opencv_reads_what_is_written(folder: Path) -> None:
    capture = cv2.VideoCapture(str(folder / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 64 and capture.get(cv2.CAP_PROP_FRAME_HEIGHT) == 48
    capture.release()
