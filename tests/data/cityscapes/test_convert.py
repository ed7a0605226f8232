import json
import uuid

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from street_toy import HEIGHT, WIDTH, paths, random_ids, street, write_frame

from depthbox.data import BoxDepthMapper, register_coco_style, write_depth
from depthbox.data.cityscapes.convert import CATEGORIES, convert

EIGHT = {24: 1, 25: 2, 26: 3, 27: 4, 28: 5, 31: 6, 32: 7, 33: 8}


@pytest.fixture
def root(tmp_path):
    for number, ids in enumerate((street(), random_ids(0))):
        write_frame(tmp_path, "val", "bonn", number, ids)
    for number in range(3):
        write_frame(tmp_path, "val", "aachen", number, random_ids(number + 1))
    write_frame(tmp_path, "val", "ulm", 7, np.full((HEIGHT, WIDTH), 7))
    return tmp_path


def run(root, split="val", **options):
    report = convert(root, split, root / "out" / "truth.json", **options)
    return json.loads((root / "out" / "truth.json").read_text()), report


def reference(ids, min_area):
    """Return (category, id, box, area, crowd, mask) of every object, from the pixels of each id."""
    rows = []
    for value in sorted(set(ids.ravel().tolist())):
        label = value if value < 1000 else value // 1000
        if label in EIGHT:
            pixels = [(y, x) for y in range(ids.shape[0]) for x in range(ids.shape[1]) if ids[y, x] == value]
            (y0, x0), (y1, x1) = np.min(pixels, 0), np.max(pixels, 0)
            crowd = value < 1000 or len(pixels) < min_area
            box = [int(x0), int(y0), int(x1 - x0 + 1), int(y1 - y0 + 1)]
            rows.append((EIGHT[label], value, box, len(pixels), int(crowd), ids == value))
    return rows


@pytest.mark.parametrize("min_area", [None, 0, 30])
def test_objects_equal_an_obvious_reference(root, min_area):
    data, _ = run(root, min_area=min_area)
    cities = [("aachen", 0), ("aachen", 1), ("aachen", 2), ("bonn", 0), ("bonn", 1), ("ulm", 7)]
    assert [image["file_name"] for image in data["images"]] == [
        f"val/{city}/{city}_{number:06d}_000019_leftImg8bit.png" for city, number in cities
    ]
    assert [image["id"] for image in data["images"]] == [1, 2, 3, 4, 5, 6]
    assert all((image["height"], image["width"]) == (HEIGHT, WIDTH) for image in data["images"])
    maps = [random_ids(1), random_ids(2), random_ids(3), street(), random_ids(0), np.full((HEIGHT, WIDTH), 7)]
    expected = [
        (image_id, *row)
        for image_id, ids in enumerate(maps, 1)
        for row in reference(ids, 100 if min_area is None else min_area)
    ]
    assert len(data["annotations"]) == len(expected) > 60
    for number, (annotation, row) in enumerate(zip(data["annotations"], expected, strict=True), 1):
        keys = ("id", "image_id", "category_id", "instance_id", "bbox", "area", "iscrowd")
        assert tuple(annotation[key] for key in keys) == (number, *row[:-1])
        assert np.array_equal(mask_util.decode(annotation["segmentation"]).astype(bool), row[-1])


def test_the_street_by_hand(root):
    data, _ = run(root)
    rows = [a for a in data["annotations"] if a["image_id"] == 4]
    found = {a["instance_id"]: (a["category_id"], a["bbox"], a["area"], a["iscrowd"]) for a in rows}
    assert found == {
        33: (8, [5, 20, 28, 10], 60, 1),  # one region of two pieces, of any size
        24000: (1, [40, 10, 2, 3], 6, 1),  # too small
        26000: (3, [2, 5, 20, 12], 12 * 20 - 8 * 7, 0),  # without the pixels of the other car
        26001: (3, [15, 9, 15, 11], 11 * 15, 0),
    }


def test_categories():
    assert [c["id"] for c in CATEGORIES] == list(range(1, 9))
    assert {c["cityscapes_id"]: c["id"] for c in CATEGORIES} == EIGHT
    names = ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
    assert [c["name"] for c in CATEGORIES] == names


def test_small_objects_are_used_in_training(tmp_path):
    write_frame(tmp_path, "train", "bonn", 0, street())
    data, report = run(tmp_path, "train")
    assert {a["instance_id"]: a["iscrowd"] for a in data["annotations"]} == {33: 1, 24000: 0, 26000: 0, 26001: 0}
    assert report.small == 0 and report.objects["person"] == 1


def test_boxes_only_has_no_information_of_the_masks(root):
    full, _ = run(root)
    bare, _ = run(root, boxes_only=True)
    assert "segmentation" not in json.dumps(bare)
    for a, b in zip(full["annotations"], bare["annotations"], strict=True):
        assert b["area"] == b["bbox"][2] * b["bbox"][3]
        left = {key: value for key, value in a.items() if key not in ("area", "segmentation")}
        assert left == {key: value for key, value in b.items() if key != "area"}


def test_workers_change_nothing(root):
    run(root)
    one = (root / "out" / "truth.json").read_bytes()
    run(root, workers=2)
    assert (root / "out" / "truth.json").read_bytes() == one


def test_report(tmp_path):
    write_frame(tmp_path, "val", "bonn", 0, street())
    write_frame(tmp_path, "val", "bonn", 1, np.full((HEIGHT, WIDTH), 7))
    _, report = run(tmp_path)
    assert report.objects.pop("car") == 2 and not any(report.objects.values())
    assert (report.images, report.without_objects, report.from_polygons) == (2, 1, 0)
    assert (report.groups, report.small, report.dropped, report.inconsistent) == (1, 1, 2, ())
    assert "warning" not in str(report) and "small objects (iscrowd)            1" in str(report)


def test_labels_of_other_classes_are_reported(tmp_path):
    write_frame(tmp_path, "val", "bonn", 0, street())
    Image.new("L", (WIDTH, HEIGHT), 7).save(paths(tmp_path, "val", "bonn", 0)[2])
    _, report = run(tmp_path)
    assert len(report.inconsistent) == 1
    assert "warning: labelIds.png of 1 images, such as val/bonn/bonn_000000_000019_leftImg8bit.png" in str(report)


def test_polygons_are_painted_without_instance_ids(tmp_path):
    write_frame(tmp_path, "val", "bonn", 0, street())
    _, instance_ids, label_ids, polygons = paths(tmp_path, "val", "bonn", 0)
    instance_ids.unlink()
    label_ids.unlink()
    corners = [[4, 6], [23, 6], [23, 15], [4, 15]]
    other = [[14, 6], [33, 6], [33, 15], [14, 15]]
    things = [{"label": "car", "polygon": corners}, {"label": "person", "polygon": other}]
    polygons.write_text(json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": things}))
    data, report = run(tmp_path)
    found = [(a["category_id"], a["bbox"], a["area"], a["iscrowd"]) for a in data["annotations"]]
    assert found == [(1, [14, 6, 20, 10], 200, 0), (3, [4, 6, 10, 10], 100, 0)]
    assert report.from_polygons == 1


@pytest.mark.parametrize("boxes_only", [False, True])
def test_the_json_registers_and_feeds_the_mapper(root, boxes_only):
    data, _ = run(root, boxes_only=boxes_only)
    for image in data["images"]:
        write_depth((root / "depth" / image["file_name"]), np.zeros((HEIGHT, WIDTH), np.float32))
    name = f"test_{uuid.uuid4().hex}"
    register_coco_style(name, root / "out" / "truth.json", root / "leftImg8bit", root / "depth")
    records = DatasetCatalog.get(name)
    assert len(records) == 6 and MetadataCatalog.get(name).has_masks is not boxes_only
    assert MetadataCatalog.get(name).thing_classes == [category["name"] for category in CATEGORIES]
    fields = ("depth",) if boxes_only else ("gt_masks", "depth")
    mapper = BoxDepthMapper(True, augmentations=[], image_format="BGR", fields=fields)
    result = mapper(records[3])
    assert result["instances"].gt_boxes.tensor.tolist() == [[2, 5, 22, 17], [15, 9, 30, 20]]
    assert result["instances"].gt_classes.tolist() == [2, 2] and result["depth"].shape == (1, HEIGHT, WIDTH)


def small_image(root):
    Image.new("RGB", (WIDTH, HEIGHT - 1)).save(paths(root, "val", "bonn", 0)[0])


def small_labels(root):
    Image.new("L", (WIDTH // 2, HEIGHT // 2)).save(paths(root, "val", "bonn", 0)[2])


def cut_off(root):
    path = paths(root, "val", "bonn", 0)[1]
    path.write_bytes(path.read_bytes()[:100])


def no_image(root):
    paths(root, "val", "bonn", 0)[0].write_bytes(b"")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (small_image, r"bonn_000000.*instanceIds\.png is 32 x 64 .*its image .*leftImg8bit\.png 31 x 64"),
        (small_labels, r"bonn_000000.*labelIds\.png is 16 x 32"),
        (cut_off, r"bonn_000000.*instanceIds\.png cannot be read .* unpack it again"),
        (no_image, r"bonn_000000.*leftImg8bit\.png is empty"),
    ],
)
def test_broken_files_are_named_and_the_old_json_stays(root, damage, message, workers):
    (root / "out").mkdir()
    (root / "out" / "truth.json").write_text("old")
    damage(root)
    with pytest.raises(ValueError, match=message):
        run(root, workers=workers)
    assert [path.read_text() for path in (root / "out").iterdir()] == ["old"]


def test_impossible_arguments(root):
    with pytest.raises(ValueError, match="is a folder"):
        convert(root, "val", root / "gtFine")
    with pytest.raises(ValueError, match="got -1 and None"):
        convert(root, "val", root / "x.json", workers=-1)
    with pytest.raises(ValueError, match="got 1 and -5"):
        convert(root, "val", root / "x.json", min_area=-5)
    assert not (root / "x.json").exists()


@pytest.mark.data
def test_real_frame(test_data_dir, tmp_path):
    source = test_data_dir / "cityscapes_pseudo"
    report = convert(source, "val", tmp_path / "truth.json")
    data = json.loads((tmp_path / "truth.json").read_text())
    ids = np.asarray(
        Image.open(source / "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_instanceIds.png"), np.int64
    )
    assert [(a["instance_id"], a["area"], a["iscrowd"]) for a in data["annotations"]] == [
        (24000, 6, 1),
        (24001, 42, 1),
        (24002, 27, 1),
        (24003, 32, 1),
        (26000, 6, 1),
        (26001, 224, 0),
        (26002, 1572, 0),
    ]
    for annotation, row in zip(data["annotations"], reference(ids, 100), strict=True):
        assert annotation["bbox"] == row[2]
        assert np.array_equal(mask_util.decode(annotation["segmentation"]).astype(bool), row[-1])
    assert report.inconsistent == () and report.small == 5 and report.objects["car"] == 2
