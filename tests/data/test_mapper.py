"""Samples of the mapper: image, depth, boxes and masks under one augmentation."""

import pickle

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from mapper_toy import HEIGHT, RANDOM, SQUARE, WIDTH, annotation, mapper, rectangle, write_scene

from depthbox.config.defaults import add_depthbox_config
from depthbox.data import BoxDepthMapper


class Poison:
    """Segmentation of which every use fails the test."""

    def _fail(self, *_):
        raise AssertionError("segmentation was read")

    __getattribute__ = __len__ = __iter__ = __bool__ = __getitem__ = __eq__ = __hash__ = __reduce_ex__ = _fail


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path)


def test_output(scene):
    result = mapper(T.ResizeShortestEdge(96, 200), depth=True)(scene)
    assert result["image"].dtype == torch.uint8 and result["image"].shape == (3, 96, 128)
    assert result["depth"].dtype == torch.float32 and result["depth"].shape == (1, 96, 128)
    assert (result["height"], result["width"], result["image_id"]) == (HEIGHT, WIDTH, 3)
    assert "annotations" not in result and "annotations" in scene
    instances = result["instances"]
    assert instances.image_size == (96, 128)
    assert instances.gt_boxes.tensor.dtype == torch.float32
    assert instances.gt_boxes.tensor.tolist() == [[20, 24, 60, 56]]
    assert instances.gt_classes.dtype == torch.int64 and instances.gt_classes.tolist() == [2]
    assert set(instances.get_fields()) == {"gt_boxes", "gt_classes"}


@pytest.mark.parametrize("seed", range(12))
def test_image_depth_boxes_and_masks_move_together(scene, seed):
    scene["annotations"] = [annotation(segmentation=rectangle(*SQUARE))]
    np.random.seed(seed)
    result = mapper(*RANDOM, mode="mask", depth=True)(scene)
    assert result["depth"].shape[1:] == result["image"].shape[1:]
    assert (result["image"][0] / 255 - result["depth"][0]).abs().max() <= 4 / 255
    for box, mask in zip(result["instances"].gt_boxes.tensor, result["instances"].gt_masks.tensor, strict=True):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        drawn = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert (drawn - box).abs().max() <= 1


def test_photometric_augmentation_leaves_depth_alone(scene):
    plain, dark = mapper(depth=True)(scene), mapper(T.RandomBrightness(0.3, 0.4), depth=True)(scene)
    assert torch.equal(plain["depth"], dark["depth"]) and not torch.equal(plain["image"], dark["image"])


def test_unknown_augmentation_raises_when_there_is_depth(scene):
    class Roll(T.Transform):
        def apply_image(self, img):
            return np.roll(img, 1, axis=0)

        def apply_coords(self, coords):
            return coords

    mapper(Roll())(scene)
    with pytest.raises(TypeError, match="Roll"):
        mapper(Roll(), depth=True)(scene)


def test_same_seed_same_sample(scene):
    scene["annotations"] = [annotation(segmentation=rectangle(*SQUARE))]
    sample = mapper(*RANDOM, mode="mixed", depth=True)
    runs = []
    for seed in (5, 5, 6):
        np.random.seed(seed)
        runs.append(sample(scene))
    assert torch.equal(runs[0]["image"], runs[1]["image"]) and torch.equal(runs[0]["depth"], runs[1]["depth"])
    assert torch.equal(runs[0]["instances"].gt_masks.tensor, runs[1]["instances"].gt_masks.tensor)
    assert runs[0]["image"].shape != runs[2]["image"].shape or not torch.equal(runs[0]["image"], runs[2]["image"])


def test_box_mode_never_reads_segmentation(scene):
    clean = mapper(*RANDOM)
    scene["annotations"] = [annotation(segmentation=Poison()), annotation(segmentation=Poison(), iscrowd=1)]
    np.random.seed(1)
    assert len(clean(scene)["instances"]) <= 1
    assert len(mapper()(scene)["instances"]) == 1
    with pytest.raises(AssertionError, match="segmentation"):
        mapper(mode="mixed")(scene)


def test_crowds_are_dropped_and_boxes_clipped_and_filtered(scene):
    boxes = [[-5, -5, 20, 15], [60, 40, 50, 50], [5, 5, 0, 9], [70, 50, 5, 5]]
    scene["annotations"] = [annotation(box, label) for label, box in enumerate(boxes)] + [annotation(iscrowd=1)]
    instances = mapper()(scene)["instances"]
    assert instances.gt_boxes.tensor.tolist() == [[0, 0, 15, 10], [60, 40, 64, 48]]
    assert instances.gt_classes.tolist() == [0, 1]


@pytest.mark.parametrize("mode", ["box", "mask", "mixed"])
@pytest.mark.parametrize("annotations", [[], [annotation(iscrowd=1)]])
def test_image_without_objects(scene, mode, annotations):
    scene["annotations"] = annotations
    instances = mapper(*RANDOM, mode=mode)(scene)["instances"]
    assert len(instances) == 0 and instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_classes.dtype == torch.int64
    if mode != "box":
        assert instances.gt_masks.tensor.shape == (0, *instances.image_size)
    assert instances.has("gt_has_mask") == (mode == "mixed")


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


def test_mixed_mode_marks_objects_with_a_mask(scene):
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


def test_inference_needs_neither_annotations_nor_depth(scene):
    del scene["annotations"], scene["depth_file_name"]
    result = mapper(T.ResizeShortestEdge(24, 100), is_train=False)(scene)
    assert result["image"].shape == (3, 24, 32) and "instances" not in result


def test_survives_a_worker(scene):
    sample = pickle.loads(pickle.dumps(mapper(*RANDOM, depth=True)))
    assert sample(scene)["image"].shape[0] == 3


def test_unknown_supervision():
    with pytest.raises(ValueError, match="boxes"):
        mapper(mode="boxes")


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_depthbox_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (24,), 100
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 96, 200
    return cfg


def test_from_config(cfg, scene):
    cfg.INPUT.RANDOM_FLIP = "none"
    assert "depth" not in BoxDepthMapper(cfg, is_train=True)(scene)
    cfg.INPUT.DEPTH.ENABLED = True
    result = BoxDepthMapper(cfg, is_train=True)(scene)
    assert result["image"].shape == (3, 24, 32) and result["depth"].shape == (1, 24, 32)
    result = BoxDepthMapper(cfg, is_train=False)(scene)
    assert result["image"].shape == (3, 96, 128) and "depth" not in result


def test_from_config_crop_flip_and_supervision(cfg, scene):
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", [24, 24]
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.DEPTH.ENABLED, cfg.MODEL.MASK_SUPERVISION = "vertical", True, "mixed"
    result = BoxDepthMapper(cfg, is_train=True)(scene)
    assert result["image"].shape == (3, 24, 24)
    assert result["instances"].has("gt_has_mask")
    assert (result["image"][0] / 255 - result["depth"][0]).abs().max() <= 4 / 255
