"""Supervision by boxes against loops in float64: similar pairs, excluded cells, weights and normalization."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from depthbox.modeling.supervision.boxes import COLOR, DEPTH, PROJECTION, BoxSupervision, BoxTargets
from depthbox.ops import box_masks, neighbor_offsets, rgb_to_lab, unpack_edges
from depthbox.structures import Annotations, MaskPredictions, Queries

STRIDE = 4
BOXES = [torch.tensor([[2.0, 3, 20, 25], [10, 8, 30, 20]]), torch.tensor([[0.0, 0, 39, 31]])]


def supervision(**options: Any) -> BoxSupervision:
    keys = {"stride": STRIDE, "rgb": True, "color_threshold": 0.3, "size": 3, "dilation": 1}
    return BoxSupervision(**{**keys, "consistency_weight": 1.0, "depth_scale": 8.0, **options})


def annotations(heights: tuple[int, int] = (32, 28)) -> Annotations:
    depth = [torch.rand(1, 32, 40), torch.rand(1, 28, 36)]
    classes = [torch.zeros(len(boxes), dtype=torch.int64) for boxes in BOXES]
    return Annotations(list(heights), BOXES, classes, {"depth": depth})


def batch() -> tuple[Tensor, list[tuple[int, int]]]:
    """Return two padded images of smooth colors and their sizes."""
    images = F.interpolate(100 + torch.rand(2, 3, 4, 5) * 24, size=(32, 40), mode="bilinear")
    images[1, :, 28:] = images[1, :, :, 36:] = 0
    return images, [(32, 40), (28, 36)]


def queries(*targets: int) -> Queries:
    images = torch.tensor([0 if target < 2 else 1 for target in targets], dtype=torch.int64)
    zeros = torch.zeros_like(images)
    counts = (int((images == 0).sum()), int((images == 1).sum()))
    locations = torch.zeros(len(targets), 2)
    return Queries(images, zeros, zeros, zeros, locations, torch.tensor(targets, dtype=torch.int64), counts)


def pairs_in_loops(values: Tensor, valid: Tensor, is_similar: Any) -> Tensor:
    """Return the similar pairs (8, H, W) of one image with values (C, H, W), pair by pair."""
    height, width = valid.shape
    result = torch.zeros(8, height, width, dtype=torch.bool)
    for k, (dy, dx) in enumerate(neighbor_offsets(3, 1)):
        for y in range(height):
            for x in range(width):
                i, j = y + dy, x + dx
                if 0 <= i < height and 0 <= j < width and valid[i, j]:
                    distance = float(torch.linalg.vector_norm(values[:, y, x].double() - values[:, i, j].double()))
                    result[k, y, x] = is_similar(distance)
    return result


@pytest.mark.parametrize("scale", [1.0, 8.0, 40.0])
def test_depth_pairs_have_a_similarity_above_the_threshold(scale: float) -> None:
    """S_d = exp(-kappa |difference|) > tau_d: other values of kappa give other pairs."""
    kind, depth = supervision(depth_scale=scale, depth_threshold=0.4), torch.rand(2, 6, 7)
    valid = torch.rand(2, 6, 7) > 0.2
    found = unpack_edges(kind.depth_edges(depth, valid))
    for b in range(2):
        expected = pairs_in_loops(depth[b][None], valid[b], lambda d: math.exp(-scale * d) > 0.4)
        assert torch.equal(found[b], expected)


def test_a_larger_kappa_leaves_fewer_depth_pairs() -> None:
    depth, valid = torch.rand(1, 8, 9), torch.ones(1, 8, 9, dtype=torch.bool)
    counts = [
        int(unpack_edges(supervision(depth_scale=scale).depth_edges(depth, valid)).sum())
        for scale in (0.5, 2.0, 8.0, 100.0)
    ]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == 4
    every = unpack_edges(supervision(depth_threshold=0.0).depth_edges(depth, valid))
    assert int(every.sum()) == counts[0] == 2 * (7 * 9 + 8 * 8 + 2 * 7 * 8)  # all pairs inside the map


@pytest.mark.parametrize("key", ["SCALE", "THRESH"])
def test_the_config_decides_about_the_depth_pairs(make_cfg, key: str) -> None:
    depth, valid = torch.rand(1, 8, 9), torch.ones(1, 8, 9, dtype=torch.bool)
    counts = []
    for value in (2.0, 20.0) if key == "SCALE" else (0.2, 0.9):
        cfg = make_cfg(MODEL__DEPTH__CONSISTENCY=True, MODEL__DEPTH__SCALE=3.0)
        cfg.MODEL.DEPTH[key] = value
        counts.append(int(unpack_edges(BoxSupervision(cfg).depth_edges(depth, valid)).sum()))
    assert counts[0] > counts[1] > 0


def test_color_pairs_match_loops_and_follow_the_order_of_the_channels() -> None:
    (images, sizes), kind = batch(), supervision()
    valid = kind.valid_cells(images, sizes, [32, 28])
    found = unpack_edges(kind.color_edges(images, valid))
    lab = rgb_to_lab(F.avg_pool2d(images, STRIDE).floor() / 255)
    for b in range(2):
        expected = pairs_in_loops(lab[b], valid[b], lambda d: math.exp(-d / 2) >= 0.3)
        assert torch.equal(found[b], expected) and found[b].any() and not found[b].all()
    bgr = supervision(rgb=False)
    assert torch.equal(bgr.color_edges(images.flip(1), valid), kind.color_edges(images, valid))
    assert not torch.equal(bgr.color_edges(images, valid), kind.color_edges(images, valid))


def test_a_color_threshold_of_zero_accepts_all_valid_pairs() -> None:
    (images, sizes), kind = batch(), supervision(color_threshold=0.0)
    valid = kind.valid_cells(images, sizes, [32, 28])
    found = unpack_edges(kind.color_edges(images, valid))
    for b in range(2):
        assert torch.equal(found[b], pairs_in_loops(torch.zeros(1, 8, 10), valid[b], lambda _: True))


@pytest.mark.parametrize(
    ("removed", "original", "rows"), [(0, 32, 8), (10, 32, 5), (10, 64, 7), (10, 16, 3), (99, 32, 0)]
)
def test_rows_at_the_bottom_of_the_original_image_are_left_out(removed: int, original: int, rows: int) -> None:
    """Ten rows of the original image are 10 * height / original rows of the resized one."""
    kind = supervision(bottom_pixels_removed=removed)
    valid = kind.valid_cells(torch.zeros(1, 3, 32, 40), [(32, 36)], [original])
    expected = torch.zeros(1, 8, 10, dtype=torch.bool)
    expected[:, :rows, :9] = True  # cell 9 samples column 38, beyond the width of 36
    assert torch.equal(valid, expected)


def test_targets_have_one_box_per_object_and_one_edge_set_per_loss() -> None:
    images, sizes = batch()
    targets = supervision().targets(images, sizes, annotations())
    boxes = targets.rows[:, :, None] & targets.columns[:, None, :]
    assert torch.equal(boxes, box_masks(torch.cat(BOXES), 8, 10, STRIDE))
    assert list(targets.edges) == [COLOR, DEPTH]
    without = supervision(consistency_weight=0.0)
    assert list(without.targets(images, sizes, annotations()).edges) == [COLOR] and without.fields == ()


def reference(logits: Tensor, targets: BoxTargets, found: Queries, weight: Tensor) -> dict[str, Tensor]:
    """Compute the losses query by query and pair by pair in float64, with the means of all queries and pairs."""
    logits, projections = logits.double()[:, 0], []
    sums: dict[str, Tensor] = {name: logits.new_zeros(()) for name in targets.edges}
    counts = dict.fromkeys(targets.edges, 0)
    for n, (b, m) in enumerate(zip(found.image_index.tolist(), found.target_index.tolist(), strict=True)):
        scores, rows, columns = logits[n].sigmoid(), targets.rows[m].double(), targets.columns[m].double()
        projection = logits.new_zeros(())
        for profile, goal in ((scores.amax(1), rows), (scores.amax(0), columns)):
            projection = projection + 1 - 2 * (profile * goal).sum() / ((profile**2).sum() + (goal**2).sum() + 1e-5)
        projections.append(projection * float(weight[n]))
        if weight[n] == 0:
            continue
        for name, packed in targets.edges.items():
            for k, y, x in torch.nonzero(unpack_edges(packed)[b]).tolist():
                if rows[y] and columns[x]:
                    dy, dx = neighbor_offsets(3, 1)[k]
                    p, q = scores[y, x], scores[y + dy, x + dx]
                    sums[name] = sums[name] - (p * q + (1 - p) * (1 - q)).log()
                    counts[name] += 1
    losses = {PROJECTION: torch.stack(projections).sum() / max(float(weight.sum()), 1)}
    return {**losses, **{name: total / max(counts[name], 1) for name, total in sums.items()}}


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 0, 0, 1), (0, 0, 0, 0), (0.5, 1, 0, 0.25)])
@pytest.mark.parametrize("factor", [1.0, 2.5])
def test_losses_and_gradients_match_loops(weights: tuple[float, ...], factor: float) -> None:
    (images, sizes), found = batch(), queries(0, 1, 1, 2)
    kind, weight = supervision(consistency_weight=factor), torch.tensor(weights, dtype=torch.float64)
    targets = kind.targets(images, sizes, annotations())
    logits = torch.randn(4, 1, 8, 10, dtype=torch.float64, requires_grad=True)
    losses = kind.losses(MaskPredictions(logits), found, targets, weight)
    expected = reference(logits, targets, found, weight)
    expected[DEPTH] = factor * expected[DEPTH]
    assert tuple(losses) == kind.loss_names
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])
        (ours,) = torch.autograd.grad(loss, logits, retain_graph=True)
        wanted = torch.zeros_like(ours)
        if expected[name].requires_grad:
            (wanted,) = torch.autograd.grad(expected[name], logits, retain_graph=True)
        torch.testing.assert_close(ours, wanted)


def test_the_order_of_queries_changes_nothing() -> None:
    (images, sizes), kind = batch(), supervision()
    targets, logits = kind.targets(images, sizes, annotations()), torch.randn(4, 1, 8, 10, dtype=torch.float64)
    weight = torch.tensor([1.0, 0.5, 0.0, 1.0], dtype=torch.float64)
    plain = kind.losses(MaskPredictions(logits), queries(0, 1, 0, 2), targets, weight)
    order = [1, 2, 0, 3]
    moved = kind.losses(MaskPredictions(logits[order]), queries(1, 0, 0, 2), targets, weight[order])
    for name, loss in plain.items():
        torch.testing.assert_close(moved[name], loss)


def test_no_query_gives_zeros_with_a_gradient() -> None:
    (images, sizes), kind = batch(), supervision()
    logits = torch.zeros(0, 1, 8, 10, requires_grad=True)
    targets = kind.targets(images, sizes, annotations())
    losses = kind.losses(MaskPredictions(logits), queries(), targets, torch.zeros(0))
    assert [float(loss.detach()) for loss in losses.values()] == [0, 0, 0]
    sum(losses.values()).backward()
    assert logits.grad is not None and logits.grad.shape == logits.shape


def test_images_without_objects_have_targets() -> None:
    images, sizes = batch()
    empty = Annotations([32, 28], [torch.zeros(0, 4)] * 2, [torch.zeros(0)] * 2, annotations().fields)
    targets = supervision().targets(images, sizes, empty)
    assert targets.rows.shape == (0, 8) and targets.columns.shape == (0, 10)
    assert targets.edges[DEPTH].shape == (2, 8, 10)
