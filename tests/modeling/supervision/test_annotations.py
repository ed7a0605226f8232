"""Annotations of a batch, as the network gets them."""

import torch

from depthbox.modeling.supervision.annotations import AnnotationReader

CPU = torch.device("cpu")


def test_every_image_keeps_its_own(make_input):
    batch = [make_input(3), make_input(0, 1), make_input(2, 2, has_mask=[True, False])]
    for x in batch:
        count = len(x["instances"])
        x["instances"].pseudo_masks = torch.rand(count, 16, 24)
        x["instances"].pseudo_weights = torch.rand(count)
    read = AnnotationReader(supervision="mixed", uses_depth=True, uses_pseudo_masks=True)(batch, CPU)
    for b, x in enumerate(batch):
        instances = x["instances"]
        for found, given in (
            (read.boxes, instances.gt_boxes.tensor),
            (read.classes, instances.gt_classes),
            (read.masks, instances.gt_masks.tensor),
            (read.has_mask, instances.gt_has_mask),
            (read.depth, x["depth"]),
            (read.pseudo_masks, instances.pseudo_masks),
            (read.pseudo_weights, instances.pseudo_weights),
        ):
            assert len(found) == 3 and torch.equal(found[b], given) and found[b].dtype == given.dtype
    assert read.original_heights == [64, 64, 64]


def test_what_is_not_used_is_not_read(make_input):
    batch = [make_input(2)]
    batch[0]["instances"].remove("gt_masks")
    batch[0]["instances"].remove("gt_has_mask")
    del batch[0]["depth"]
    read = AnnotationReader(supervision="box", uses_pseudo_masks=True)(batch, CPU)
    assert read.masks is None and read.has_mask is None and read.depth is None and read.pseudo_masks is None
