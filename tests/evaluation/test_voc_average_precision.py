"""VOC's mask AP against a brute-force loop, and edge cases computed by hand."""

import math

import numpy as np
import pycocotools.mask as mask_util
import pytest

from depthbox.evaluation.voc_average_precision import (
    THRESHOLDS,
    ClassMatches,
    ImageMasks,
    average_precision,
    compute_mask_iou,
    compute_voc_ap,
)


def encode(masks):
    return [mask_util.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]


def make_image(found, labels, scores, objects, object_labels):
    return ImageMasks(encode(found), list(labels), list(scores), encode(objects), list(object_labels))


def square(x, y, side=4, size=(20, 24)):
    mask = np.zeros(size, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def loop_ap(images, label, threshold):
    """Compute the AP of a class with plain loops; images are (masks, labels, scores, true masks, true labels)."""
    rows, count = [], 0
    for number, (found, labels, scores, objects, object_labels) in enumerate(images):
        mine = [mask for mask, name in zip(objects, object_labels, strict=True) if name == label]
        count += len(mine)
        for mask, name, score in zip(found, labels, scores, strict=True):
            if name != label:
                continue
            ious = [float(np.float64((mask & o).sum()) / np.float64((mask | o).sum())) for o in mine]
            best = max(range(len(mine)), key=lambda index: ious[index]) if mine else None
            rows.append((float(score), number, best, ious[best] if mine else 0.0))
    if not count:
        return math.nan
    rows.sort(key=lambda row: -row[0])  # Python's sort is stable
    taken, hits = set(), []
    for _, number, best, iou in rows:
        hit = iou >= threshold and (number, best) not in taken
        if hit:
            taken.add((number, best))
        hits.append(hit)
    points = [(sum(hits[: k + 1]) / count, sum(hits[: k + 1]) / (k + 1)) for k in range(len(hits))]
    area, before = 0.0, 0.0
    for recall in sorted({recall for recall, _ in points}):
        area += (recall - before) * max(precision for r, precision in points if r >= recall)
        before = recall
    return area


def draw_images(seed, scores_of):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(6):
        count, predictions = int(rng.integers(0, 6)), int(rng.integers(0, 12))
        places = rng.integers(0, (18, 14), (count, 2))
        objects = [square(x, y, int(rng.integers(3, 7))) for x, y in places]
        found = []
        for _ in range(predictions):
            x, y = places[rng.integers(count)] if count else (3, 3)
            found.append(
                square(max(x + rng.integers(-1, 2), 0), max(y + rng.integers(-1, 2), 0), int(rng.integers(3, 7)))
            )
        labels = rng.integers(0, 3, predictions).tolist()
        images.append((found, labels, scores_of(rng, predictions), objects, rng.integers(0, 3, count).tolist()))
    return images


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("digits", [1, 6])  # one digit: many equal scores
def test_values_equal_a_loop(seed, digits):
    images = draw_images(seed, lambda rng, count: rng.random(count).round(digits).astype(np.float32).tolist())
    values = compute_voc_ap((make_image(*image) for image in images), 4)
    expected = [[loop_ap(images, label, threshold) for label in range(4)] for threshold in THRESHOLDS]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    assert np.isnan(values[:, 3]).all() and 0 < np.nanmax(values) <= 1


def test_a_prediction_is_compared_with_one_object_even_if_it_is_taken():
    objects = [square(0, 0, 6), square(4, 0, 6)]
    # Both predictions overlap the first object most; the second one also reaches IoU 0.25 with the second object.
    found = [square(0, 0, 6), square(1, 0, 6)]
    image = make_image(found, [0, 0], [0.9, 0.8], objects, [0, 0])
    assert compute_mask_iou(encode(found[1:]), encode(objects))[0] == pytest.approx([5 / 7, 1 / 3])
    assert compute_voc_ap([image], 1)[0, 0] == pytest.approx(0.5)


def test_equal_scores_keep_their_order():
    true, false = square(0, 0), square(12, 12)
    first = make_image([true, false], [0, 0], [0.5, 0.5], [true], [0])
    second = make_image([false, true], [0, 0], [0.5, 0.5], [true], [0])
    assert compute_voc_ap([first], 1)[1, 0] == 1
    assert compute_voc_ap([second], 1)[1, 0] == 0.5
    empty = make_image([false], [0], [0.5], [], [])
    assert compute_voc_ap([empty, first], 1)[1, 0] == 0.5  # the order of the images, too


def test_scores_that_are_not_a_number_rank_last():
    true, false = square(0, 0), square(12, 12)
    image = make_image([false, true], [0, 0], [math.nan, 0.1], [true], [0])
    assert compute_voc_ap([image], 1)[1, 0] == 1
    image = make_image([false, true], [0, 0], [0.1, math.nan], [true], [0])
    assert compute_voc_ap([image], 1)[1, 0] == 0.5


def test_classes_without_objects_or_predictions():
    image = make_image([square(0, 0)], [1], [0.5], [square(0, 0)], [0])
    values = compute_voc_ap([image], 3)
    assert (values[:, 0] == 0).all() and np.isnan(values[:, 1:]).all()
    assert np.isnan(compute_voc_ap([], 2)).all() and compute_voc_ap([], 2).shape == (4, 2)
    assert compute_voc_ap([image], 2, thresholds=()).shape == (0, 2)


def test_the_threshold_itself_counts():
    match = ClassMatches(np.array([0.9]), np.array([0.5]), np.array([0]), 1)
    assert average_precision(match, 0.5) == 1 and average_precision(match, 0.5 + 1e-12) == 0


def test_the_area_is_not_that_of_eleven_points():
    # Hits at ranks 1 and 3 of 2 objects: precision 1 up to recall 0.5, then 2/3.
    match = ClassMatches(np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0, 1.0]), np.array([0, 0, 1]), 2)
    assert average_precision(match, 0.5) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_empty_masks_and_many_masks_are_compared():
    empty, full = encode([np.zeros((20, 24), bool)]), encode([square(0, 0)])
    assert compute_mask_iou(empty, empty) == 0 and compute_mask_iou(empty, full) == 0
    assert compute_mask_iou(full * 450, full).shape == (450, 1) and compute_mask_iou(full * 450, full).min() == 1
    assert compute_mask_iou([], full).shape == (0, 1)
