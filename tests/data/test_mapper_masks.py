"""Masks of the mapper: forms of ``segmentation``, crops and mask supervision."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.data import transforms as T
from mapper_toy import HEIGHT, SQUARE, WIDTH, annotation, mapper, rectangle, write_scene

from depthbox.data import BoxDepthMapper


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path)


def encoded(box, kind):
    bitmap = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    x, y, w, h = (int(value) for value in box)
    bitmap[y : y + h, x : x + w] = 1
    if kind == "array":
        return bitmap
    rle = mask_util.encode(np.asfortranarray(bitmap))
    if kind == "bytes":
        return rle
    if kind == "str":
        return {"size": rle["size"], "counts": rle["counts"].decode()}
    runs = np.flatnonzero(np.diff(np.concatenate(([0], bitmap.T.ravel()))))
    counts = np.diff(np.concatenate(([0], runs, [bitmap.size]))).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": counts}


@pytest.mark.parametrize("kind", ["polygon", "array", "bytes", "str", "uncompressed"])
def test_every_form_of_mask(scene, kind):
    segmentation = rectangle(*SQUARE) if kind == "polygon" else encoded(SQUARE, kind)
    scene["annotations"] = [annotation(segmentation=segmentation)]
    flip = T.RandomFlip(prob=1.0)
    mask = mapper(flip, T.ResizeShortestEdge(96, 200), mode="mask")(scene)["instances"].gt_masks.tensor[0]
    expected = torch.zeros(96, 128, dtype=torch.bool)
    expected[24:56, 128 - 60 : 128 - 20] = True
    assert (mask != expected).sum() <= (0 if kind != "polygon" else 72)  # a polygon's rim may round either way


def test_polygon_cut_by_a_crop_is_the_crop_of_the_polygon(scene):
    triangle = [[2.0, 3.0, 60.0, 8.0, 20.0, 45.0]]
    scene["annotations"] = [annotation([2, 3, 58, 42], segmentation=triangle)]
    whole = mapper(mode="mask")(scene)["instances"].gt_masks.tensor[0]
    for x, y, w, h in ((10, 5, 30, 30), (0, 20, 64, 20), (30, 0, 34, 48)):
        part = mapper(T.CropTransform(x, y, w, h), mode="mask")(scene)["instances"].gt_masks.tensor[0]
        assert (part != whole[y : y + h, x : x + w]).float().mean() < 0.01


def test_object_whose_mask_is_cut_away_is_dropped(scene):
    triangle = [[2.0, 2.0, 40.0, 2.0, 2.0, 40.0]]
    scene["annotations"] = [annotation([2, 2, 38, 38], segmentation=triangle)]
    crop = T.CropTransform(34, 34, 14, 14)
    assert len(mapper(crop, mode="mask")(scene)["instances"]) == 0
    assert len(mapper(crop, mode="mixed")(scene)["instances"]) == 0
    assert len(mapper(crop)(scene)["instances"]) == 1


def test_mixed_mode_marks_who_has_a_mask(scene):
    scene["annotations"] = [
        annotation(segmentation=rectangle(*SQUARE)),
        annotation(),
        annotation(segmentation=[]),
    ]
    instances = mapper(mode="mixed")(scene)["instances"]
    assert instances.gt_has_mask.dtype == torch.bool and instances.gt_has_mask.tolist() == [
        True,
        False,
        False,
    ]
    assert instances.gt_masks.tensor.flatten(1).any(1).tolist() == [True, False, False]


def test_mask_mode_needs_every_mask(scene):
    with pytest.raises(ValueError, match=r"annotation 7 of .*image\.png.*MODEL\.MASK_SUPERVISION mixed"):
        mapper(mode="mask")(scene)


@pytest.mark.parametrize(
    "segmentation",
    [[[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], {"size": [4, 4], "counts": [16]}, {"size": [4, 4]}, "text"],
)
def test_malformed_segmentation_is_named(scene, segmentation):
    scene["annotations"] = [annotation(segmentation=segmentation)]
    with pytest.raises(ValueError, match=r"annotation 7 of .*image\.png"):
        mapper(mode="mixed")(scene)


def test_weights_stay_with_their_objects(scene):
    """An empty box and a crowd are left out: the weights of the others do not move."""
    scene["annotations"] = [
        annotation([5, 5, 0, 9], score=0.1, segmentation=rectangle(*SQUARE)),
        annotation(score=0.75, segmentation=rectangle(*SQUARE)),
        annotation(iscrowd=1, score=0.2),
        annotation(score=0.5, fallback=True, segmentation=rectangle(*SQUARE)),
        annotation(),
    ]
    fields = ("gt_masks", "gt_has_mask", "gt_weight")
    weighed = BoxDepthMapper(True, augmentations=[], image_format="BGR", fields=fields)(scene)["instances"]
    assert weighed.gt_weight.tolist() == [0.75, 0, 1] and weighed.gt_has_mask.tolist() == [True, True, False]
    assert not mapper(mode="mixed")(scene)["instances"].has("gt_weight")


@pytest.mark.parametrize("mode", ["box", "mask", "mixed"])
def test_an_object_without_a_box_is_named(scene, mode):
    scene["annotations"] = [annotation(), {"id": 9, "category_id": 0, "iscrowd": 0, "point_coords": [[3.0, 3.0]]}]
    with pytest.raises(ValueError, match=r"annotation 9 has no box.*--method p2seg.*`depthbox label`"):
        mapper(mode=mode)(scene)
