"""Annotations of a batch on the network's device."""

import pytest
import torch

from depthbox.modeling.supervision.annotations import AnnotationReader

CPU = torch.device("cpu")


def test_every_image_keeps_its_own(make_input):
    batch = [make_input(3), make_input(0, 1), make_input(2, 2, has_mask=[True, False])]
    for x in batch:
        count = len(x["instances"])
        x["instances"].pseudo_masks = torch.rand(count, 16, 24)
        x["instances"].pseudo_weights = torch.rand(count)
    read = AnnotationReader(("gt_masks", "gt_has_mask", "depth"), ("pseudo_masks", "pseudo_weights"))(batch, CPU)
    for b, x in enumerate(batch):
        instances = x["instances"]
        for found, given in (
            (read.boxes, instances.gt_boxes.tensor),
            (read.classes, instances.gt_classes),
            (read["gt_masks"], instances.gt_masks.tensor),
            (read["gt_has_mask"], instances.gt_has_mask),
            (read["depth"], x["depth"]),
            (read["pseudo_masks"], instances.pseudo_masks),
            (read["pseudo_weights"], instances.pseudo_weights),
        ):
            assert len(found) == 3 and torch.equal(found[b], given) and found[b].dtype == given.dtype
    assert read.original_heights == [64, 64, 64]


def test_unused_annotations_are_not_read(make_input):
    batch = [make_input(2)]
    read = AnnotationReader(optional_fields=("pseudo_masks",))(batch, CPU)
    assert not any(name in read for name in ("gt_masks", "gt_has_mask", "depth", "pseudo_masks"))


def test_optional_annotations_are_read_if_all_images_have_them(make_input):
    batch = [make_input(2), make_input(1)]
    batch[0]["instances"].pseudo_weights = torch.rand(2)
    reader = AnnotationReader(optional_fields=("pseudo_weights",))
    assert "pseudo_weights" not in reader(batch, CPU)
    batch[1]["instances"].pseudo_weights = torch.rand(1)
    assert [len(x) for x in reader(batch, CPU)["pseudo_weights"]] == [2, 1]


@pytest.mark.parametrize("name", ["depth", "gt_masks"])
def test_a_missing_annotation_names_the_image_and_the_remedy(make_input, name):
    x = make_input(2, seed=7)
    del x["depth"]
    x["instances"].remove("gt_masks")
    with pytest.raises(KeyError, match=rf"7 comes without {name}.*BoxDepthMapper"):
        AnnotationReader((name,))([make_input(1), x], CPU)
