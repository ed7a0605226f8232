"""Losses of the depth with the values of a config, against the equations of the paper in float64."""

import math

import pytest
import torch
from detectron2.config import CfgNode
from torch import Tensor

from depthbox.modeling.supervision import MaskCriterion
from depthbox.modeling.supervision.boxes import COLOR, DEPTH, BoxSupervision
from depthbox.modeling.supervision.depth import DepthSupervision
from depthbox.modeling.supervision.pseudo_masks import PseudoMaskSupervision
from depthbox.ops import unpack_edges
from depthbox.structures import Annotations, MaskPredictions, Queries

STRIDE, HEIGHT, WIDTH = 4, 32, 40
BOXES = [torch.tensor([[2.0, 3, 30, 29]]), torch.tensor([[6.0, 1, 39, 26]])]
DEPTH_KEYS = {"MODEL__DEPTH__LAYER": True, "MODEL__DEPTH__CONSISTENCY": True, "INPUT__DEPTH__ENABLED": True}
Pair = tuple[int, int]


def configure(make_cfg, **values) -> CfgNode:
    """Return a config whose weights and warm-ups all differ, so that none can be taken for another."""
    cfg = make_cfg(**DEPTH_KEYS, MODEL__DISTILL__ENABLED=True)
    depth, pairs = cfg.MODEL.DEPTH, cfg.MODEL.BOXINST.PAIRWISE
    depth.LOSS_WEIGHT, depth.CONSISTENCY_WEIGHT, cfg.MODEL.DISTILL.LOSS_WEIGHT = 7.0, 11.0, 13.0
    depth.WARMUP_ITERS, pairs.WARMUP_ITERS, cfg.MODEL.BOXINST.BOTTOM_PIXELS_REMOVED = 17, 19, 0
    pairs.DILATION = 1
    cfg.merge_from_list([item for key, value in values.items() for item in (key.replace("__", "."), value)])
    return cfg


def scene(**fields: list[Tensor]) -> tuple[Tensor, list[Pair], Annotations, Queries]:
    """Return two images of one color, with two queries in the first and one in the second."""
    images, sizes = torch.full((2, 3, HEIGHT, WIDTH), 90.0), [(HEIGHT, WIDTH)] * 2
    index = torch.tensor([0, 0, 1])
    queries = Queries(index, index, index, index, torch.zeros(3, 2), torch.tensor([0, 0, 1]), (2, 1))
    return images, sizes, Annotations([HEIGHT] * 2, BOXES, [torch.zeros(1)] * 2, fields), queries


def cells_of(box: Tensor) -> list[Pair]:
    x0, y0, x1, y1 = box.tolist()
    centers = [(y, x) for y in range(HEIGHT // STRIDE) for x in range(WIDTH // STRIDE)]
    return [(y, x) for y, x in centers if x0 <= 4 * x + 2 <= x1 and y0 <= 4 * y + 2 <= y1]


def mean_depth(depth: Tensor, cell: Pair) -> float:
    y, x = 4 * cell[0], 4 * cell[1]
    return float(depth[0, y : y + 4, x : x + 4].double().mean())


def consistency_loss(logits: Tensor, depth: list[Tensor], kappa: float, tau: float) -> Tensor:
    """Compute the mean of -log P(y = 1) over the pairs with S_d > tau_d that start in the box (eq. 3 to 5)."""
    scores, terms = logits.double().sigmoid()[:, 0], []
    for n, image in enumerate((0, 0, 1)):
        for y, x in cells_of(BOXES[image][0]):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    inside = 0 <= y + dy < HEIGHT // STRIDE and 0 <= x + dx < WIDTH // STRIDE
                    if not inside or (dy, dx) == (0, 0):
                        continue
                    difference = mean_depth(depth[image], (y, x)) - mean_depth(depth[image], (y + dy, x + dx))
                    if math.exp(-kappa * abs(difference)) > tau:
                        p, q = scores[n, y, x], scores[n, y + dy, x + dx]
                        terms.append(-(p * q + (1 - p) * (1 - q)).log())
    assert 20 < len(terms) < 8 * sum(len(cells_of(BOXES[image][0])) for image in (0, 0, 1))
    return torch.stack(terms).mean()


@pytest.mark.parametrize(("weight", "kappa", "tau"), [(1.0, 8.0, 0.5), (2.5, 30.0, 0.7), (0.25, 4.0, 0.3)])
def test_the_consistency_loss_is_equations_3_to_5(make_cfg, weight: float, kappa: float, tau: float) -> None:
    cfg = configure(make_cfg, MODEL__DEPTH__CONSISTENCY_WEIGHT=weight, MODEL__DEPTH__SCALE=kappa)
    cfg.MODEL.DEPTH.THRESH = tau
    depth = [torch.rand(1, HEIGHT // 4, WIDTH // 4).repeat_interleave(4, 1).repeat_interleave(4, 2) for _ in range(2)]
    images, sizes, annotations, queries = scene(depth=depth)
    kind, logits = BoxSupervision(cfg), 2 * torch.randn(3, 1, HEIGHT // 4, WIDTH // 4, dtype=torch.float64)
    targets = kind.targets(images, sizes, annotations)
    loss = kind.losses(MaskPredictions(logits), queries, targets, torch.ones(3, dtype=torch.float64))[DEPTH]
    torch.testing.assert_close(loss, weight * consistency_loss(logits, depth, kappa, tau))


def test_a_similarity_equal_to_the_threshold_is_not_similar(make_cfg) -> None:
    """S_d > tau_d is strict: with kappa = 2 ln 2, a difference of 1/2 has S_d = 1/2."""
    cfg = configure(make_cfg, MODEL__DEPTH__SCALE=2 * math.log(2), MODEL__DEPTH__THRESH=0.5)
    depth, valid = torch.tensor([[[0.0, 0.5, 1.0 - 2**-20]]]), torch.ones(1, 1, 3, dtype=torch.bool)
    edges = unpack_edges(BoxSupervision(cfg).depth_edges(depth, valid))[0, :, 0]
    assert edges.any(0).tolist() == [False, True, True]  # only the second and the third are closer than 1/2


@pytest.mark.parametrize("switch", [True, False])
def test_the_consistency_loss_needs_its_switch(make_cfg, switch: bool) -> None:
    kind = BoxSupervision(configure(make_cfg, MODEL__DEPTH__CONSISTENCY=switch))
    assert (DEPTH in kind.loss_names) == switch and kind.fields == (("depth",) if switch else ())


@pytest.mark.parametrize(("color", "depth"), [(19, 17), (0, 6), (6, 0)])
def test_each_pairwise_loss_has_the_warmup_of_its_key(make_cfg, color: int, depth: int) -> None:
    cfg = configure(make_cfg, MODEL__DEPTH__WARMUP_ITERS=depth)
    cfg.MODEL.BOXINST.PAIRWISE.WARMUP_ITERS = color
    assert BoxSupervision(cfg).warmup_iters == {COLOR: color, DEPTH: depth}
    assert MaskCriterion(cfg).warmup_iters == {COLOR: color, DEPTH: depth}


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_the_depth_loss_is_equation_2(make_cfg, weight: float) -> None:
    cfg, depth = configure(make_cfg, MODEL__DEPTH__LOSS_WEIGHT=weight), [torch.rand(1, HEIGHT, WIDTH) for _ in range(2)]
    images, sizes, annotations, queries = scene(depth=depth)
    kind, logits = DepthSupervision(cfg), torch.randn(3, 1, HEIGHT // 4, WIDTH // 4, dtype=torch.float64)
    masks, targets = torch.zeros_like(logits), kind.targets(images, sizes, annotations)
    loss = kind.losses(MaskPredictions(masks, logits), queries, targets, masks.new_ones(3))["loss_depth"]
    means = []
    for n, image in enumerate((0, 0, 1)):
        found = [
            (float(logits[n, 0, y, x].sigmoid()), mean_depth(depth[image], (y, x)))
            for y, x in cells_of(BOXES[image][0])
        ]
        means.append(sum((score - d) ** 2 for score, d in found) / len(found))
    assert float(loss) == pytest.approx(weight * sum(means) / 3, rel=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 4.0, 6.5])
def test_the_pseudo_mask_loss_is_equations_10_and_11(make_cfg, gamma: float) -> None:
    """A soft mask of 1/2 with half the weight: neither is rounded to 0 or 1."""
    cfg = configure(make_cfg, MODEL__DISTILL__LOSS_WEIGHT=gamma)
    masks, weights = [torch.rand(1, 8, 10), torch.full((1, 8, 10), 0.5)], [torch.tensor([1.0]), torch.tensor([0.5])]
    images, sizes, annotations, queries = scene(pseudo_masks=masks, pseudo_weights=weights)
    kind, logits = PseudoMaskSupervision(cfg), torch.randn(3, 1, 8, 10, dtype=torch.float64)
    targets = kind.targets(images, sizes, annotations)
    loss = kind.losses(MaskPredictions(logits), queries, targets, logits.new_ones(3))["loss_pseudo_mask"]
    terms = []
    for n, image in enumerate((0, 0, 1)):
        score, label = logits[n, 0].sigmoid(), masks[image][0].double()
        dice = 1 - 2 * (score * label).sum() / ((score**2).sum() + (label**2).sum())
        terms.append(float(weights[image]) * float(dice))
    assert float(loss) == pytest.approx(gamma * sum(terms) / 3, rel=1e-5)
