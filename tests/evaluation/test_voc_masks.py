"""VocMaskEvaluator: values, several processes, damaged input, choice of the best checkpoint."""

import json
import math

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from coco_evaluation_toy import HEIGHT, WIDTH, assert_same, edit_json, instances, make_truth, new_dataset, noisy
from detectron2.data import MetadataCatalog

from depthbox.evaluation import VocMaskEvaluator
from depthbox.evaluation.coco_results import encode_masks
from depthbox.evaluation.voc_average_precision import THRESHOLDS, ImageMasks, compute_voc_ap

MEANS = ["mAP25", "mAP50", "mAP70", "mAP75"]


@pytest.fixture
def dataset(tmp_path):
    """Name and JSON path of a registered dataset."""
    return new_dataset(tmp_path)


def evaluate(name, found, **options):
    evaluator = VocMaskEvaluator(name, **options)
    for image_id, detections in found.items():
        evaluator.process([{"image_id": image_id}], [{"instances": detections}])
    return evaluator.evaluate()


def test_perfect_predictions_give_100(dataset):
    truth = make_truth(dataset[1])
    (task, values), *others = evaluate(dataset[0], {i: instances(*rows) for i, rows in truth.items()}).items()
    assert task == "segm" and not others and list(values)[:4] == MEANS
    assert all(value == pytest.approx(100) for value in values.values())
    assert {f"AP{t}-{name}" for t in (25, 50, 70, 75) for name in ("ring", "disc", "bar")} == set(values) - set(MEANS)


def test_values_equal_those_of_the_formula(dataset, tmp_path):
    truth = make_truth(dataset[1])
    found = noisy(truth)
    values = evaluate(dataset[0], found, output_dir=tmp_path)["segm"]
    images = [
        ImageMasks(
            encode_masks(found[i].pred_masks), found[i].pred_classes.tolist(), found[i].scores.tolist(),
            encode_masks(torch.from_numpy(masks)), classes.tolist(),
        )
        for i, (_, classes, masks) in truth.items()
    ]  # fmt: skip
    table = 100 * compute_voc_ap(images, 3)
    for row, threshold in zip(table, THRESHOLDS, strict=True):
        assert values[f"mAP{100 * threshold:.0f}"] == pytest.approx(row.mean(), abs=1e-9)
        for name, value in zip(("ring", "disc", "bar"), row, strict=True):
            assert values[f"AP{100 * threshold:.0f}-{name}"] == pytest.approx(value, abs=1e-9)
    assert 5 < values["mAP75"] < values["mAP25"] < 95
    assert len(json.loads((tmp_path / "coco_instances_results.json").read_text())) == 60


def test_rle_masks_give_equal_results(dataset):
    found = noisy(make_truth(dataset[1]))
    given = evaluate(dataset[0], found)
    for detections in found.values():
        detections.pred_masks_rle = encode_masks(detections.pred_masks)
        detections.remove("pred_masks")
    assert_same(given, evaluate(dataset[0], found))


def test_class_indices_follow_the_metadata(dataset):
    truth = make_truth(dataset[1])
    MetadataCatalog.get(dataset[0]).set(thing_dataset_id_to_contiguous_id={9: 0, 2: 1, 5: 2})
    renamed = {i: instances(boxes, (classes + 1) % 3, masks) for i, (boxes, classes, masks) in truth.items()}
    assert evaluate(dataset[0], renamed)["segm"]["mAP75"] == pytest.approx(100)


@pytest.mark.parametrize("found", [{}, {1: instances([], []), 2: instances([], [], np.zeros((0, 60, 80), bool))}])
def test_no_predictions_give_0(dataset, found, caplog):
    make_truth(dataset[1])
    values = evaluate(dataset[0], found)["segm"]
    assert set(values.values()) == {0.0} and "of 6 images" in caplog.text


def test_classes_without_objects_are_nan_and_do_not_enter_the_mean(dataset, caplog):
    truth = make_truth(dataset[1])

    def change(data):
        for entry in data["annotations"]:
            entry["iscrowd"] = int(entry["category_id"] == 2)

    edit_json(dataset[1], change)
    values = evaluate(dataset[0], {i: instances(*rows) for i, rows in truth.items()})["segm"]
    assert math.isnan(values["AP50-ring"]) and values["mAP50"] == pytest.approx(100)
    assert "crowds and objects without a mask are not evaluated" in caplog.text


def test_no_object_at_all_gives_nan(dataset):
    make_truth(dataset[1])
    edit_json(dataset[1], lambda data: data.update(annotations=[]))
    assert all(math.isnan(value) for value in evaluate(dataset[0], {})["segm"].values())
    edit_json(dataset[1], lambda data: data.pop("annotations"))
    assert evaluate(dataset[0], {}) == {}


def test_an_image_predicted_twice_counts_once(dataset):
    found = {i: instances(*rows) for i, rows in make_truth(dataset[1]).items()}
    evaluator = VocMaskEvaluator(dataset[0])
    for image_id, detections in [*found.items(), *found.items()]:
        evaluator.process([{"image_id": image_id}], [{"instances": detections}])
    assert evaluator.evaluate()["segm"]["mAP50"] == pytest.approx(100)


def test_scores_that_are_not_finite_are_reported(dataset, caplog):
    truth = make_truth(dataset[1])
    boxes, classes, masks = truth[1]
    found = {1: instances(boxes, classes, masks, [float("nan"), 0.9, 0.8, 0.7, 0.6])}
    assert 0 < evaluate(dataset[0], found)["segm"]["mAP50"] < 100
    assert "1 predictions have scores that are not finite" in caplog.text


def test_errors_name_the_problem(dataset):
    boxes, classes, masks = make_truth(dataset[1])[1]
    with pytest.raises(ValueError, match=r"image 1: the predictions have no masks.*EVALUATOR coco"):
        evaluate(dataset[0], {1: instances(boxes, classes)})
    with pytest.raises(ValueError, match=rf"masks of \[30, 40\].*the image has \[{HEIGHT}, {WIDTH}\]"):
        evaluate(dataset[0], {1: instances(boxes, classes, masks[:, ::2, ::2])})
    with pytest.raises(ValueError, match=r"predicted class 3.*3 classes"):
        evaluate(dataset[0], {1: instances(boxes, np.full(5, 3), masks)})
    edit_json(dataset[1], lambda data: [entry.pop("segmentation") for entry in data["annotations"]])
    with pytest.raises(ValueError, match=r"has no masks, which TEST\.EVALUATOR voc_masks compares"):
        VocMaskEvaluator(dataset[0])


def evaluate_on_rank(rank, name, json_file, init, found, output):
    MetadataCatalog.get(name).set(json_file=json_file)
    torch.distributed.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    mine = {image_id: rows for image_id, rows in found.items() if image_id % 2 == rank or image_id == 6}
    torch.save(evaluate(name, mine), f"{output}.{rank}")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(dataset, tmp_path):
    found = noisy(make_truth(dataset[1]))
    arguments = (dataset[0], str(dataset[1]), f"file://{tmp_path}/init", found, str(tmp_path / "results"))
    mp.start_processes(evaluate_on_rank, args=arguments, nprocs=2, start_method="fork")
    both = [torch.load(tmp_path / f"results.{rank}", weights_only=False) for rank in (0, 1)]
    assert_same(both[0], evaluate(dataset[0], found))
    assert both[1] == {}
