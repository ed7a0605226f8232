"""Parts of the check against slow, obvious references: RLE, repeated boxes, box format."""

import numpy as np
import pytest
from pycocotools import mask as mask_util

from depthbox.data.check.boxes import check_boxes
from depthbox.data.check.findings import Example, Findings
from depthbox.data.check.records import BoxTable, ImageRecord
from depthbox.data.check.segmentation import inspect_segmentation, rle_counts


def table(boxes, size=(100, 200), categories=None):
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    count = len(boxes)
    category = np.zeros(count, np.int64) if categories is None else np.asarray(categories)
    images = (ImageRecord(1, "a.jpg", size),)
    return BoxTable(images, boxes, np.zeros(count, np.int64), category, np.zeros(count, bool), list(range(count)))


def found(boxes, **options):
    findings = Findings()
    check_boxes(table(boxes, **options), findings, min_size=100, max_size=1333)
    return {finding.rule.kind: finding for finding in findings.list()}


def iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def test_rle_counts_against_pycocotools():
    generator = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.5, 1.0):
        mask = generator.random((37, 90)) < density
        rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
        runs, pixels = [], mask.ravel(order="F")
        value, length = False, 0
        for pixel in pixels:
            if pixel != value:
                runs.append(length)
                value, length = pixel, 0
            length += 1
        runs.append(length)
        assert rle_counts(rle["counts"].decode()).tolist() == runs
        assert inspect_segmentation({"size": [37, 90], "counts": rle["counts"].decode()}).kind == ""
        assert "an RLE of 3330 pixels" in inspect_segmentation({"size": [38, 90], "counts": runs}).detail


@pytest.mark.parametrize(
    "value",
    [
        "RLE",
        [3, 4],
        [{"size": [1, 1]}],
        [[0, 0, 1, 1, None, 2]],
        [[0, 0, 1, 1, float("nan"), 2]],
        [[10**400, 0.5, 1, 1, 2, 2]],
        {"counts": "x"},
        {"size": [2], "counts": [4]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2], "counts": "\x00\u20ac"},
        {"size": [2, 2], "counts": "oo"},
        {"size": [2, 2], "counts": "o" * 99 + "0"},
        {"size": [2, 2], "counts": 4},
    ],
)
def test_malformed_segmentations(value):
    assert inspect_segmentation(value).kind == "segmentation_malformed"


def test_missing_and_good_segmentations():
    assert inspect_segmentation(None) is None and inspect_segmentation([]) is None
    assert inspect_segmentation([[0, 0, 1, 1], [0, 0, 4, 0, 4, 4.5]]).kind == "", "one usable polygon is enough"
    assert inspect_segmentation([[0, 0, 1, 1, 2]]).kind == "segmentation_short"


def test_repeated_boxes_against_all_pairs():
    generator = np.random.default_rng(1)
    boxes = generator.uniform([0, 0, 10, 10], [100, 50, 60, 40], (60, 4))
    copies = boxes[:25] * generator.uniform(0.985, 1.015, (25, 4))
    boxes = np.concatenate([boxes, copies])
    categories = np.arange(len(boxes)) % 2
    copied = {
        (j, i)
        for j in range(len(boxes))
        for i in range(j)
        if categories[i] == categories[j] and iou(boxes[i], boxes[j]) > 0.95
    }
    # Each object has at most one copy here, so the pairs are exactly those.
    finding = found(boxes, categories=categories)["box_duplicate"]
    assert finding.count == len(copied) >= 5
    pairs = {(e.annotation_id, int(e.detail.split()[-1])) for e in finding.first + finding.worst}
    assert pairs <= copied
    for example in finding.first:
        other = boxes[int(example.detail.split()[-1])]
        assert f"IoU {iou(example.box, other):.3f} " in example.detail


def test_a_box_five_times_is_four_repetitions():
    assert found([[5, 5, 30, 30]] * 5 + [[50, 50, 9, 9]])["box_duplicate"].count == 4


def test_thousands_of_boxes_in_an_image_take_no_square_of_memory():
    generator = np.random.default_rng(2)
    boxes = generator.uniform([0, 0, 5, 5], [190, 90, 9, 9], (20_000, 4))
    assert "box_duplicate" in found(boxes)


def test_corner_format_is_recognised_and_big_boxes_are_not_taken_for_it():
    generator = np.random.default_rng(3)
    sides = generator.uniform(10, 80, (200, 2))
    corner = generator.uniform(0, 1, (200, 2)) * (np.array([200, 100]) - sides)
    good = np.concatenate([corner, sides], 1)
    assert not set(found(good)) & {"box_xyxy", "box_normalised", "box_outside", "box_partly_outside"}
    wrong = found(np.concatenate([corner, corner + sides], 1))
    assert set(wrong) == {"box_xyxy"} and wrong["box_xyxy"].count == 200
    # Large objects at the top left, as of portraits: w > x for all of them, but none reaches out of the image.
    portraits = np.concatenate([np.full((50, 2), 5.0), generator.uniform(40, 90, (50, 2))], 1)
    assert "box_xyxy" not in found(portraits)
    # A tenth of boxes that reach out does not make the others corners.
    some = good.copy()
    some[::8, 2:] += 120
    assert "box_partly_outside" in found(some) and "box_xyxy" not in found(some)


def test_a_few_boxes_within_one_pixel_are_tiny_and_no_shares():
    few = found([[0.1, 0.2, 0.5, 0.5], [20, 20, 30, 30], [60, 20, 30, 30], [100, 20, 30, 30]])
    assert set(few) == {"box_tiny"} and "0.5 px" in few["box_tiny"].first[0].detail


def test_tiny_follows_the_size_of_the_input():
    def tiny(min_size, max_size):
        findings = Findings()
        check_boxes(table([[5, 5, 3, 30]]), findings, min_size, max_size)
        return findings.count("box_tiny")

    assert tiny(100, 1333) == 1 and tiny(134, 1333) == 0, "3 px of 100 are 4.02 of 134"
    assert tiny(800, 260) == 1, "the long side of 200 allows a scale of 1.3 only"


def test_no_boxes_at_all():
    assert found([]) == {}


def test_findings_keep_order_and_refuse_unknown_kinds():
    findings = Findings()
    for number, badness in enumerate([1.0, 5.0, 5.0, -2.0]):
        findings.add("box_zero", Example(str(number)), badness)
    (finding,) = findings.list()
    assert [e.detail for e in finding.worst] == ["1", "2", "0", "3"]
    with pytest.raises(KeyError):
        findings.add("box_green", Example(""))
