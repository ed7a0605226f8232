import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from depthbox.data.cityscapes.instances import CLASSES, LABELS, draw_polygons, find_regions, read_instance_ids

HEIGHT, WIDTH = 32, 64


def box(x0, y0, x1, y1):
    """Corners of a rectangle; drawing takes in the pixels on all four."""
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def write_polygons(path, things, height=HEIGHT, width=WIDTH):
    path.write_text(json.dumps({"imgHeight": height, "imgWidth": width, "objects": things}))
    return path


def test_polygons_by_hand(tmp_path):
    things = [
        {"label": "sky", "polygon": box(0, 0, 63, 10)},
        {"label": "car", "polygon": box(2, 5, 20, 20)},
        {"label": "cargroup", "polygon": box(40, 12, 60, 20)},
        {"label": "car", "polygon": box(10, 8, 30, 25)},  # hides a part of the first
        {"label": "person", "polygon": box(50, 22, 52, 26), "deleted": 1},  # takes no number either
        {"label": "person", "polygon": box(33, 22, 36, 26), "deleted": 0},
        {"label": "car", "polygon": box(12, 10, 14, 12)},
        {"label": "license plate", "polygon": box(12, 10, 14, 12)},
        {"label": "license plategroup", "polygon": box(12, 10, 14, 12)},
        {"label": "polegroup", "polygon": box(62, 0, 63, 31)},
        {"label": "wallgroup", "polygon": box(0, 30, 5, 31)},
        {"label": "caravan", "polygon": box(45, 14, 70, 40)},  # reaches out of the image
        {"label": "car", "polygon": box(12, 10, 14, 12)},  # hides the third car
        {"label": "out of roi", "polygon": box(0, 0, 63, 0)},
    ]
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[0:11, 0:64] = 23
    expected[5:21, 2:21] = 26000
    expected[12:21, 40:61] = 26
    expected[8:26, 10:31] = 26001
    expected[22:27, 33:37] = 24000
    expected[0:32, 62:64] = 18
    expected[30:32, 0:6] = 12
    expected[14:32, 45:64] = 29000
    expected[10:13, 12:15] = 26003
    expected[0, :] = 3
    assert np.array_equal(draw_polygons(write_polygons(tmp_path / "x.json", things)), expected)


@pytest.mark.parametrize("seed", range(3))
def test_polygons_equal_the_official_tool(tmp_path, seed):
    tool = pytest.importorskip("cityscapesscripts.preparation.json2instanceImg")
    rng = np.random.default_rng(seed)
    things = []
    for _ in range(60):
        corners = rng.integers(-5, 70, (rng.integers(3, 9), 2)).tolist()
        label = LABELS[rng.integers(len(LABELS))] + rng.choice(["", "", "group"])
        label = "license plate" if rng.random() < 0.1 else label.replace("groupgroup", "group")
        things.append({"label": label, "polygon": corners, "deleted": int(rng.random() < 0.1)})
    path = write_polygons(tmp_path / "x.json", things)
    annotation = tool.Annotation()
    annotation.fromJsonFile(str(path))
    official = np.asarray(tool.createInstanceImage(annotation, "ids"))
    Image.fromarray(official.astype(np.uint16)).save(tmp_path / "x.png")  # Pillow 13 no longer writes the tool's mode
    assert np.array_equal(draw_polygons(path), official)
    assert np.array_equal(read_instance_ids(tmp_path / "x.png"), official)
    assert len(np.unique(official)) > 10


def test_labels_are_the_official_ones():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    official = {label.id: label for label in labels}
    assert [official[number].name for number in range(len(LABELS))] == list(LABELS)
    assert set(official) == {-1, *range(len(LABELS))}
    things = {label.id: label.name for label in labels if label.hasInstances}
    assert set(things) == set(range(24, len(LABELS)))
    assert {n: name for n, name in things.items() if not official[n].ignoreInEval} == CLASSES


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "JsonFileError"),
        ("[]", "TypeError"),
        ("{}", "imgWidth"),
        ('{"imgHeight": 9, "imgWidth": 9}', "objects"),
        ('{"imgHeight": 9, "imgWidth": 9, "objects": [{"label": "zebra", "polygon": []}]}', "unknown label 'zebra'"),
        ('{"imgHeight": 9, "imgWidth": 9, "objects": [{"label": "car"}]}', "polygon"),
        ('{"imgHeight": 9, "imgWidth": 9, "objects": [{"label": "car", "polygon": [[1]]}]}', "ValueError"),
        ('{"imgHeight": -9, "imgWidth": 9, "objects": []}', "ValueError"),
        ('{"imgHeight": 9, "imgWidth": 9, "objects": [7]}', "TypeError"),
    ],
)
def test_broken_polygons_are_named(tmp_path, text, problem):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.json is not a JSON file of polygons.*{problem}"):
        draw_polygons(tmp_path / "broken.json")


@pytest.mark.parametrize("seed", range(3))
def test_regions_equal_a_loop_over_pixels(seed):
    rng = np.random.default_rng(seed)
    # Scattered pixels, 33 and 33,999 among them: the ends of the range.
    ids = rng.choice([0, 7, 23, 24, 24000, 26001, 29005, 30, 31000, 33, 33999], (13, 17)).astype(np.int32)
    pixels = {}
    for (y, x), value in np.ndenumerate(ids):
        if value >= 24:
            pixels.setdefault(int(value), []).append((y, x))
    found = find_regions(ids)
    assert [region.instance_id for region in found] == sorted(pixels)
    for region in found:
        rows, columns = zip(*pixels[region.instance_id], strict=True)
        size = max(columns) - min(columns) + 1, max(rows) - min(rows) + 1
        assert region.box == (min(columns), min(rows), *size)
        assert region.area == len(rows) and region.is_group == (region.instance_id < 100)
        assert region.label == int(str(region.instance_id)[:2])
        assert np.array_equal(mask_util.decode(region.rle), ids == region.instance_id)
    assert [region.rle for region in find_regions(ids, masks=False)] == [None] * len(found)


@pytest.mark.parametrize("value", [0, 23])
def test_no_things(value):
    assert find_regions(np.full((5, 7), value, np.int32)) == []


@pytest.mark.parametrize("value", [34, 255, 999, 11000, 23999, 34000, 65535])
def test_values_that_are_not_ids(tmp_path, value):
    Image.fromarray(np.full((4, 5), value, np.uint16)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=rf"x\.png: the value {value} is neither .* not a file of train ids"):
        read_instance_ids(tmp_path / "x.png")


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "1"])
def test_other_kinds_of_png(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=rf"x\.png: an instanceIds PNG is 16-bit gray, this has the mode '{mode}'"):
        read_instance_ids(tmp_path / "x.png")


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe0"])
def test_files_that_are_not_png(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.png cannot be read as a PNG .* unpack it again"):
        read_instance_ids(tmp_path / "x.png")
