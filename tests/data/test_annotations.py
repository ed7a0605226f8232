"""Annotations of an image as Instances: boxes, masks in every form, and objects that are dropped."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from fvcore.transforms.transform import CropTransform, HFlipTransform, NoOpTransform, TransformList, VFlipTransform
from hypothesis import given, settings
from hypothesis import strategies as st

from depthbox import add_depthbox_config
from depthbox.data.annotations import (
    MASK_FIELDS,
    add_masks,
    add_weights,
    boxes_to_instances,
    drop_empty,
    require_boxes,
    required_fields,
    transform_mask,
)

SIZE = (20, 30)  # height, width
SQUARE = [[4.0, 6.0, 14.0, 6.0, 14.0, 16.0, 4.0, 16.0]]


def boxed(*box, category=0, mode=BoxMode.XYWH_ABS):
    return {"bbox": list(box), "bbox_mode": mode, "category_id": category}


def corners(instances):
    return instances.gt_boxes.tensor.tolist()


def square():
    mask = np.zeros(SIZE, bool)
    mask[6:16, 4:14] = True
    return mask


def test_both_box_modes_give_the_same_corners():
    by_side = boxes_to_instances([boxed(2, 3, 10, 5, category=4)], NoOpTransform(), SIZE)
    by_corner = boxes_to_instances([boxed(2, 3, 12, 8, category=4, mode=BoxMode.XYXY_ABS)], NoOpTransform(), SIZE)
    assert corners(by_side) == corners(by_corner) == [[2, 3, 12, 8]]
    assert by_side.gt_classes.tolist() == [4] and by_side.gt_boxes.tensor.dtype == torch.float32


def test_no_object_gives_empty_fields_of_the_right_shape():
    instances = boxes_to_instances([], HFlipTransform(30), SIZE)
    assert len(instances) == 0 and instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_classes.dtype == torch.int64 and instances.image_size == SIZE
    with_masks = add_masks(instances, [], mixed=True)
    assert with_masks.gt_masks.tensor.shape == (0, *SIZE) and with_masks.gt_has_mask.shape == (0,)
    assert len(drop_empty(with_masks)) == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 14)] * 2, *[st.integers(1, 15)] * 2), min_size=1, max_size=5))
def test_a_box_flipped_twice_is_the_box_clipped_to_the_image(boxes):
    annotations = [boxed(*box) for box in boxes]
    plain = boxes_to_instances(annotations, NoOpTransform(), SIZE)
    for flip in (HFlipTransform(SIZE[1]), VFlipTransform(SIZE[0])):
        once = boxes_to_instances(annotations, flip, SIZE)
        twice = boxes_to_instances(annotations, TransformList([flip, flip]), SIZE)
        assert corners(twice) == corners(plain)
        assert torch.equal(once.gt_boxes.area(), plain.gt_boxes.area())


def test_boxes_are_clipped_to_a_crop_and_those_outside_are_dropped():
    crop = CropTransform(10, 5, 12, 10)
    annotations = [boxed(0, 0, 30, 20, category=1), boxed(12, 7, 4, 3, category=2), boxed(0, 0, 10, 5, category=3)]
    instances = boxes_to_instances(annotations, crop, (10, 12))
    assert corners(instances) == [[0, 0, 12, 10], [2, 2, 6, 5], [0, 0, 0, 0]]
    assert drop_empty(instances).gt_classes.tolist() == [1, 2]


@pytest.mark.parametrize("scale", [2, 3, 0.5])
def test_boxes_scale_with_the_image(scale):
    size = (int(SIZE[0] * scale), int(SIZE[1] * scale))
    resize = T.ResizeTransform(*SIZE, *size)
    instances = boxes_to_instances([boxed(4, 6, 10, 8)], resize, size)
    assert corners(instances) == [[4 * scale, 6 * scale, 14 * scale, 14 * scale]]


FORMS = {
    "polygons": SQUARE,
    "two polygons": [[4, 6, 9, 6, 9, 16, 4, 16], [9, 6, 14, 6, 14, 16, 9, 16]],
    "compressed": mask_util.encode(np.asfortranarray(square(), np.uint8)),
    "uncompressed": {"size": list(SIZE), "counts": [4 * 20 + 6, *[10] * 19, 0]},
    "array": square(),
    "integers": square().astype(np.int64),
}
FORMS["uncompressed"]["counts"][-1] = 600 - sum(FORMS["uncompressed"]["counts"][:-1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical"])
def test_every_form_of_a_mask_is_transformed_alike(form, flip):
    transforms = {"none": NoOpTransform(), "horizontal": HFlipTransform(30), "vertical": VFlipTransform(20)}[flip]
    expected = {"none": square(), "horizontal": square()[:, ::-1], "vertical": square()[::-1]}[flip]
    mask = transform_mask(FORMS[form], transforms, SIZE, SIZE)
    assert mask.dtype == bool and (mask == expected).all()


@pytest.mark.parametrize("form", ["polygons", "compressed", "array"])
def test_masks_follow_a_crop_and_a_resize(form):
    transforms = TransformList([CropTransform(4, 6, 10, 10), T.ResizeTransform(10, 10, 40, 40)])
    mask = transform_mask(FORMS[form], transforms, SIZE, (40, 40))
    assert mask.shape == (40, 40) and mask.all(), "the crop is exactly the square"


def test_a_segmentation_is_not_changed():
    polygon = [list(SQUARE[0])]
    rle = {"size": list(SIZE), "counts": list(FORMS["uncompressed"]["counts"])}
    for segmentation in (polygon, rle):
        before = repr(segmentation)
        transform_mask(segmentation, HFlipTransform(30), SIZE, SIZE)
        assert repr(segmentation) == before


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "a polygon needs three points or more"),
        ([[1, 2, 3, 4]], "a polygon needs three points or more"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon needs three points or more"),
        ([SQUARE[0], [1, 2]], "a polygon needs three points or more"),
        ("text", "not str"),
        (7, "not int"),
        (np.zeros((30, 20)), r"the mask is \(30, 20\) \(height, width\), the image \(20, 30\)"),
        ({"size": [2, 3], "counts": [2, 4]}, r"the mask is [\[(]2, 3[\])] \(height, width\)"),
    ],
)
def test_a_segmentation_that_cannot_be_drawn_is_named(segmentation, message):
    with pytest.raises(ValueError, match=message):
        transform_mask(segmentation, NoOpTransform(), SIZE, SIZE)


def three():
    return boxes_to_instances([boxed(1, 1, 9, 9, category=n) for n in range(3)], NoOpTransform(), SIZE)


def test_masks_are_added_to_a_copy():
    instances = three()
    full, none = np.ones(SIZE, bool), np.zeros(SIZE, bool)
    masked = add_masks(instances, [full, none, full], mixed=False)
    assert not instances.has("gt_masks") and not masked.has("gt_has_mask")
    assert masked.gt_masks.tensor.dtype == torch.bool
    assert masked.gt_masks.tensor.sum((1, 2)).tolist() == [600, 0, 600]
    assert drop_empty(masked).gt_classes.tolist() == [0, 2], "an object whose mask has no pixel is dropped"


def test_an_object_without_a_mask_is_kept_and_marked_in_mixed_supervision():
    full, none = np.ones(SIZE, bool), np.zeros(SIZE, bool)
    masked = add_masks(three(), [None, none, full], mixed=True)
    assert masked.gt_has_mask.tolist() == [False, True, True]
    assert masked.gt_masks.tensor.sum((1, 2)).tolist() == [0, 0, 600]
    kept = drop_empty(masked)
    assert kept.gt_classes.tolist() == [0, 2] and kept.gt_has_mask.tolist() == [False, True]


def test_a_flipped_view_of_a_mask_is_copied_as_it_looks():
    masked = add_masks(three()[:1], [square()[:, ::-1]], mixed=False)
    assert (masked.gt_masks.tensor[0].numpy() == square()[:, ::-1]).all()


def test_the_weight_is_the_score_within_0_and_1_and_0_for_a_fallback():
    scored = [{"score": 0.25}, {"score": 7}, {"score": -1.0}, {}, {"score": 0.9, "fallback": True}, {"fallback": False}]
    before = boxes_to_instances([boxed(1, 1, 9, 9)] * 6, NoOpTransform(), SIZE)
    weighed = add_weights(before, scored)
    assert weighed.gt_weight.dtype == torch.float32 and not before.has("gt_weight")
    torch.testing.assert_close(weighed.gt_weight, torch.tensor([0.25, 1, 0, 1, 0, 1]))


@pytest.mark.parametrize("supervision", MASK_FIELDS)
def test_weights_are_provided_for_mask_losses_only(supervision):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.MODEL.MASK_SUPERVISION = supervision
    assert "gt_weight" not in required_fields(cfg)
    cfg.INPUT.OBJECT_WEIGHT = "score"
    assert ("gt_weight" in required_fields(cfg)) == (supervision != "box")


def test_objects_without_a_box_are_named_with_the_file_and_the_remedy():
    crowd, point = {"iscrowd": 1, "id": 3}, {"iscrowd": 0, "id": 8}
    records = [{"file_name": "a.png", "annotations": [boxed(1, 1, 9, 9), crowd]}, {"file_name": "b.png"}]
    require_boxes(records, "points.json")
    records += [{"file_name": "c.png", "annotations": [boxed(1, 1, 9, 9), point, point]}]
    with pytest.raises(
        ValueError, match=r"^points\.json has 2 objects without a box \(such as annotation 8 of c"
    ) as error:
        require_boxes(records, "points.json")
    for command in ("`depthbox train --data points.json --method p2seg`", "`depthbox label`"):
        assert command in str(error.value)
    with pytest.raises(ValueError, match=r"annotation 8 has no box"):
        boxes_to_instances([point], NoOpTransform(), SIZE)


@pytest.mark.parametrize("supervision", MASK_FIELDS)
@pytest.mark.parametrize("depth", [False, True])
def test_fields_follow_the_supervision_and_depth(supervision, depth):
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.MODEL.MASK_SUPERVISION, cfg.INPUT.DEPTH.ENABLED = supervision, depth
    fields = required_fields(cfg)
    assert ("gt_masks" in fields) == (supervision != "box") and ("gt_has_mask" in fields) == (supervision == "mixed")
    assert (fields[-1:] == ("depth",)) == depth
    cfg.MODEL.MASK_SUPERVISION = "points"
    with pytest.raises(ValueError, match=r"MODEL\.MASK_SUPERVISION must be box, mask, mixed, got 'points'"):
        required_fields(cfg)
