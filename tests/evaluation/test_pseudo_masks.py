"""Quality of pseudo masks: IoU by annotation id, fallbacks, missing masks, COCO AP."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from coco_evaluation_toy import HEIGHT, WIDTH, edit_json, make_truth, rle

from depthbox.evaluation.coco_ground_truth import read_annotations_alone
from depthbox.evaluation.pseudo_masks import PseudoMask, measure_pseudo_masks, read_pseudo_masks


@pytest.fixture
def truth_file(tmp_path):
    path = tmp_path / "truth.json"
    make_truth(path)
    return path


def read_truth(path):
    return read_annotations_alone(path).annotations


def decode(truth_file):
    """Return annotation id -> mask (H, W) bool of the file."""
    entries = json.loads(truth_file.read_text())["annotations"]
    return {e["id"]: mask_util.decode(e["segmentation"]).astype(bool) for e in entries}


def test_the_true_masks_are_perfect(truth_file):
    quality = measure_pseudo_masks(read_pseudo_masks(truth_file), read_truth(truth_file))
    assert (quality.mean_iou, quality.above_50, quality.above_75) == (1, 1, 1)
    assert (quality.count, quality.missing, quality.unmatched, quality.fallbacks) == (30, 0, 0, 0)
    assert quality.ap["AP"] == pytest.approx(100) and quality.ap["AP75"] == pytest.approx(100)


def test_ious_equal_those_of_arrays(truth_file):
    masks = decode(truth_file)
    shifted = {identity: np.roll(mask, 2, axis=1) for identity, mask in masks.items()}
    ious = np.array([(m & s).sum() / (m | s).sum() for m, s in zip(masks.values(), shifted.values(), strict=True)])
    predicted = {identity: PseudoMask(rle(mask), 0.5) for identity, mask in shifted.items()}
    quality = measure_pseudo_masks(predicted, read_truth(truth_file))
    assert quality.mean_iou == pytest.approx(ious.mean(), abs=1e-12)
    assert quality.above_50 == (ious > 0.5).mean() and quality.above_75 == (ious > 0.75).mean()
    assert 0 < quality.above_75 < 1


def test_missing_objects_count_as_zero_and_fallbacks_are_counted(truth_file):
    masks = read_pseudo_masks(truth_file)
    kept = {identity: mask for identity, mask in masks.items() if identity > 10}
    for identity in (11, 12, 13):
        kept[identity] = PseudoMask(rle(np.ones((HEIGHT, WIDTH), bool)), 0.5, fallback=True)
    quality = measure_pseudo_masks(kept, read_truth(truth_file))
    assert quality.missing == 10 and quality.count == 30
    assert quality.fallbacks == pytest.approx(3 / 30)
    assert quality.above_50 == pytest.approx(17 / 30) and 17 / 30 < quality.mean_iou < 20 / 30
    assert "10 objects have no mask" in str(quality) and "10.0 %" in str(quality)
    assert quality.to_figures()["AP50"] == quality.ap["AP50"] and quality.to_figures()["missing"] == 10


@pytest.mark.parametrize("fast", [True, False])
def test_the_scores_decide_the_ap(truth_file, fast):
    masks = read_pseudo_masks(truth_file)
    wrong = rle(np.eye(HEIGHT, WIDTH, dtype=bool))

    def measure(score_of_wrong):
        given = {
            identity: PseudoMask(wrong, score_of_wrong) if identity % 2 else PseudoMask(mask.segmentation, 0.5)
            for identity, mask in masks.items()
        }
        return measure_pseudo_masks(given, read_truth(truth_file), fast=fast)

    low, high = measure(0.1), measure(0.9)
    assert low.mean_iou == high.mean_iou
    assert low.ap["AP50"] > high.ap["AP50"] + 5 > 5
    assert low.ap["AP50"] == pytest.approx(50, abs=10)


def test_crowds_and_objects_without_a_mask_are_left_out(truth_file):
    masks = read_pseudo_masks(truth_file)

    def change(data):
        data["annotations"][0]["iscrowd"] = 1
        del data["annotations"][1]["segmentation"]

    edit_json(truth_file, change)
    quality = measure_pseudo_masks(masks, read_truth(truth_file))
    assert (quality.count, quality.unmatched, quality.missing) == (28, 2, 0)
    assert "2 masks are not compared" in str(quality)
    assert sorted(read_pseudo_masks(truth_file)) == list(range(3, 31))


def test_no_masks_at_all_give_zero(truth_file):
    quality = measure_pseudo_masks({}, read_truth(truth_file))
    assert (quality.mean_iou, quality.missing, quality.ap["AP"]) == (0, 30, 0)


def test_scores_and_fallbacks_are_read(truth_file):
    def change(data):
        data["annotations"][4] |= {"score": 0.25, "fallback": True}

    edit_json(truth_file, change)
    masks = read_pseudo_masks(truth_file)
    assert (masks[5].score, masks[5].fallback) == (0.25, True)
    assert (masks[6].score, masks[6].fallback) == (1.0, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["annotations"][3].update(id=1), r"annotations\[3\] has no id of its own.*depthbox label"),
        (lambda data: data["annotations"][3].pop("id"), r"annotations\[3\] has no id"),
        (lambda data: data["annotations"][3].update(score="high"), "annotation 4 has the score 'high'"),
        (lambda data: data.pop("annotations"), "missing list.*annotations"),
    ],
)
def test_faulty_files_are_named(truth_file, change, message):
    edit_json(truth_file, change)
    with pytest.raises(ValueError, match=message) as caught:
        read_pseudo_masks(truth_file)
    assert str(truth_file) in str(caught.value)


def test_masks_of_other_data_are_refused(truth_file):
    truth = read_truth(truth_file)
    with pytest.raises(ValueError, match="none of the 1 pseudo masks has the id"):
        measure_pseudo_masks({77: PseudoMask(rle(np.ones((HEIGHT, WIDTH), bool)))}, truth)
    with pytest.raises(ValueError, match="annotation 3 cannot be used: the mask is"):
        measure_pseudo_masks({3: PseudoMask(rle(np.ones((4, 4), bool)))}, truth)
    edit_json(truth_file, lambda data: [entry.pop("segmentation") for entry in data["annotations"]])
    with pytest.raises(ValueError, match=r"contains no masks"):
        measure_pseudo_masks({}, read_truth(truth_file))
