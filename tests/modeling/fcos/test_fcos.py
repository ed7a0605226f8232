"""The detector's losses and queries against their definitions on dense tensors."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from depthbox.modeling.fcos import FCOS, assign_targets
from depthbox.modeling.fcos.head import HeadOutputs
from depthbox.modeling.fcos.losses import box_loss, centerness, delta_ious

LEVELS, STRIDES, SIZES, CLASSES = [(8, 12), (4, 6), (2, 3)], [8, 16, 32], [32, 64], 5


def detector(quality: str = "centerness") -> FCOS:
    return FCOS(
        head=nn.Identity(),
        in_features=["p3", "p4", "p5"],
        strides=STRIDES,
        sizes_of_interest=SIZES,
        num_classes=CLASSES,
        loss={"box_quality": quality, "loc_loss_type": "giou", "cls_weight": 1.5},
        focal={"alpha": 0.3, "gamma": 2.0},
        sampling={"center_sample": True, "radius": 1.5},
        sample_mass_center=False,
        inference={},
        queries_per_image=6,
    )


def predictions(images: int) -> HeadOutputs:
    def maps(channels: int) -> list[Tensor]:
        return [torch.randn(images, channels, h, w, dtype=torch.float64) for h, w in LEVELS]

    logits, deltas, quality = maps(CLASSES), [x.abs() + 0.1 for x in maps(4)], maps(1)
    for x in (*logits, *deltas, *quality):
        x.requires_grad_()
    return HeadOutputs(logits, deltas, quality, [])


def objects(counts: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    boxes = []
    for count in counts:
        low = torch.rand(count, 2) * torch.tensor([70.0, 40.0])
        boxes.append(torch.cat((low, low + 10 + 40 * torch.rand(count, 2)), 1))
    return boxes, [torch.randint(0, CLASSES, (count,)) for count in counts]


def flat(levels: list[Tensor]) -> Tensor:
    return torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in levels], 1).flatten(0, 1)


@pytest.mark.parametrize("quality", ["centerness", "iou"])
@pytest.mark.parametrize("counts", [(3, 0, 5), (40, 2, 30)])
def test_losses_and_gradients(quality: str, counts: tuple[int, ...]) -> None:
    fcos, outputs, (boxes, classes) = detector(quality), predictions(3), objects(counts)
    losses, queries = fcos.losses(outputs, boxes, classes, (64, 96))
    targets = assign_targets(fcos.locations(outputs), boxes, classes, CLASSES)
    labels = targets.labels.flatten()
    positive, found = labels != CLASSES, targets.deltas.flatten(0, 1)[labels != CLASSES].double()
    logits, deltas, scores = (flat(x) for x in (outputs.logits, outputs.deltas, outputs.quality))
    one_hot = F.one_hot(labels, CLASSES + 1)[:, :-1].double()
    number = positive.sum()
    wanted = {"loss_fcos_cls": 1.5 * sigmoid_focal_loss(logits, one_hot, alpha=0.3, reduction="sum") / number}
    terms = box_loss(deltas[positive], found)
    if quality == "centerness":
        goal, name = centerness(found), "loss_fcos_ctr"
        wanted["loss_fcos_loc"] = (terms * goal).sum() / goal.sum()
    else:
        goal, name = delta_ious(deltas[positive], found)[0].detach(), "loss_fcos_iou"
        wanted["loss_fcos_loc"] = terms.sum() / number
    wanted[name] = F.binary_cross_entropy_with_logits(scores[positive, 0], goal, reduction="sum") / number
    assert losses.keys() == wanted.keys() and queries.num_positives == number
    inputs = [*outputs.logits, *outputs.deltas, *outputs.quality]
    for key, loss in losses.items():
        torch.testing.assert_close(loss, wanted[key])
        pairs = (torch.autograd.grad(x, inputs, retain_graph=True, allow_unused=True) for x in (loss, wanted[key]))
        for ours, theirs in zip(*pairs, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs)


def test_queries_are_the_positives_of_the_best_score() -> None:
    fcos, outputs, (boxes, classes) = detector(), predictions(2), objects((1, 2))
    _, queries = fcos.losses(outputs, boxes, classes, (64, 96))
    targets = assign_targets(fcos.locations(outputs), boxes, classes, CLASSES)
    scores = (flat(outputs.logits).sigmoid().amax(1) * flat(outputs.quality)[:, 0].sigmoid()).view(2, -1)
    mine = scores[0].masked_fill(targets.labels[0] == CLASSES, -1)
    number = min(6, int((targets.labels[0] != CLASSES).sum()))
    best = mine.topk(number).indices
    assert queries.counts[0] == number
    assert torch.equal(queries.locations[:number], fcos.locations(outputs).xy[best])


def test_no_object_at_all() -> None:
    fcos, outputs, (boxes, classes) = detector(), predictions(2), objects((0, 0))
    losses, queries = fcos.losses(outputs, boxes, classes, (64, 96))
    assert len(queries) == 0 and queries.num_positives == 0
    assert losses["loss_fcos_loc"] == 0 and losses["loss_fcos_ctr"] == 0
    sum(losses.values()).backward()
    assert all(x.grad is not None for x in (*outputs.logits, *outputs.deltas, *outputs.quality))


def test_box_loss_is_that_of_the_boxes() -> None:
    deltas, targets = torch.rand(20, 4, dtype=torch.float64) * 9, torch.rand(20, 4, dtype=torch.float64) * 9
    boxes, truth = (torch.cat((-x[:, :2], x[:, 2:]), 1) for x in (deltas, targets))
    iou, giou = delta_ious(deltas, targets)
    area = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (boxes, truth)]
    low, high = torch.maximum(boxes, truth)[:, :2], torch.minimum(boxes, truth)[:, 2:]
    shared = (high - low).prod(1)
    torch.testing.assert_close(iou, (shared + 1) / (area[0] + area[1] - shared + 1))
    # torchvision's has no +1 in its IoU; the rest of the generalized IoU is the same.
    plain = shared / (area[0] + area[1] - shared)
    torch.testing.assert_close(1 - giou - (plain - iou), generalized_box_iou_loss(boxes, truth))
    torch.testing.assert_close(box_loss(deltas, targets, "iou"), -iou.log())
    torch.testing.assert_close(box_loss(deltas, targets, "linear_iou"), 1 - iou)
    with pytest.raises(ValueError, match="LOC_LOSS_TYPE"):
        box_loss(deltas, targets, "l1")
