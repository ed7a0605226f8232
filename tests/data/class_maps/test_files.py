"""Class maps from PNG files."""

import logging
from pathlib import Path

import numpy as np
import pytest
from class_map_toy import SIZE, make_points
from PIL import Image

from depthbox.data.class_maps.files import ClassMapError, FileClassMaps, check_class_map, read_class_map
from depthbox.data.points import BOX

IMAGE = np.zeros((*SIZE, 3), dtype=np.uint8)


def write(path: Path, values: np.ndarray, mode: str = "L") -> str:
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    image.save(path)
    return str(path)


def example() -> np.ndarray:
    values = np.zeros(SIZE, dtype=np.uint8)
    values[10:30, 10:30], values[40:60, 50:80], values[:, 99] = 1, 2, 255
    return values


@pytest.mark.parametrize("mode", ["L", "P"])
def test_gray_and_palette_files_are_read_alike(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "a.png", example(), mode)
    points = make_points([(15.5, 15.5), (60.5, 50.5)], [0, 1])
    class_map = FileClassMaps(2)({"sem_seg_file_name": path}, IMAGE, points, None)
    assert (class_map == example()).all()


def test_class_without_a_point_becomes_background(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", example())
    class_map = FileClassMaps(2)({"sem_seg_file_name": path}, IMAGE, make_points([(60.5, 50.5)], [1]), None)
    assert not (class_map == 1).any() and (class_map == 2).sum() == (example() == 2).sum()


def test_disc_of_a_point_on_the_background_has_its_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.png", example())
    with caplog.at_level(logging.WARNING):
        class_map = FileClassMaps(2)({"sem_seg_file_name": path}, IMAGE, make_points([(5.5, 70.5)], [0]), None)
    assert class_map[70, 5] == 1 and class_map[72, 5] == 1
    assert "1 of 1 points lie on pixels of another class" in caplog.text


def test_findings_name_values_classes_and_points() -> None:
    values = example()
    values[0, 0] = 9
    findings = check_class_map(
        values, make_points([(60.5, 50.5), (1.5, 1.5), (500.0, 3.0), (99.5, 3.0)], [1, 1, 1, 1]), 2
    )
    assert findings.unknown_values == (9,) and findings.without_point == (0,) and findings.contradicted == (1,)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros((80, 99), dtype=np.uint8), "99 x 80 pixels .* its image 100 x 80"),
        (np.full(SIZE, 7, dtype=np.uint8), "the value 7, but there are 2 classes"),
        (np.zeros((*SIZE, 3), dtype=np.uint8), "not a palette or gray PNG of 8 bits"),
        (np.zeros(SIZE, dtype=np.uint16), "not a palette or gray PNG of 8 bits"),
    ],
)
def test_unusable_file_is_named_with_the_remedy(tmp_path: Path, values: np.ndarray, text: str) -> None:
    path = write(tmp_path / "a.png", values)
    with pytest.raises(ClassMapError, match=text) as error:
        read_class_map(path, SIZE, 2)
    assert path in str(error.value)


def test_missing_damaged_and_unnamed_files(tmp_path: Path) -> None:
    with pytest.raises(ClassMapError, match="does not exist"):
        read_class_map(tmp_path / "none.png", SIZE, 2)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n1234")
    with pytest.raises(ClassMapError, match="cannot be read"):
        read_class_map(tmp_path / "bad.png", SIZE, 2)
    with pytest.raises(ClassMapError, match=r"x\.jpg has no class map"):
        FileClassMaps(2)({"file_name": "x.jpg"}, IMAGE, make_points([(1.5, 1.5)], [0]), None)


def test_class_outside_of_all_its_boxes_is_background(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", example())
    points = make_points([(15.5, 15.5)], [0], kinds=np.array([BOX]), regions=np.array([[10.0, 10.0, 20.0, 20.0]]))
    class_map = FileClassMaps(2)({"sem_seg_file_name": path}, IMAGE, points, None)
    assert (class_map == 1).sum() == 100
