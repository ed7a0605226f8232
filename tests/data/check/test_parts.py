"""Parts of the check against slow, obvious references: repeated boxes, box format, shapes, depth."""

import numpy as np
import pytest

from depthbox.data.check.boxes import check_boxes, fit_as_corners
from depthbox.data.check.depth import DepthFacts, inspect_depth, judge_depth
from depthbox.data.check.findings import Example, Findings
from depthbox.data.check.images import choose_evenly
from depthbox.data.check.notes import add_notes
from depthbox.data.check.outlines import box_iou
from depthbox.data.check.records import BoxTable, ImageRecord
from depthbox.data.check.rules import rule_of_note
from depthbox.data.depth_io import write_depth
from depthbox.io.annotations.readers.rules import FILE_UNREADABLE
from depthbox.io.annotations.records import Note


def table(boxes, size=(100, 200), categories=None):
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    count = len(boxes)
    category = np.zeros(count, np.int64) if categories is None else np.asarray(categories)
    images = (ImageRecord(1, "a.jpg", size),)
    return BoxTable(images, boxes, np.zeros(count, np.int64), category, np.zeros(count, bool), list(range(count)))


def found(boxes, min_size=100, max_size=1333, **options):
    findings = Findings()
    check_boxes(table(boxes, **options), findings, min_size, max_size)
    return {finding.rule.kind: finding for finding in findings.list()}


def iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


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
    assert {"box_duplicate", "image_crowded"} <= set(found(boxes))


def test_corner_format_is_recognized_and_big_boxes_are_not_taken_for_it():
    generator = np.random.default_rng(3)
    sides = generator.uniform(10, 80, (80, 2))
    corner = generator.uniform(0, 1, (80, 2)) * (np.array([200, 100]) - sides)
    good = np.concatenate([corner, sides], 1)
    assert not set(found(good)) & {"box_xyxy", "box_normalized"}
    corners = np.concatenate([corner, corner + sides], 1)
    assert set(found(corners)) == {"box_xyxy"} and found(corners)["box_xyxy"].count == 80
    assert fit_as_corners(table(corners)).all() and not fit_as_corners(table(good)).all()
    # Large objects at the top left, as of portraits: w > x for all of them, but none reaches out of the image.
    portraits = np.concatenate([np.full((50, 2), 5.0), generator.uniform(40, 90, (50, 2))], 1)
    assert "box_xyxy" not in found(portraits)
    # A tenth of boxes that reach out does not make the others corners.
    some = good.copy()
    some[::8, 2:] += 120
    assert "box_xyxy" not in found(some)


def test_a_few_boxes_within_one_pixel_are_tiny_and_no_fractions():
    few = found([[0.1, 0.2, 0.5, 0.5], [20, 20, 30, 30], [60, 20, 30, 30], [100, 20, 30, 30]])
    assert set(few) == {"box_tiny"} and "0.5 px" in few["box_tiny"].first[0].detail


def test_tiny_follows_the_size_of_the_input():
    box = [[5, 5, 3, 30]]
    assert "box_tiny" in found(box, 100) and "box_tiny" not in found(box, 134), "3 px of 100 are 4.02 of 134"
    assert "box_tiny" in found(box, 800, 260), "the long side of 200 allows a scale of 1.3 only"


def test_shapes_of_boxes():
    assert set(found([[0, 0, 191, 96]])) == {"box_huge"} and found([[0, 0, 191, 94]]) == {}
    assert set(found([[5, 5, 105, 5]])) == {"box_thin"} and found([[5, 5, 100, 5]]) == {}


def test_crowded_images():
    boxes = [[x, y, 5, 5] for x in range(0, 150, 6) for y in range(0, 24, 6)]
    assert found(boxes) == {}
    (finding,) = found([*boxes, [180, 80, 9, 9]]).values()
    assert (finding.rule.kind, finding.first[0].detail) == ("image_crowded", "101 objects")


def test_no_boxes_at_all():
    assert found([]) == {}


def test_iou_against_the_reference():
    generator = np.random.default_rng(4)
    for a, b in generator.uniform(1, 50, (50, 2, 4)):
        assert box_iou(tuple(a), tuple(b)) == pytest.approx(iou(a, b))


def test_findings_keep_order_and_refuse_unknown_kinds():
    findings = Findings()
    for number, badness in enumerate([1.0, 5.0, 5.0, -2.0]):
        findings.add("box_tiny", Example(str(number)), badness)
    findings.add("depth_missing", Example("x"))
    missing, tiny = findings.list()
    assert missing.rule.severity == "error" and [e.detail for e in tiny.worst] == ["1", "2", "0", "3"]
    with pytest.raises(KeyError):
        findings.add("box_green", Example(""))


def test_findings_of_the_reader_and_of_the_check_are_added_up():
    findings = Findings()
    add_notes([Note("left out", "image_unreadable", 7, "images", ("a", "b"))], findings, images=20)
    findings.add("image_unreadable", Example("c"))
    (finding,) = findings.list()
    assert finding.count == 8 and [str(e) for e in finding.first] == ["a", "b", "c"]


@pytest.mark.parametrize(("missing", "severity"), [(5, "warning"), (6, "error")])
def test_more_than_half_of_the_images_missing_is_an_error(missing, severity):
    findings = Findings()
    add_notes([Note("left out", "image_missing", missing, "images")], findings, images=10)
    assert findings.list()[0].rule.severity == severity


def test_images_are_chosen_evenly():
    images = [ImageRecord(n, f"{n}.png", (9, 9)) for n in range(10)]
    assert [image.number for image in choose_evenly(images, 3)] == [0, 3, 6]
    assert choose_evenly(images, None) == choose_evenly(images, 99) == images


def depth_facts(tmp_path, values):
    path = tmp_path / "a.png"
    write_depth(path, values)
    found, facts = inspect_depth(ImageRecord(1, "a.png", values.shape), path, values.shape)
    assert found == []
    return facts


def ramp(low, high):
    return np.repeat(np.linspace(low, high, 60)[:, None], 80, 1)


def with_holes(values):
    values = values.copy()
    values[:, :9] = 0
    return values


@pytest.mark.parametrize(
    ("values", "sensor", "reverse"),
    [
        (ramp(0, 1), False, False),
        (ramp(1, 0), False, True),
        (with_holes(ramp(0.06, 0.01)), True, True),
        (with_holes(ramp(0.03, 0.03 + 1e-2)), False, False),
        (ramp(0.06, 0.01), True, True),
        (ramp(0.01, 0.06), False, False),
        (with_holes(np.tile(np.linspace(0.02, 0.06, 80), (60, 1))), True, False),
        (with_holes(ramp(0.9, 0.2)), False, True),
    ],
    ids=["near at the bottom", "near at the top", "sensor", "small disparities", "sensor without holes",
         "not stretched", "sensor of a wall", "reversed with sky"],
)  # fmt: skip
def test_units_and_directions_of_depth(tmp_path, values, sensor, reverse):
    facts = depth_facts(tmp_path, values)
    assert (facts.sensor, facts.reversed) == (sensor, reverse)


def judged(*facts):
    findings = Findings()
    judge_depth([DepthFacts(Example(str(n)), *fact) for n, fact in enumerate(facts)], findings)
    return {finding.rule.kind: finding.count for finding in findings.list()}


def test_depth_is_judged_over_all_maps():
    sensor, reverse, good = (True, True), (False, True), (False, False)
    assert judged(sensor, sensor, good) == {"depth_sensor": 2} and judged(sensor, good) == {}
    assert judged(*[reverse] * 4) == {}, "too few to tell"
    assert judged(*[reverse] * 4, good) == {"depth_reversed": 4}
    assert judged(*[reverse] * 3, good, good) == {} and judged() == {}


def test_annotation_files_that_cannot_be_read_are_errors():
    assert rule_of_note(FILE_UNREADABLE).severity == "error"
