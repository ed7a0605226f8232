"""Baselines against our implementations on small inputs: values and gradients."""

import dataclasses

import pytest
import torch

from depthbox.benchmark import inputs
from depthbox.benchmark.baselines.edges import BaselineSupervision, lab_on_cpu
from depthbox.benchmark.baselines.head import BaselineDynamicHead, DenseController, aligned_bilinear
from depthbox.benchmark.baselines.masks import canvas_box_masks, pairwise_nll
from depthbox.benchmark.baselines.paste import paste_rles as dense_paste_rles
from depthbox.benchmark.baselines.paste import paste_rles_one_by_one, pycocotools_stats
from depthbox.benchmark.baselines.targets import assign_targets as dense_assign_targets
from depthbox.benchmark.baselines.targets import mass_centers, select_queries
from depthbox.benchmark.comparison import largest_difference
from depthbox.benchmark.inputs import Setting
from depthbox.benchmark.measure import Pass
from depthbox.benchmark.rows import ops
from depthbox.benchmark.rows.detector import compute_baseline_losses, compute_losses, make_detector_problem
from depthbox.benchmark.rows.evaluation import make_results, make_shapes, write_ground_truth
from depthbox.evaluation.coco_ground_truth import GroundTruth, read_annotations_alone
from depthbox.losses import pairwise_nll as our_pairwise_nll
from depthbox.modeling.fcos import assign_targets
from depthbox.modeling.mask_head import Controller
from depthbox.modeling.mask_head.rle import paste_rles
from depthbox.modeling.supervision.boxes import COLOR
from depthbox.ops import aligned_upsample, box_masks, rgb_to_lab, unpack_edges

CPU = torch.device("cpu")
SMALL = Setting(images=2, height=64, width=96, objects=3, queries=6, classes=5)


@pytest.fixture
def problem():
    return ops.make_mask_problem(SMALL, CPU)


def test_mask_losses_are_equal(problem):
    p = problem
    leaves = {"logits": p.predictions.logits, "depth": p.predictions.depth_logits}
    ours = Pass(lambda: p.criterion(p.predictions, p.queries, p.targets), leaves)()
    theirs = Pass(lambda: p.baseline_criterion(p.predictions, p.queries, p.baseline_targets), leaves)()
    losses = {"loss_projection", "loss_color_pairwise", "loss_depth_consistency", "loss_depth", "loss_pseudo_mask"}
    assert ours.keys() == losses | {"grad logits", "grad depth"}
    assert all(ours[name] > 1e-3 for name in losses) and ours["grad logits"].abs().max() > 1e-6
    assert largest_difference(ours, theirs) < 1e-5
    with pytest.raises(TypeError, match="not packed bits"):
        packed = dataclasses.replace(p.baseline_targets, color_similarity=p.targets[0].targets.edges[COLOR])
        p.baseline_criterion(p.predictions, p.queries, packed)


def test_pairwise_loss_equals_the_formula():
    logits = torch.randn(2, 1, 7, 9) * 3
    found = pairwise_nll(logits)
    torch.testing.assert_close(found, our_pairwise_nll(logits), atol=2e-6, rtol=1e-5)
    a, b = logits[1, 0, 2, 3].sigmoid(), logits[1, 0, 4, 5].sigmoid()  # the last of the eight neighbors
    assert found[1, 7, 2, 3].item() == pytest.approx(-torch.log(a * b + (1 - a) * (1 - b)).item(), abs=1e-5)
    assert found[:, 0, :2].abs().max() < 1e-6  # outside the map


def test_boxes_drawn_on_a_canvas_are_equal():
    boxes = torch.tensor([[3.2, 5.0, 20.9, 33.0], [-4.0, 0.0, 7.0, 95.5], [90.0, 60.0, 99.0, 70.0]])
    drawn = canvas_box_masks(boxes, (64, 96), 4)
    assert torch.equal(drawn.bool(), box_masks(boxes, 16, 24, 4)) and drawn.sum() > 0


@pytest.mark.parametrize("depth_layer", [True, False])
def test_dynamic_heads_are_equal(problem, depth_layer):
    p = problem
    head = type(p.head)(in_channels=SMALL.channels, depth_layer=depth_layer)
    params = p.params.detach()[:, : head.num_params].clone().requires_grad_()
    cotangents = {"logits": torch.randn(12, 1, 16, 24), "depth_logits": torch.randn(12, 1, 16, 24)}
    leaves = {"features": p.features, "params": params}

    def run(module):
        return Pass(lambda: dict(vars(module(p.features, params, p.queries))), leaves, cotangents)()

    ours, theirs = run(head), run(BaselineDynamicHead(head))
    assert (ours["depth_logits"] is None) != depth_layer and ours["logits"].shape == (12, 1, 16, 24)
    assert largest_difference(ours, theirs) < 1e-4


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_upsampling_is_equal(factor):
    x = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(aligned_bilinear(x, factor), aligned_upsample(x, factor), atol=1e-5, rtol=1e-5)


def test_the_dense_controller_gives_the_same_filters():
    controller = Controller(4, 11)
    tower = [torch.randn(2, 4, *size, requires_grad=True) for size in SMALL.levels]
    queries = inputs.make_queries(SMALL, inputs.make_boxes(SMALL, CPU))
    ours = Pass(lambda: {"params": controller(tower, queries).square().sum()}, {"w": controller.weight})()
    dense = DenseController(controller)
    theirs = Pass(lambda: {"params": dense(tower, queries).square().sum()}, {"w": controller.weight})()
    assert largest_difference(ours, theirs) < 1e-5 and ours["params"] > 0


def test_edges_are_equal():
    pytest.importorskip("skimage")
    images, depth = inputs.make_images(SMALL, CPU), inputs.make_depth(SMALL, CPU)
    valid = torch.ones(2, *SMALL.grid, dtype=torch.bool)
    valid[:, -2:] = False
    ours, baseline = ops.make_supervision(), BaselineSupervision.like(ops.make_supervision())
    color = unpack_edges(ours.color_edges(images, valid))
    assert (color != (baseline.color_edges(images, valid) >= 0.3)).float().mean() < 1e-3
    assert 0.05 < color.float().mean() < 0.95
    similar = unpack_edges(ours.depth_edges(depth, valid))
    assert torch.equal(similar, baseline.depth_edges(depth, valid) > 0.5) and 0.05 < similar.float().mean() < 0.95


def test_lab_is_equal():
    pytest.importorskip("skimage")
    images = torch.randint(0, 256, (2, 3, 5, 6)).float()
    torch.testing.assert_close(lab_on_cpu(images), rgb_to_lab(images / 255), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("objects", [0, 1, 7, 40])
@pytest.mark.parametrize("center_sample", [True, False])
@pytest.mark.parametrize("mass", [True, False])
def test_assignment_is_equal(objects, center_sample, mass):
    setting = SMALL.with_objects(objects)
    p = make_detector_problem(setting, CPU)
    size = (setting.height, setting.width) if mass else None
    more = {"center_sample": center_sample, "mass_center_size": size}
    ours = assign_targets(p.locations, p.boxes, p.classes, setting.classes, **more)
    dense = dense_assign_targets(p.locations, p.boxes, p.classes, setting.classes, **more)
    assert largest_difference(dict(vars(ours)), dict(vars(dense))) < 1e-6
    assert (ours.labels < setting.classes).any() == (objects > 0)


def test_detector_losses():
    setting = SMALL.with_objects(12)
    p = make_detector_problem(setting, CPU)
    ours = Pass(lambda: compute_losses(p, setting), p.leaves)()
    theirs = Pass(lambda: compute_baseline_losses(p, setting), p.leaves)()
    assert len(ours) == 3 + 15 and largest_difference(ours, theirs) < 1e-5
    assert all(ours[f"loss_fcos_{name}"] > 0 for name in ("cls", "loc", "ctr"))
    assert all(ours[f"grad {name} 0"].abs().max() > 0 for name in ("logits", "deltas", "quality"))


def test_queries_are_selected_object_by_object():
    setting = SMALL.with_objects(4)
    p = make_detector_problem(setting, CPU)
    _, queries = p.detector.losses(p.outputs, p.boxes, p.classes, (64, 96))
    found = dense_assign_targets(p.locations, p.boxes, p.classes, 5, mass_center_size=(64, 96))
    logits, quality = (
        torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2).detach()
        for maps in (p.outputs.logits, p.outputs.quality)
    )
    chosen = select_queries(found, logits, quality[..., 0], 5, setting.queries)
    locations = [{tuple(x) for x in p.locations.xy[index].tolist()} for index in chosen]
    ours = [{tuple(x) for x in part.tolist()} for part in queries.locations.split(list(queries.counts))]
    assert locations == ours and all(ours)


def test_center_of_mass_of_a_rectangle():
    mask = torch.zeros(1, 40, 50)
    mask[0, 10:20, 4:7] = 1
    assert mass_centers(mask).tolist() == [[5.0, 14.5]]


@pytest.mark.parametrize("output", [(60, 90), (150, 200)])
def test_pasting_is_bit_identical(output):
    boxes = inputs.make_boxes(SMALL.with_objects(9), CPU)[0]
    logits = inputs.make_blob_logits(boxes, SMALL.grid, 4, SMALL.generator())
    ours = paste_rles(logits, 4, (60, 90), output)
    assert ours == paste_rles_one_by_one(logits, 4, (60, 90), output)
    assert [rle["size"] for rle in dense_paste_rles(logits, 4, (60, 90), output)] == [list(output)] * 9
    assert len({rle["counts"] for rle in ours}) > 5


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_evaluation_is_equal(tmp_path, task):
    shapes = make_shapes(8)
    results = make_results(shapes, write_ground_truth(tmp_path / "truth.json", shapes, 6), 10)
    assert len(results) == 60
    stats = pycocotools_stats(str(tmp_path / "truth.json"), results, task)
    field = "bbox" if task == "bbox" else "segmentation"
    rows = [{key: row[key] for key in ("image_id", "category_id", "score", field)} for row in results]
    ours, _ = GroundTruth(read_annotations_alone(tmp_path / "truth.json")).average_precision(rows, task)
    assert ours == pytest.approx(stats, nan_ok=True, abs=1e-9) and 0 < stats[0] < 100
