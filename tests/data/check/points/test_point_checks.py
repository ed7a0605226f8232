"""Rules of points: unit, order, distances, boxes, masks and mixed images, against slow references."""

import copy
import json
import math

import numpy as np
import pytest
from check_points_toy import as_percent, mix, swap_points, to_points, with_points
from check_toy import HEIGHT, WIDTH, coco

from depthbox.data.check.check import CheckSettings, check_dataset
from depthbox.data.check.report import report_json, summary


def check(data, content, **options):
    (data / "points.json").write_text(json.dumps(content))
    options = {"workers": 1, "progress": False, **options}
    return check_dataset(CheckSettings(data / "points.json", data / "images", **options))


def planted(data, plant, **options):
    content = coco()
    plant(content, data)
    return check(data, content, **options)


def found(report):
    return {finding.rule.kind: finding for finding in report.findings}


def test_a_clean_file_of_points_passes_and_states_its_kinds(data):
    report = planted(data, to_points)
    assert found(report) == {} and report.kinds == {"masks": 0, "boxes": 0, "points": 24}
    assert "annotated by 24 points" in summary(report)
    assert report_json(report)["kinds"] == {"masks": 0, "boxes": 0, "points": 24}
    assert report.counts["objects"] == 24 and report.objects == {"cat": 12, "dog": 12}


def test_kinds_are_the_strongest_annotations_without_crowds(data):
    content = coco()
    for annotation in content["annotations"][:3]:
        del annotation["segmentation"]
        annotation["point_coords"] = [[annotation["bbox"][0] + 3, annotation["bbox"][1] + 3]]
    del content["annotations"][0]["bbox"]
    content["annotations"][23]["iscrowd"] = 1
    report = check(data, content)
    assert report.kinds == {"masks": 20, "boxes": 2, "points": 1}
    assert "annotated by 20 masks, 2 boxes, 1 point" in summary(report)


def test_faults_name_image_annotation_and_point(data):
    report = planted(data, with_points([10.2, 20.1], [30, 30], [10.9, 20.8]))
    (case,) = found(report)["point_duplicate"].worst
    assert (case.file, case.annotation_id, case.points) == ("sub/img0.png", 3, ((10.9, 20.8),))
    assert case.detail == "point [10.9, 20.8], as annotation 1"
    report = planted(data, with_points([WIDTH + 4, 3]))
    (case,) = found(report)["point_outside"].worst
    assert (case.file, case.annotation_id, case.points) == ("sub/img0.png", 1, ((WIDTH + 4, 3),))


def test_points_of_other_classes_and_images_are_not_compared(data):
    def plant(content, folder):
        to_points(content, folder)
        content["annotations"][1]["point_coords"] = copy.deepcopy(content["annotations"][0]["point_coords"])

    assert found(planted(data, plant)) == {}, "each object has the class that its neighbor in the list does not have"


@pytest.mark.parametrize("seed", range(3))
def test_near_points_against_all_pairs(data, seed):
    draws = np.random.default_rng(seed)
    content = coco()
    content["annotations"] = [
        {"id": i + 1, "image_id": int(draws.integers(1, 3)), "category_id": int(draws.integers(1, 3)),
         "point_coords": [draws.uniform([0, 0], [WIDTH, HEIGHT]).tolist()]}
        for i in range(400)
    ]  # fmt: skip
    report = check(data, content, min_size=96, max_size=1000)  # twice the size of the images
    groups, first = {}, {}
    for entry in content["annotations"]:
        x, y = entry["point_coords"][0]
        key = (entry["image_id"], entry["category_id"])
        if (*key, math.floor(x), math.floor(y)) not in first:
            first[(*key, math.floor(x), math.floor(y))] = entry["id"]
            groups.setdefault(key, []).append((entry["id"], 2 * x, 2 * y))
    near = {
        one
        for members in groups.values()
        for one, x, y in members
        if any(other != one and math.hypot(x - u, y - v) < 4 for other, u, v in members)
    }
    kinds = found(report)
    assert kinds["point_duplicate"].count == 400 - len(first)
    assert kinds["point_near"].count == len(near) > 50
    assert {case.annotation_id for case in kinds["point_near"].first} <= near


def test_thousands_of_points_in_an_image_are_fine(data):
    content = coco()
    grid = [(x + 0.5, y + 0.5) for x in range(WIDTH) for y in range(HEIGHT)][:3072]
    content["annotations"] = [
        {"id": i + 1, "image_id": 1, "category_id": i % 2 + 1, "point_coords": [point]} for i, point in enumerate(grid)
    ]
    report = check(data, content)
    assert set(found(report)) == {"image_empty"} and report.kinds["points"] == 3072


def test_swapped_points_hide_their_consequences(data):
    report = planted(data, swap_points)
    kinds = found(report)
    assert set(kinds) == {"points_swapped", "class_rare"}, "the six points outside are not called outside"
    assert kinds["points_swapped"].count == 6 and report.errors == 1
    assert kinds["points_swapped"].worst[0].points == ((6.5, 50.75),)


def test_points_outside_are_not_called_swapped_if_exchanging_does_not_help(data):
    def plant(content, folder):
        swap_points(content, folder)
        content["annotations"][0]["point_coords"] = [[WIDTH + 1, WIDTH + 1]]

    kinds = found(planted(data, plant))
    assert "points_swapped" not in kinds and kinds["point_outside"].count == 7


def test_percent_needs_images_in_which_chance_would_place_points_elsewhere(data):
    kinds = found(planted(data, as_percent))
    assert set(kinds) == {"points_percent"} and kinds["points_percent"].count == 24
    assert kinds["points_percent"].first[0].detail.endswith("in an image of 400 x 300 (width x height)")


def test_points_up_to_100_in_a_small_image_are_pixels(data):
    report = planted(data, to_points)
    assert "points_percent" not in found(report), "64 x 48 pixels"


def test_a_point_beside_a_box_may_pass_its_border_by_a_pixel(data):
    content = coco()
    x, y, w, h = content["annotations"][0]["bbox"]
    del content["annotations"][0]["segmentation"]
    content["annotations"][0]["point_coords"] = [[x + w + 0.9, y + 1]]
    assert "point_off_box" not in found(check(data, content))
    content["annotations"][0]["point_coords"] = [[x + w + 1.5, y + 1]]
    (case,) = found(check(data, content))["point_off_box"].worst
    assert case.detail == "point [25.5, 7], 1.5 px outside the box" and case.box == (x, y, w, h)


def test_negative_points_may_lie_anywhere(data):
    content = coco()
    content["annotations"][0].update(point_coords=[[5, 7], [60, 40]], point_labels=[1, 0])
    assert found(check(data, content)) == {}


@pytest.mark.parametrize("form", ["polygon", "counts", "compressed"])
def test_points_in_masks_against_decoded_masks(data, form):
    from pycocotools import mask as mask_util

    polygon = [[4, 18, 24, 6, 24, 18]]
    code = mask_util.merge(mask_util.frPyObjects(polygon, HEIGHT, WIDTH))
    mask = mask_util.decode(code).astype(bool)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.T.ravel(), [2]])))).tolist()
    outline = {
        "polygon": polygon,
        "counts": {"size": [HEIGHT, WIDTH], "counts": runs},
        "compressed": {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()},
    }[form]
    for x in np.arange(4, 24, 1.5):
        for y in (6.2, 11.5, 17.9):
            content = coco()
            content["annotations"][0].update(segmentation=outline, point_coords=[[x, y]])
            content["images"], content["annotations"] = content["images"][:1], content["annotations"][:1]
            inside = mask[int(y), int(x)]
            assert ("point_off_mask" in found(check(data, content))) == (not inside), (x, y)


def test_several_points_off_a_mask_are_counted(data):
    content = coco()
    content["annotations"][0].update(
        segmentation=[[4, 18, 24, 6, 24, 18]], point_coords=[[5, 7], [23, 16], [5.5, 7.5], [6, 8]]
    )
    (case,) = found(check(data, content))["point_off_mask"].worst
    assert case.detail == "2 of 4 points", "two points share a pixel"


def test_the_share_of_mixed_images_is_stated(data):
    finding = found(planted(data, mix))["image_mixed"]
    assert finding.count == 1 and finding.rule.title.endswith("(17 % of the images)")
    assert str(finding.first[0]) == "sub/img0.png: 2 masks, 2 points"

    def mix_three(content, folder):
        mix(content, folder)
        del content["annotations"][2]["segmentation"]

    finding = found(planted(data, mix_three))["image_mixed"]
    assert str(finding.first[0]) == "sub/img0.png: 1 mask, 1 box, 2 points"


def test_a_few_small_boxes_are_tiny_and_many_are_points(data):
    def plant(count):
        def change(content, folder):
            for annotation in content["annotations"]:
                del annotation["segmentation"]
            for annotation in content["annotations"][:count]:
                annotation["bbox"] = [*annotation["bbox"][:2], 1, 0.2]

        return change

    assert set(found(planted(data, plant(4)))) == {"box_tiny"}
    assert set(found(planted(data, plant(5)))) == {"box_dot"}
