"""Points in every format that has them give the same canonical dataset, beside boxes too."""

import json

import pytest
from reader_toy import HEIGHT, WIDTH, save_image, write_text

from depthbox.io.annotations.canonical import canonicalize, repaired_coco, write_coco
from depthbox.io.annotations.detect import find_format, read_annotation_file, read_raw

FILES = ("000.png", "001.png")
POINTS = {"000.png": (("a", 12.0, 16.5), ("b", 72.0, 32.0)), "001.png": (("a", 24.0, 8.0),)}


def write_images(folder):
    for name in FILES:
        save_image(folder / "images" / name)


def write_as_coco(folder):
    images = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(FILES)]
    annotations = [
        {"image_id": number, "category_id": "ab".index(label), "point_coords": [[x, y]]}
        for number, name in enumerate(FILES)
        for label, x, y in POINTS[name]
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate("ab")]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return write_text(folder / "points.json", json.dumps(content))


def write_as_cvat(folder):
    entries = []
    for name in FILES:
        shapes = "".join(f'<points label="{label}" points="{x},{y}"/>' for label, x, y in POINTS[name])
        entries.append(f'<image name="{name}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>')
    return write_text(folder / "annotations.xml", f"<annotations>{''.join(entries)}</annotations>")


def write_as_labelstudio(folder):
    tasks = []
    for number, name in enumerate(FILES):
        regions = [
            {
                "type": "keypointlabels",
                "value": {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.3, "keypointlabels": [label]},
            }
            for label, x, y in POINTS[name]
        ]
        tasks.append({"id": number, "data": {"image": f"/data/{name}"}, "annotations": [{"result": regions}]})
    return write_text(folder / "tasks.json", json.dumps(tasks))


def write_as_labelme(folder):
    for name in FILES:
        shapes = [{"label": label, "points": [[x, y]], "shape_type": "point"} for label, x, y in POINTS[name]]
        content = {"shapes": shapes, "imagePath": name, "imageHeight": HEIGHT, "imageWidth": WIDTH}
        write_text((folder / "images" / name).with_suffix(".json"), json.dumps(content))
    return folder / "images"


def write_as_points(folder):
    lines = [f"{name},{x},{y},{label}" for name in FILES for label, x, y in POINTS[name]]
    return write_text(folder / "points.csv", "\n".join(["image,x,y,class", *lines]))


WRITERS = {
    "coco": write_as_coco,
    "cvat": write_as_cvat,
    "labelstudio": write_as_labelstudio,
    "labelme": write_as_labelme,
    "points": write_as_points,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_points_are_those_of_coco_and_stay_so_when_written(tmp_path, kind):
    write_images(tmp_path)
    source = WRITERS[kind](tmp_path)
    assert find_format(source) == kind
    result = canonicalize(read_annotation_file(str(source)), check_sizes=True)
    names = {entry["id"]: entry["name"] for entry in result.content["categories"]}
    files = {entry["id"]: entry["file_name"] for entry in result.content["images"]}
    found = [
        (files[e["image_id"]], names[e["category_id"]], e["point_coords"], e["point_labels"], e["area"], "bbox" in e)
        for e in result.content["annotations"]
    ]
    expected = [(name, label, [[x, y]], [1], 0, False) for name in FILES for label, x, y in POINTS[name]]
    assert found == expected and not result.notes and list(names.values()) == ["a", "b"]
    file = write_coco(repaired_coco(result), tmp_path / "written" / "points.json")
    again = canonicalize(read_raw(file, result.image_root))
    assert again.content == result.content and not again.notes
