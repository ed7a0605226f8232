import pickle

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.data.detection_utils import SizeMismatchError
from detectron2.structures import BoxMode
from PIL import Image

from depthbox.config.defaults import add_depthbox_config
from depthbox.data import BoxDepthMapper, DepthFileError, write_depth
from depthbox.io.images import ImageError

HEIGHT, WIDTH = 48, 64
SQUARE = [10.0, 12.0, 20.0, 16.0]  # x, y, width, height


class Poison:
    """Segmentation of which every use fails the test."""

    def _fail(self, *_):
        raise AssertionError("segmentation was read")

    __getattribute__ = __len__ = __iter__ = __bool__ = __getitem__ = __eq__ = __hash__ = __reduce_ex__ = _fail


def rectangle(x, y, w, h):
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def annotation(box=SQUARE, label=2, **more):
    return {
        "bbox": list(box),
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": label,
        "iscrowd": 0,
        "id": 7,
        **more,
    }


@pytest.fixture
def scene(tmp_path):
    """Write an image whose channels equal its depth (an 8-bit gradient), and depth at half size."""
    rng = np.random.default_rng(0)
    low = Image.fromarray(rng.integers(0, 256, (6, 8), dtype=np.uint8))
    small = np.asarray(low.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BILINEAR))
    gray = np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    Image.fromarray(np.stack([gray] * 3, -1)).save(tmp_path / "image.png")
    write_depth(tmp_path / "depth.png", small.astype(np.float32) / 255)
    return {
        "file_name": str(tmp_path / "image.png"),
        "depth_file_name": str(tmp_path / "depth.png"),
        "image_id": 3,
        "height": HEIGHT,
        "width": WIDTH,
        "annotations": [annotation()],
    }


def mapper(*augmentations, mode="box", depth=False, is_train=True):
    return BoxDepthMapper(
        is_train, augmentations=augmentations, image_format="BGR", mask_supervision=mode, read_depth=depth
    )


RANDOM = (
    T.RandomCrop("relative_range", (0.5, 0.5)),
    T.ResizeShortestEdge((40, 90), 120, "range"),
    T.RandomFlip(),
)


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


def test_channel_order(scene):
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 0] = 200
    Image.fromarray(pixels).save(scene["file_name"])
    for image_format, red in (("BGR", 2), ("RGB", 0)):
        image = BoxDepthMapper(True, augmentations=[], image_format=image_format)(scene)["image"]
        assert image[red].min() == 200 and image.sum() == image[red].sum()


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


def test_wrong_image_size_is_named(scene):
    scene["width"] += 1
    with pytest.raises(SizeMismatchError, match=r"image\.png"):
        mapper()(scene)


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_image_is_named(scene, content, tmp_path):
    scene["file_name"] = str(tmp_path / "other.png")
    if content is not None:
        (tmp_path / "other.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"other\.png"):
        mapper()(scene)


@pytest.mark.parametrize(("mode", "name"), [("RGB", "a.png"), ("L", "a.png"), ("RGBA", "a.png"), ("P", "a.png"),
                                            ("LA", "a.png"), ("1", "a.png"), ("RGB", "a.jpg"), ("CMYK", "a.jpg"),
                                            ("RGB", "a.bmp"), ("RGB", "a.webp"), ("RGB", "a.gif")])  # fmt: skip
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_images_of_8_bits_equal_those_of_detectron2(scene, tmp_path, mode, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / name, exif=exif)
    scene["file_name"] = str(tmp_path / name)
    for image_format in ("BGR", "RGB"):
        expected = detection_utils.read_image(scene["file_name"], image_format)
        scene["height"], scene["width"] = expected.shape[:2]
        image = BoxDepthMapper(True, augmentations=[], image_format=image_format)(scene)["image"]
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_images_of_16_bits_are_scaled_by_their_range(scene):
    values = np.linspace(1000, 3000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(values).save(scene["file_name"])
    image = mapper()(scene)["image"]
    assert image.min() == 0 and image.max() == 255 and 126 <= image.float().mean() <= 129


def test_unknown_channel_order():
    with pytest.raises(ValueError, match=r"INPUT\.FORMAT.*'YUV'"):
        BoxDepthMapper(True, augmentations=[], image_format="YUV")


def test_truncated_image_is_named(scene):
    with open(scene["file_name"], "r+b") as file:
        file.truncate(300)
    with pytest.raises(ImageError, match=r"image\.png"):
        mapper()(scene)


def test_depth_of_another_image_is_named(scene):
    write_depth(scene["depth_file_name"], np.zeros((WIDTH, HEIGHT), dtype=np.float32))
    with pytest.raises(DepthFileError, match=r"depth\.png.*64 x 48.*48 x 64"):
        mapper(depth=True)(scene)


def test_depth_that_is_enabled_but_not_registered_is_named(scene):
    del scene["depth_file_name"]
    with pytest.raises(ValueError, match=r"image\.png has no depth file"):
        mapper(depth=True)(scene)


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
